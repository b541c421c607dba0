"""The benchmarks run and are documented, and their table reports gaps. No time is tested."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support import SAMPLE_DATA

ROOT = SAMPLE_DATA.parent
BENCH = ROOT / "bench"
sys.path.append(str(BENCH))

from machine import absent_peers  # noqa: E402
from report import Figure  # noqa: E402
from results import Result, benches, quick_options, read_results, write_results  # noqa: E402
from table import is_met, number, table  # noqa: E402

RESULT = Result(
    date="2026-01-02",
    seconds=3.0,
    failure="",
    is_quick=False,
    machine="a machine, 2 cores usable",
    versions="nmm 0.1.0, numpy 2.4.6",
    figures=(
        Figure("photos", 9.5, "images/s", "torch", 4.9, 1.94, ">= 1.3 x"),
        Figure("a search", 0.512, "s", goal="<= 0.45 s"),
    ),
    left_out=(),
    output=("what it printed",),
)


def run(script: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, script, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def rows(markdown: str) -> list[list[str]]:
    """Return the cells of a table's rows, without the header."""
    lines = [line for line in markdown.replace("\\|", "/").splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in lines)
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[2:]]


# scripts/bench


def test_a_benchmark_runs_with_small_sizes_and_is_stored(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    write_results({"store": RESULT, "opening": RESULT}, results)
    done = run(ROOT / "scripts" / "bench", "--quick", "--results", results, "bench/store.py")
    assert done.returncode == 0, done.stderr
    kept = read_results(results)
    assert kept["opening"] == RESULT
    store = kept["store"]
    assert (store.failure, store.left_out, store.is_quick) == ("", (), True)
    figure = store.figures[0]
    assert (figure.what, figure.unit, figure.beside) == (
        "nearest 10 of 5,000, p50",
        "ms",
        "rclip's way",
    )
    assert "5,000 vectors of 768 dimensions" in store.output
    # The output is shown as printed, and its figure is in the table.
    assert "\n".join(store.output) in done.stderr
    assert done.stdout == table(kept, benches())
    assert f"| {number(figure.value)} ms | rclip's way |" in done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the files that scripts/bench needs, with benchmarks of one line each."""
    (tmp_path / "bench").mkdir()
    for name in ("report", "results", "table", "machine"):
        shutil.copy(BENCH / f"{name}.py", tmp_path / "bench")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    bodies = {
        "sound": "import sys; print(*sys.argv[1:]); note(Figure('a', 1.0, 's'))",
        "broken": "note(Figure('b', 2.0, 's')); raise RuntimeError('no such | thing')",
        "killed": "import os; note(Figure('c', 2.0, 's')); os.kill(os.getpid(), 9)",
        "silent": "print('nothing')",
        "partial": "note(Figure('d', 1.0, 's')); left_out('a peer', 'it is not installed')",
        "vague": "note(Figure('e', 1.0, 's', goal='fast'))",
    }
    for name, body in bodies.items():
        (tmp_path / "bench" / f"{name}.py").write_text(
            f"from report import Figure, left_out, note\nQUICK = ''\ndef main(): {body}\nmain()\n",
            "utf-8",
        )
    return tmp_path


def test_a_failed_benchmark_is_a_row_with_the_reason(repository: Path) -> None:
    script, results = repository / "scripts" / "bench", repository / "bench" / "results.json"
    done = run(script)
    assert done.returncode == 1
    found = [cells for cells in rows(done.stdout) if "failed" in cells[0]]
    assert sorted(cells[0] for cells in found) == [
        "**failed**: What is the goal 'fast' of 'e'?",
        "**failed**: it notes no figures",
        "**failed**: killed by signal 9: it says nothing",
        "**failed**: status 1: RuntimeError: no such / thing",
    ]
    assert "RuntimeError: no such | thing" in done.stderr
    assert "broken failed: status 1: RuntimeError: no such | thing" in done.stderr
    # Figures reported before the failure are there, and those of the sound benchmark as well.
    assert {"a", "b", "c", "d", "e"} <= {cells[0] for cells in rows(done.stdout)}
    assert set(read_results(results)) == set(benches(repository / "bench"))


def test_an_omission_is_a_row_and_a_status(repository: Path) -> None:
    script, results = repository / "scripts" / "bench", repository / "kept.json"
    partly = run(script, "--quick", "--results", results, "partial")
    assert partly.returncode == 3
    assert "left out: a peer, it is not installed" in partly.stdout
    sound = run(script, "--quick", "--results", results, "sound")
    assert sound.returncode == 0
    # The stored result of the other benchmark stays in the table.
    assert "left out: a peer, it is not installed" in sound.stdout
    # Results of small sizes are stored nowhere else.
    assert not (repository / "bench" / "results.json").exists()


def test_a_benchmark_without_small_sizes_fails_with_quick(repository: Path) -> None:
    bench = repository / "bench" / "sound.py"
    bench.write_text(bench.read_text("utf-8").replace("QUICK = ''", ""), "utf-8")
    done = run(repository / "scripts" / "bench", "--quick", "sound")
    assert done.returncode == 1
    assert "**failed**: it has no small sizes, see QUICK in bench/report.py" in done.stdout


def test_own_options_are_passed_to_one_benchmark(repository: Path) -> None:
    script, results = repository / "scripts" / "bench", repository / "kept.json"
    done = run(script, "--results", results, "sound", "--", "--list", "x y")
    # Missing peers are reported, but continuous integration does not need them.
    assert done.returncode == (3 if absent_peers() else 0), done.stderr
    assert read_results(results)["sound"].output == ("--list x y",)
    refused = run(script, "sound", "partial", "--", "--rounds", "1")
    assert refused.returncode == 2
    assert "options after -- are of one bench" in refused.stderr


def test_an_unknown_benchmark_is_refused(repository: Path) -> None:
    done = run(repository / "scripts" / "bench", "nonesuch")
    assert done.returncode == 2
    assert "there is no bench nonesuch; there are: broken, killed" in done.stderr


def test_pages_are_filled_from_stored_results_and_checked(
    repository: Path,
) -> None:
    scripts, page = repository / "scripts", repository / "README.md"
    page.write_text(
        "<!-- performance -->\n<!-- /performance -->\n"
        "<!-- bench: bench/silent.py -->\n<!-- /bench -->\n"
        "<!-- bench: bench/sound.py -->\nas it was\n<!-- /bench -->\n",
        "utf-8",
    )
    results = repository / "bench" / "results.json"
    write_results({"silent": RESULT}, results)
    assert run(scripts / "readme").returncode == 0
    filled = page.read_text("utf-8")
    every = benches(repository / "bench")
    assert filled == (
        f"<!-- performance -->\n{table({'silent': RESULT}, every)}<!-- /performance -->\n"
        "<!-- bench: bench/silent.py -->\n```\nwhat it printed\n```\n<!-- /bench -->\n"
        "<!-- bench: bench/sound.py -->\nas it was\n<!-- /bench -->\n"
    )
    assert run(scripts / "readme", "--check").returncode == 0
    write_results({"silent": replace(RESULT, figures=(Figure("a search", 0.511, "s"),))}, results)
    old = run(scripts / "readme", "--check")
    assert old.returncode == 1
    assert "+| a search | 0.511 s |" in old.stdout
    assert page.read_text("utf-8") == filled


# The list of benchmarks


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_module_is_a_benchmark_or_a_documented_part() -> None:
    """A new file that reports no figures is either listed as a part, or was forgotten."""
    measures = section((BENCH / "README.md").read_text("utf-8"), "What each measures")
    of_benches, of_parts = measures.split("\n| part |")
    named, parts = (
        {name for row in rows(f"|{text}") for name in re.findall(r"`(\w+\.py)`", row[0])}
        for text in (of_benches, of_parts)
    )
    every = {file.name for file in BENCH.glob("*.py")}
    found = {f"{name}.py" for name in benches()}
    assert found <= named
    assert every - found <= parts
    assert named & parts == set()


@pytest.mark.parametrize("name", benches())
def test_every_bench_has_small_sizes_and_a_place_in_the_docs(name: str) -> None:
    assert quick_options(name) is not None
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "docs").rglob("*.md"))
    assert f"<!-- bench: bench/{name}.py -->" in pages
    for option in quick_options(name) or ():
        if option.startswith("--"):
            source = (BENCH / f"{name}.py").read_text("utf-8")
            assert f'"{option.replace("--no-", "--")}", ' in source


# The table


def test_the_table_has_a_row_for_each_figure_under_its_bench() -> None:
    text = table({"models": RESULT}, ["models"])
    assert text.startswith(
        "Measured on 2026-01-02, on a machine, 2 cores usable.\n\nVersions: nmm "
    )
    assert rows(text) == [
        ["**bench/models.py**", "", "", "", "", "", ""],
        ["photos", "9.50 images/s", "torch", "4.90 images/s", "1.94", ">= 1.3 x", "yes"],
        ["a search", "0.512 s", "", "", "", "<= 0.45 s", "**no**"],
    ]


def test_the_table_marks_other_conditions_and_missing_results() -> None:
    older = replace(RESULT, date="2025-12-31", machine="another", versions="nmm 0.1.0, numpy 1.26")
    recall = replace(RESULT, figures=(Figure("recall", 0.9, ""),))
    results = {"a": recall, "b": RESULT, "c": older, "gone": RESULT}
    heads = [cells[0] for cells in rows(table(results, ["a", "0", "b", "c"])) if "**" in cells[0]]
    assert heads == [
        "**bench/b.py**",
        "**bench/c.py**: on 2025-12-31; on another; with numpy 1.26",
        "**bench/a.py**",
        "**bench/0.py**: not measured yet",
    ]


@pytest.mark.parametrize(
    ("unit", "goal", "met"),
    [
        ("s", "", None),
        ("s", "<= 2 s", True),
        ("s", "<= 1.9 s", False),
        ("s", ">= 3 x", True),
        ("s", ">= 3.1 x", False),
        ("s", ">= 2.9", True),
        ("s", ">= 300 %", True),
        ("s", ">= 310 %", False),
        ("", ">= 0.98", True),
        ("%", ">= 3 %", False),
        ("MB", "<= 1,000 MB", True),
    ],
)
def test_a_goal_applies_to_the_value_or_the_ratio(unit: str, goal: str, met: bool | None) -> None:
    assert is_met(Figure("what", 2.0, unit, "beside", 6.0, 3.0, goal)) is met


def test_a_goal_that_cannot_be_read_is_an_error() -> None:
    for goal in ("fast", "<= 2 MB", "2 s"):
        with pytest.raises(ValueError, match="What is the goal"):
            is_met(Figure("what", 2.0, "s", goal=goal))
    with pytest.raises(ValueError, match="What is the goal"):
        is_met(Figure("no ratio", 2.0, "s", goal=">= 2 x"))
