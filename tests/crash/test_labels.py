"""A run killed at each labelled point of its commits."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from crash import trace, tree
from crash.checks import EMPTY, check, check_between, check_finished
from crash.runner import Runner, job
from sqlite_utils import Database
from support import column_now

import nmm.index
from nmm.index.store.catalog.migrations import migrations
from nmm.index.store.catalog.reader import SCHEMA
from nmm.index.store.layout import IndexFolder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")

LABEL = re.compile(r'sys\.audit\(\s*"nmm\.store",\s*"([^"]+)"\s*\)')
# From here on, any run cleans up after a rebuild.
TAKEN_OVER = {"rebuild taken over", "file to be deleted"}
WAYS = ("first", "update", "rebuild", "old schema")


class Scene:
    """An index before a run, the run, and the expected index afterwards.

    Attributes:
        start: The index before; it may not exist.
        one_go: An index built in one run from the folder's current content.
        todo: The run, on a copy of `start`.
        passed: How often it passes each label.
    """

    def __init__(self, runner: Runner, path: Path, way: str) -> None:
        path = path.resolve()
        self.root = tree.plant(path / "root", notes=10, pictures=3, paragraphs=10)
        self.start = IndexFolder(path / "start")
        self.one_go = IndexFolder(path / "one_go")
        self.index = IndexFolder(path / "index")
        self.todo = replace(job(self.index, self.root), rebuild=way == "rebuild")
        if way != "first":
            runner.finish(job(self.start, self.root))
        if way == "update":
            tree.edit(self.root)
        if way == "old schema":
            make_old(self.start)
        runner.finish(job(self.one_go, self.root))
        log = path / "labels"
        self.begin()
        runner.finish(replace(self.todo, labels=str(log)))
        self.passed = Counter(operation.path for operation in trace.read(log, self.index.path))

    def begin(self) -> None:
        """Restore the index to its state before the run."""
        shutil.rmtree(self.index.path, ignore_errors=True)
        if self.start.path.exists():
            shutil.copytree(self.start.path, self.index.path)


def make_old(folder: IndexFolder) -> None:
    """Convert an index to the first schema, with everything that schema could store."""
    new = folder.catalog.rename(folder.path / "new.db")
    shutil.rmtree(folder.vectors)
    with closing(sqlite3.connect(folder.catalog, isolation_level=None)) as old:
        migrations.apply(Database(old), stop_before="m002_segments")
        old.execute("ATTACH ? AS new", (str(new),))
        for (table,) in old.execute(
            "SELECT name FROM main.sqlite_schema WHERE type = 'table' "
            "AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name NOT LIKE '!_%' ESCAPE '!'"
        ).fetchall():
            if old.execute(f"PRAGMA new.table_info({table})").fetchall():
                columns = ", ".join(
                    column_now(table, row[1]) for row in old.execute(f"PRAGMA table_info({table})")
                )
                old.execute(f"INSERT INTO main.{table} SELECT {columns} FROM new.{table}")
    new.unlink()


@pytest.fixture
def scene(runner: Runner, tmp_path: Path, way: str) -> Scene:
    return Scene(runner, tmp_path, way)


@pytest.mark.parametrize(
    "nth",
    [
        pytest.param(1, id="first"),
        pytest.param(2, id="second", marks=pytest.mark.nightly),
        pytest.param(0, id="middle", marks=pytest.mark.nightly),
        pytest.param(-1, id="last"),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_a_run_killed_at_each_label(
    runner: Runner, scene: Scene, way: str, nth: int, scratch: Path
) -> None:
    before = check(scene.start, scratch) if way != "first" else EMPTY
    after = check(scene.one_go, scratch)
    places = {1: lambda _: 1, 2: lambda _: 2, 0: lambda n: (n + 1) // 2, -1: lambda n: n}
    for label, times in scene.passed.items():
        place = places[nth](times)
        if place > times or (nth != 1 and place == 1) or (nth == 0 and place == 2):
            continue  # there is no such passage, or it is equivalent to another
        print(f"{label}, {place} of {times}")
        scene.begin()
        assert runner.killed(replace(scene.todo, kill_at=(label, place)))
        check_between(check(scene.index, scratch), before, after)
        runner.finish(replace(scene.todo, rebuild=scene.todo.rebuild and label not in TAKEN_OVER))
        check_finished(scene.index, scene.one_go, scratch)


@pytest.mark.parametrize("way", WAYS[3:])
def test_the_old_schema_is_an_old_one(scene: Scene) -> None:
    with closing(sqlite3.connect(scene.start.catalog)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,) < (SCHEMA,)
        assert connection.execute("SELECT count(*) FROM vectors").fetchone() > (10,)


def test_every_label_is_reached(runner: Runner, tmp_path: Path) -> None:
    (engine,) = nmm.index.__path__
    written = {
        label
        for file in Path(engine).rglob("*.py")
        for label in LABEL.findall(file.read_text("utf-8"))
    }
    scenes = [Scene(runner, tmp_path / way, way) for way in WAYS]
    assert written == {label for scene in scenes for label in scene.passed}
    assert len(written) >= 15
