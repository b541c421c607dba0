"""Files of an earlier version open and answer the same; no command and no option is lost.

`tests/compat/make.py` says how the fixtures are made.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from commands import Start, command_in
from compat.recorded import COMMANDS, FILES, HERE, MADE, interface, record, set_times

from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.indexing import indexer as indexer_module
from nmm.index.indexing.indexer import build
from nmm.index.store.layout import IndexFolder

EXPECTED = json.loads((HERE / "expected.json").read_text("utf-8"))


class Home:
    """A folder as it was when the fixtures were made, in another place."""

    def __init__(self, path: Path, start: Start) -> None:
        self.path = path.resolve()
        self.index = IndexFolder(self.path / "index")
        self._nmm = command_in(self.path, start)
        with zipfile.ZipFile(MADE) as made:
            made.extractall(self.path)
        shutil.copytree(FILES, self.path / "files")
        set_times(self.path / "files")
        for text in (self.path / "config.toml", *(self.path / "state").rglob("*.jsonl")):
            moved = text.read_text("utf-8").replace(EXPECTED["home"], str(self.path))
            text.write_text(moved, "utf-8")

    def run(self, *arguments: str) -> tuple[int, str]:
        done = self._nmm(
            *arguments,
            NMM_CONFIG=str(self.path / "config.toml"),
            XDG_STATE_HOME=str(self.path / "state"),
            COLUMNS="200",
        )
        return done.returncode, done.stdout

    def move_roots(self) -> None:
        status, _ = self.run("roots", "move", EXPECTED["home"], str(self.path))
        assert status == 0

    def vectors(self) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.index.catalog)) as connection:
            return connection.execute(
                "SELECT chunk_id, vector FROM vectors ORDER BY chunk_id"
            ).fetchall()


@pytest.fixture
def home(mini: OnnxEncoder, tmp_path: Path, start_command: Start) -> Home:
    return Home(tmp_path / "compat", start_command)


@pytest.fixture(scope="module")
def moved(
    mini: OnnxEncoder, tmp_path_factory: pytest.TempPathFactory, start_command: Start
) -> Home:
    """The index, with its roots at the new place. Tests do not change it, except for an update."""
    home = Home(tmp_path_factory.mktemp("home") / "compat", start_command)
    home.move_roots()
    return home


def assert_same(found: Any, expected: Any, where: str) -> None:
    """Compare two outputs; numbers, which are scores, may differ in the fifth digit."""
    if isinstance(expected, float) and isinstance(found, float):
        assert found == pytest.approx(expected, abs=1e-4), where
    elif isinstance(expected, dict) and isinstance(found, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_same(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list) and isinstance(found, list):
        assert len(found) == len(expected), where
        for number, pair in enumerate(zip(found, expected, strict=True)):
            assert_same(*pair, f"{where}[{number}]")
    else:
        assert found == expected, where


@pytest.mark.parametrize(
    "expected", EXPECTED["commands"], ids=[" ".join(c["arguments"]) for c in EXPECTED["commands"]]
)
def test_a_command_answers_as_before(moved: Home, expected: dict[str, Any]) -> None:
    (found,) = record(moved.run, moved.path, ((*expected["arguments"],),))
    assert found["status"] == expected["status"]
    if expected["arguments"] == ["status", "--json"]:
        # The schema is migrated, and the catalog of before is kept beside it.
        assert found["output"].pop("size") > expected["output"]["size"]
        expected = {**expected, "output": {**expected["output"]}}
        del expected["output"]["size"]
    assert_same(found["output"], expected["output"], " ".join(expected["arguments"]))


def test_all_commands_are_recorded() -> None:
    assert [tuple(c["arguments"]) for c in EXPECTED["commands"]] == [*COMMANDS]
    assert {command[0] for command in COMMANDS if command} > {"search", "similar", "save", "index"}


def test_an_index_is_opened_and_updated_without_embedding(
    home: Home, mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[str] = []

    class Counting:
        """The real encoder, with its embedding calls counted."""

        def __getattr__(self, name: str) -> Any:
            if name.startswith(("embed", "submit")):
                embedded.append(name)
            return getattr(mini, name)

    before = home.vectors()
    assert len(before) > 30
    segments = {file.name: file.read_bytes() for file in home.index.vectors.glob("*.faiss")}
    assert segments
    home.move_roots()
    monkeypatch.setattr(indexer_module, "load_encoder", lambda *_, **__: Counting())
    summary = build([], home.index)
    assert (summary.unchanged, summary.added, summary.updated, embedded) == (8, 0, 0, [])
    assert home.vectors() == before
    after = {file.name: file.read_bytes() for file in home.index.vectors.glob("*.faiss")}
    assert after == segments
    # The counter works: a new file is embedded.
    (home.path / "files" / "new.txt").write_text("A new note.\n")
    assert (build([], home.index).added, bool(embedded)) == (1, True)


def test_an_archive_is_an_index_with_the_same_answers(home: Home) -> None:
    before = home.vectors()
    shutil.rmtree(home.index.path)
    status, _ = home.run("import", str(home.path / "archive.nmm"))
    assert status == 0
    home.move_roots()
    assert sorted(vector for _, vector in home.vectors()) == sorted(vector for _, vector in before)
    recorded = [
        c
        for c in EXPECTED["commands"]
        if c["arguments"] in (["search", "a cat", "--json"], ["tags", "--json"])
    ]
    assert len(recorded) == 2
    for expected in recorded:
        (found,) = record(home.run, home.path, ((*expected["arguments"],),))
        assert_same(found, expected, str(expected["arguments"]))


def test_no_command_and_no_option_is_lost(moved: Home) -> None:
    def check(found: dict[str, Any], expected: dict[str, Any], name: str) -> int:
        assert found["status"] == expected["status"], name
        assert set(expected["options"]) - set(found["options"]) == set(), name
        assert expected["commands"].keys() - found["commands"].keys() == set(), name
        below = expected["commands"].items()
        inner = sum(check(found["commands"][key], value, f"{name} {key}") for key, value in below)
        return len(expected["options"]) + inner

    assert check(interface(moved.run), EXPECTED["interface"], "nmm") > 400
