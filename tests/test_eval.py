"""`nmm eval retrieval`: its figures are those of the searches that a user makes."""

from __future__ import annotations

import csv
import json
import math
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hostile import NAMES
from support import SAMPLE_DATA, Nmm

from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import UsageError
from nmm.index.evaluation.judgments import read_judgments
from nmm.index.evaluation.retrieval import DEPTH, METRICS
from nmm.index.indexing.indexer import build
from nmm.index.store.layout import IndexFolder

CAPTIONS = {
    "a cat": ["photos/chelsea.jpg", "notes/chelsea.md"],
    "coffee": ["photos/espresso.jpg", "recipes/espresso.md"],
    "wall clock": ["photos/wall_clock.jpg"],
    "lentils": ["recipes/lentil_soup.txt"],
    "a poem about boats in the snow": ["poems/winter_harbour.txt"],
    "inventory of kitchen cupboards": ["docs/larder_readme.md"],
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, mini: OnnxEncoder) -> tuple[Path, Path]:
    """A copy of the sample data and its index. Read-only."""
    del mini  # it is prepared
    home = tmp_path_factory.mktemp("eval")
    samples = Path(shutil.copytree(SAMPLE_DATA, home / "sample_data"))
    build([samples], IndexFolder(home / "index"), model="mini")
    return samples, home / "index"


@pytest.fixture
def samples(built: tuple[Path, Path]) -> Path:
    """The copy, for caption files."""
    return built[0]


@pytest.fixture
def index(tmp_path: Path, built: tuple[Path, Path]) -> Path:
    """The user's index, of the copy."""
    return Path(shutil.copytree(built[1], tmp_path / "index"))


