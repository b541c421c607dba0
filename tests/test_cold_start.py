"""Work of a process before it answers, in counts: imports, files, sessions. No times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import Nmm
from test_imports import HEAVY

from nmm.cli.framework.command_registry import COMMANDS, GROUPS

# Required by a search by meaning.
NEEDED = {"numpy", "onnxruntime", "tokenizers"}

# Runs the command and prints, as one line on stderr, the modules imported at its end, and the files
# and databases that Python opened.
WATCHED = """
import json, sys
opened = []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        opened.append(arguments[0])
    elif event in ("sqlite3.connect", "subprocess.Popen", "socket.connect"):
        opened.append(f"{event} {arguments[0]}")
sys.addaudithook(watch)
sys.argv = ["nmm", *sys.argv[1:]]
from nmm.cli import main
try:
    main()
except SystemExit:
    pass
print(json.dumps({"modules": sorted(sys.modules), "opened": opened}), file=sys.stderr)
"""


class Watched:
    """What a command did: its output, the modules it imported, the files it opened."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, *arguments],
            check=True,
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, **environ},
        )
        found = json.loads(done.stderr.splitlines()[-1])
        self.stdout = done.stdout
        self.modules: set[str] = set(found["modules"])
        self.opened: list[str] = found["opened"]

    @property
    def heavy(self) -> set[str]:
        return {name.partition(".")[0] for name in self.modules} & HEAVY

    @property
    def commands(self) -> set[str]:
        """The commands whose modules were imported."""
        found = {name.removeprefix("nmm.cli.commands.").rstrip("_") for name in self.modules}
        return found & {*COMMANDS, *GROUPS}


@pytest.fixture
def at(indexed: tuple[Nmm, Path]) -> dict[str, str]:
    """The environment of a command that searches the sample data."""
    _, samples = indexed
    return {"NMM_INDEX": str(samples.parent / "index"), "NMM_CONFIG": os.devnull}


def spans(said: str) -> dict[str, int]:
    """Return how often each span ended, by name, from the output of NMM_TIMING=json."""
    return {one["span"][-1]: one["times"] for one in json.loads(said.splitlines()[-1])["spans"]}


def test_a_search_imports_what_embeds_a_query_and_nothing_else_that_is_heavy(
    at: dict[str, str],
) -> None:
    done = Watched("search", "a cat", "--paths", **at)
    assert done.stdout.count("\n") == 10
    assert done.heavy == NEEDED
    # Modules that numpy imports for a median, which takes longer than the search.
    assert "numpy.ma" not in done.modules


@pytest.mark.parametrize(
    "options",
    [
        ("-k", "3"),
        ("--type", "image"),
        ("--mode", "semantic"),
        ("--min-score", "0.5"),
        ("--in", "photos"),
        ("--json",),
    ],
)
def test_no_option_imports_a_conversion_library(
    at: dict[str, str], options: tuple[str, ...]
) -> None:
    form = () if "--json" in options else ("--paths",)
    done = Watched("search", "a cat", *options, *form, **at)
    assert done.heavy == NEEDED


def test_only_a_table_imports_rich(at: dict[str, str]) -> None:
    assert Watched("search", "a cat", **at).heavy == {*NEEDED, "rich"}


def test_what_an_index_lists_is_listed_without_a_model(at: dict[str, str]) -> None:
    for arguments in (["status", "--json"], ["roots", "list", "--json"], ["history"]):
        assert NEEDED & Watched(*arguments, **at).heavy == set(), arguments


def test_a_command_imports_its_own_module_only_and_help_none(at: dict[str, str]) -> None:
    assert Watched("--version", **at).commands == set()
    assert Watched("search", "a cat", "--paths", **at).commands == {"search"}
    assert Watched("--help", **at).commands == set()


def test_help_of_all_names_every_command_in_one_line(nmm: Nmm) -> None:
    lines = nmm("--help", COLUMNS="80").stdout.splitlines()
    for name, line in {**COMMANDS, **GROUPS}.items():
        assert f"  {name:8}  {line}" in lines


def test_a_search_opens_the_catalog_once_and_reads_no_file_of_the_index(
    at: dict[str, str], model_cache: Path
) -> None:
    opened = Watched("search", "a cat", "--paths", **at).opened
    connected = [name for name in opened if name.startswith("sqlite3.connect")]
    assert len(connected) == 1
    assert connected[0].endswith("catalog.db?mode=ro")
    assert [name for name in opened if name.startswith(at["NMM_INDEX"])] == []
    of_models = {Path(name).name for name in opened if name.startswith(str(model_cache))}
    assert of_models == {"manifest.json"}
    assert [name for name in opened if name.startswith(("subprocess", "socket"))] == []


def test_a_search_opens_one_session_and_no_tower_that_it_does_not_need(
    indexed: tuple[Nmm, Path],
) -> None:
    nmm, samples = indexed
    found = spans(nmm("search", "a cat", "--paths", NMM_TIMING="json").stderr)
    once = {"session of text.onnx opened", "tokenizer opened", "model run", "catalog opened"}
    assert {name: times for name, times in found.items() if name in once} == dict.fromkeys(once, 1)
    assert "session of vision.onnx opened" not in found
    # A search by keywords alone, or by indexed vectors, opens no model.
    photo = samples / "photos" / "chelsea.jpg"
    for arguments in (["search", "cat", "--mode", "keyword"], ["similar", photo]):
        found = spans(nmm(*arguments, "--paths", NMM_TIMING="json").stderr)
        assert not [name for name in found if "session" in name or "tokenizer" in name]


def test_all_queries_of_a_run_share_a_session(indexed: tuple[Nmm, Path]) -> None:
    nmm, _ = indexed
    done = nmm("search", "-", "--paths", stdin="a cat\nboats\nred\n", NMM_TIMING="json")
    found = spans(done.stderr)
    assert (found["session of text.onnx opened"], found["query embedded"]) == (1, 3)


def test_numpy_in_a_search_starts_no_threads_and_the_variable_is_as_before(
    at: dict[str, str],
) -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from nmm.index.search.engine import open_search\n"
        "from nmm.index.store.layout import IndexFolder\n"
        "with open_search(IndexFolder(Path(os.environ['NMM_INDEX'])), once=True):\n"
        "    threads = Path('/proc/self/task')\n"
        "    count = len(list(threads.iterdir())) if threads.exists() else 1\n"
        "print('numpy' in sys.modules, count, os.environ.get('OPENBLAS_NUM_THREADS'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"} | at,
    )
    assert done.stdout.split() == ["True", "1", "None"]