def write(file: Path, captions: dict[str, list[str]]) -> Path:
    lines = [{"query": query, "relevant": paths} for query, paths in captions.items()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return file


def said(done: subprocess.CompletedProcess[str], status: int = 0) -> dict[str, Any]:
    assert done.returncode == status, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def values(result: dict[str, Any]) -> list[float]:
    return [result["metrics"][name]["value"] for name in METRICS]


def figures(ranks: Sequence[int], relevant: int) -> list[float]:
    """Compute the metrics of a query independently, without ties."""
    gain = sum(1 / math.log2(1 + rank) for rank in ranks if rank <= 10)
    best = sum(1 / math.log2(2 + place) for place in range(min(relevant, 10)))
    return [
        *(sum(rank <= count for rank in ranks) / relevant for count in (1, 5, 10)),
        1 / ranks[0] if ranks else 0,
        gain / best,
    ]


def test_figures_are_those_of_the_searches_that_a_user_makes(
    here: Nmm, index: Path, samples: Path
) -> None:
    file = write(samples / "captions.jsonl", CAPTIONS)
    for options in ([], ["--mode", "semantic"], ["--mode", "keyword"], ["--type", "text"]):
        answer = said(here("eval", "retrieval", file, "--json", *options))
        result = answer["results"][0]
        expected = {}
        for query, paths in CAPTIONS.items():
            found = json.loads(here("search", query, "-k", str(DEPTH), "--json", *options).stdout)
            right = {str(samples / path) for path in paths}
            if "--type" in options:
                right = {path for path in right if not path.endswith(".jpg")}
            rows = [{one["path"], *one["copies"]} for one in found["results"]]
            ranks = [rank for rank, row in enumerate(rows, 1) if row & right]
            if right:
                expected[query] = (ranks, figures(ranks, len(right)))
        assert {one["query"]: one["ranks"] for one in result["queries"]} == {
            query: ranks for query, (ranks, _) in expected.items()
        }
        for one in result["queries"]:
            assert [one["metrics"][name] for name in METRICS] == pytest.approx(
                expected[one["query"]][1]
            )
        assert values(result) == pytest.approx(
            [
                sum(column) / len(expected)
                for column in zip(*(f for _, f in expected.values()), strict=True)
            ]
        )
        assert answer["queries"] == len(expected)
    assert result["without"] == ["wall clock"]
    assert result["outside"] == 3


def test_the_table_says_what_a_person_asks_for(here: Nmm, index: Path, samples: Path) -> None:
    file = write(samples / "captions.jsonl", CAPTIONS)
    done = here("eval", "retrieval", file)
    assert (done.returncode, done.stderr) == (0, "")
    head, _, names, first, second = done.stdout.splitlines()
    assert head == "6 queries, 1.3 relevant files each, among 31 files, mode hybrid"
    assert names.split() == ["recall@1", "recall@5", "recall@10", "MRR", "nDCG@10"]
    exact = values(said(here("eval", "retrieval", file, "--json"))["results"][0])
    assert first.split() == ["mini", *(f"{value:.3f}" for value in exact)]
    assert second.split()[:3] == ["95", "%", "interval"]
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_copies_count_as_one_relevant_item(here: Nmm, tmp_path: Path, sample_data: Path) -> None:
    """Nothing distinguishes a copy from its original, whichever of them a caption names."""
    shutil.copy(sample_data / "photos" / "chelsea.jpg", sample_data / "photos" / "a_first.jpg")
    build([sample_data], IndexFolder(tmp_path / "index"), model="mini")
    one = write(sample_data / "one.jsonl", {"a cat": ["photos/chelsea.jpg"]})
    other = write(sample_data / "other.jsonl", {"a cat": ["photos/a_first.jpg"]})
    both = write(
        sample_data / "both.jsonl", {"a cat": ["photos/chelsea.jpg", "photos/a_first.jpg"]}
    )
    answers = [
        said(here("eval", "retrieval", file, "--json"))["results"][0]["queries"]
        for file in (one, other, both)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0]["relevant"] == 1
    assert answers[0][0]["ranks"] == [1]


def test_lines_with_the_same_query_are_merged(tmp_path: Path) -> None:
    file = tmp_path / "captions.jsonl"
    file.write_text(
        '\ufeff{"query": "a", "relevant": "x.jpg"}\r\n\r\n'
        '{"query": "a", "relevant": ["y/../x.jpg", "/z.jpg"], "id": 7}\r\n',
        "utf-8",
    )
    found = read_judgments(file)
    assert found.relevant == {"a": [str(tmp_path / "x.jpg"), "/z.jpg"]}
    assert found.bad == []


def test_invalid_lines_are_reported_and_counted(here: Nmm, index: Path, samples: Path) -> None:
    file = write(samples / "captions.jsonl", {"a cat": ["photos/chelsea.jpg"]})
    hostile = [name for name in NAMES if "/" not in name and name.strip()]
    with file.open("a", encoding="utf-8") as lines:
        lines.write(
            'nonsense\n[1]\n{"query": 3, "relevant": ["x"]}\n{"query": " ", "relevant": ["x"]}\n'
        )
        lines.write(
            '{"query": "b"}\n{"query": "b", "relevant": []}\n{"query": "b", "relevant": [3]}\n'
        )
        lines.write(
            '{"query": "b", "relevant": ["\\ud800"]}\n{"query": "b", "relevant": ["\\u0000"]}\n'
        )
        lines.write("[" * 100_000 + "\n")
        lines.write(json.dumps({"query": "evil \x1b[2J", "relevant": hostile}) + "\n")
    done = here("eval", "retrieval", file)
    assert done.returncode == 3
    assert "10 lines were skipped:" in done.stderr
    assert "line 2: not JSON: Expecting value" in done.stderr
    assert "line 4: 'query' is not a text" in done.stderr
    assert "line 9: 'relevant' is not a list of paths" in done.stderr
    assert (
        f"{len(hostile)} relevant paths are not in the index and count as not found:" in done.stderr
    )
    assert f"and {len(hostile) - 10} more: --json" in done.stderr
    assert all(
        line.isprintable() for line in [*done.stderr.splitlines(), *done.stdout.splitlines()]
    )
    answer = said(here("eval", "retrieval", file, "--json", "-q"), 3)
    assert [one["line"] for one in answer["skipped"]] == list(range(2, 12))
    [result] = answer["results"]
    assert result["unknown"] == [str(samples / name) for name in hostile]
    # Half of the queries find nothing relevant.
    assert [one["ranks"] for one in result["queries"]] == [[1], []]
    assert values(result)[0] == 0.5


def test_hostile_names_that_are_there_are_found(
    here: Nmm, tmp_path: Path, sample_data: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    name = "line\nbreak\x1b[2J.jpg"
    shutil.copy(sample_data / "photos" / "chelsea.jpg", folder / name)
    build([folder], IndexFolder(tmp_path / "index"), model="mini")
    done = here("eval", "retrieval", write(folder / "captions.jsonl", {"a cat": [name]}), "--json")
    # An index of one file.
    answer = said(done)
    assert answer["results"][0]["files"] == 1
    assert answer["results"][0]["metrics"]["recall@1"] == {"value": 1.0, "low": None, "high": None}


def test_a_link_to_where_the_files_are_will_do(
    here: Nmm, tmp_path: Path, index: Path, samples: Path
) -> None:
    (tmp_path / "link").symlink_to(samples, target_is_directory=True)
    file = write(tmp_path / "captions.jsonl", {"a cat": ["link/photos/chelsea.jpg"]})
    assert said(here("eval", "retrieval", file, "--json"))["results"][0]["unknown"] == []


def test_a_missed_limit_is_a_status(here: Nmm, index: Path, samples: Path) -> None:
    file = write(samples / "captions.jsonl", CAPTIONS)
    command = ("eval", "retrieval", file, "--json", "-q", "--fail-under")
    reached = here(*command, "recall@10=0.5", "--fail-under", "MRR=0.1")
    assert said(reached)["below"] == []
    missed = here(*command, "recall@1=0.99")
    answer = said(missed, 1)
    value = answer["results"][0]["metrics"]["recall@1"]["value"]
    assert answer["below"] == [
        {"name": "mini", "metric": "recall@1", "value": value, "least": 0.99}
    ]
    assert missed.stderr == f"mini: recall@1 is {value:.4f}, below 0.99.\n"
    for wrong in ("recall@3=1", "mrr", "mrr=nan", "mrr=x"):
        refused = here(*command, wrong)
        assert refused.returncode == 2
        assert "The figures are: recall@1, recall@5, recall@10, mrr, ndcg@10." in refused.stderr


def test_filters_without_results_are_reported(here: Nmm, index: Path, samples: Path) -> None:
    file = write(samples / "captions.jsonl", CAPTIONS)
    done = here("eval", "retrieval", file, "--before", "1970")
    assert done.returncode == 1
    assert "No file passes --before 1970 (31 files without it)." in done.stderr
    done = here("eval", "retrieval", file, "--in", "*.py")
    assert done.returncode == 1
    assert "The filters exclude all relevant files of every query." in done.stderr


def test_two_models_are_compared_on_the_same_files(
    here: Nmm, tmp_path: Path, index: Path, samples: Path, tiny_pair: Path
) -> None:
    pair = tiny_pair
    file = write(samples / "captions.jsonl", CAPTIONS)
    command = ("eval", "retrieval", file, "--model", "mini", "--model", pair, "--json")
    before = sorted((path.name, path.stat().st_mtime_ns) for path in index.glob("catalog.db"))
    first = here(*command)
    answer = said(first)
    assert [one["model"] for one in answer["results"]] == ["mini", str(pair)]
    # mini is the index's own model; the other model's index is elsewhere, and contains the same
    # files.
    mine, other = answer["results"]
    assert mine["index"] == str(index)
    assert not Path(other["index"]).is_relative_to(tmp_path / "index")
    assert mine["files"] == 31
    assert other["files"] > 31  # captions are texts, too
    assert (
        sorted((path.name, path.stat().st_mtime_ns) for path in index.glob("catalog.db")) == before
    )
    [difference] = answer["differences"]
    assert (difference["name"], difference["minus"]) == (str(pair), "mini")
    for name in METRICS:
        expected = other["metrics"][name]["value"] - mine["metrics"][name]["value"]
        assert difference["metrics"][name]["value"] == pytest.approx(expected)
    # Random weights find less than mini does, and six queries are enough to show it.
    assert difference["metrics"]["mrr"]["high"] < 0
    # The second time, nothing is embedded again, and the result is the same.
    assert said(here(*command))["results"] == answer["results"]
    shutil.rmtree(other["index"])
    table = here("eval", "retrieval", file, "--model", "mini", "--model", pair)
    assert "pair minus mini\n" in table.stdout
    assert "A difference is significant if its interval excludes 0." in table.stdout
    assert all(len(line) <= 80 for line in table.stdout.splitlines())
    shutil.rmtree(other["index"])


def test_another_index_is_compared(here: Nmm, tmp_path: Path, index: Path, samples: Path) -> None:
    """With the same model: the folders distinguish the names."""
    build([samples / "photos"], IndexFolder(tmp_path / "photos only"), model="mini")
    file = write(samples / "captions.jsonl", CAPTIONS)
    command = ("eval", "retrieval", file, "--compare", tmp_path / "photos only")
    answer = said(here(*command, "--json"), 3)
    names = [one["name"] for one in answer["results"]]
    assert names == [f"mini, {index}", f"mini, {tmp_path / 'photos only'}"]
    missing = [path for paths in CAPTIONS.values() for path in paths if not path.endswith(".jpg")]
    assert answer["results"][1]["unknown"] == [str(samples / path) for path in missing]
    assert "mini, photos only minus mini, index" in here(*command).stdout


def test_csv_has_a_row_for_each_query(here: Nmm, index: Path, samples: Path) -> None:
    file = write(samples / "captions.jsonl", CAPTIONS)
    rows = list(csv.DictReader(here("eval", "retrieval", file, "--csv").stdout.splitlines()))
    assert [row["query"] for row in rows] == list(CAPTIONS)
    queries = said(here("eval", "retrieval", file, "--json"))["results"][0]["queries"]
    assert [json.loads(row["ranks"]) for row in rows] == [one["ranks"] for one in queries]
    both = here("eval", "retrieval", file, "--csv", "--json")
    assert both.returncode == 2


def test_errors_say_what_to_do(here: Nmm, tmp_path: Path, index: Path, samples: Path) -> None:
    file = write(samples / "captions.jsonl", CAPTIONS)
    elsewhere = write(tmp_path / "captions.jsonl", CAPTIONS)
    away = here("eval", "retrieval", elsewhere)
    assert away.returncode == 2
    assert "None of the 8 relevant paths is in the index" in away.stderr
    assert here("eval", "retrieval", file, "--index", tmp_path / "none").returncode == 4
    assert here("eval", "retrieval", tmp_path / "none.jsonl").returncode == 2
    picture = here("eval", "retrieval", samples / "photos" / "chelsea.jpg")
    assert picture.returncode == 2
    assert "is not in UTF-8" in picture.stderr
    unknown = here("eval", "retrieval", file, "--model", "nonesuch")
    assert unknown.returncode == 4
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(UsageError, match="holds no valid query"):
        read_judgments(empty)
    # An index without any indexed files.
    (tmp_path / "nothing").mkdir()
    assert here("roots", "add", tmp_path / "nothing", "--index", tmp_path / "new").returncode == 0
    new = here("eval", "retrieval", file, "--index", tmp_path / "new")
    assert new.returncode == 4
    assert "is empty" in new.stderr


def test_an_index_without_its_words_is_not_measured_as_if_it_had_them(
    here: Nmm, index: Path, samples: Path
) -> None:
    file = write(samples / "captions.jsonl", CAPTIONS)
    with sqlite3.connect(index / "catalog.db") as catalog:
        catalog.execute("DROP TABLE passage_words")
    catalog.close()
    done = here("eval", "retrieval", file)
    assert done.returncode == 4
    assert "Full-text search does not work" in done.stderr
    assert here("eval", "retrieval", file, "--mode", "semantic").returncode == 0
