"""A power failure during a run: committed work is there, and the rest is done again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from crash import trace, tree
from crash.checks import Held, check, check_between, check_finished
from crash.power import Files, all_of, read_files, some_of, write_files
from crash.runner import Runner, job
from crash.trace import Operation

from nmm.index.store.layout import IndexFolder

# Failures in each of 6 series: in the default tier and in the nightly tier.
POINTS, NIGHTLY_POINTS = 6, 20
WAYS = ("first", "update", "rebuild")
COMMITTED = Operation("L", "batch committed")


@dataclass
class Scene:
    """An index before a run, the run's writes, and the expected index afterwards."""

    runner: Runner
    scratch: Path
    index: IndexFolder
    one_go: IndexFolder
    start: Files
    operations: list[Operation]
    before: Held
    after: Held
    rebuild: bool

    def put(self, files: Files) -> Held:
        """Make the index from certain files, and check it."""
        shutil.rmtree(self.index.path, ignore_errors=True)
        write_files(files, self.index.path)
        return check(self.index, self.scratch)

    def committed(self, point: int) -> Held:
        """Return the content of an index that was committed before a point."""
        last = max((n for n in range(point) if self.operations[n] == COMMITTED), default=None)
        if last is None:
            return self.before
        return self.put(all_of(self.start, self.operations[:last]))

    def check(self, files: Files, point: int) -> None:
        """Check that an index of those files has all committed work, and a run completes it."""
        least = self.committed(point)
        held = self.put(files)
        check_between(held, self.before, self.after)
        assert least.files.items() & self.after.files.items() <= held.files.items()
        self.runner.finish(replace(job(self.index, self.root), rebuild=self.rebuild))
        check_finished(self.index, self.one_go, self.scratch)

    @property
    def root(self) -> Path:
        return self.index.path.with_name("root")


@pytest.fixture
def scene(faulty: Runner, tmp_path: Path, scratch: Path, way: str) -> Scene:
    path = tmp_path.resolve()
    root = tree.plant(path / "root", notes=10, pictures=3, paragraphs=10)
    index, one_go = IndexFolder(path / "index"), IndexFolder(path / "one_go")
    if way != "first":
        faulty.finish(job(index, root))
    before = check(index, scratch)
    if way == "update":
        tree.edit(root)
    faulty.finish(job(one_go, root))
    start = read_files(index.path)
    log = str(path / "trace")
    todo = replace(job(index, root), rebuild=way == "rebuild", trace=log, labels=log)
    faulty.finish(todo)
    operations = [
        operation
        for operation in trace.read(Path(log), index.path)
        if not operation.path.endswith("-shm")
    ]
    after = check(one_go, scratch)
    return Scene(faulty, scratch, index, one_go, start, operations, before, after, way == "rebuild")


def everything(start: Files, operations: list[Operation], _: random.Random) -> Files:
    return all_of(start, operations)


@pytest.mark.parametrize("left", [everything, some_of], ids=["everything", "what was synced"])
@pytest.mark.parametrize("way", WAYS)
def test_the_power_goes(scene: Scene, way: str, left: Callable[..., Files], nightly: bool) -> None:
    chance = random.Random(f"{way} {left.__name__}")
    number = len(scene.operations)
    points = chance.sample(range(1, number + 1), NIGHTLY_POINTS)
    for point in sorted(points if nightly else points[:POINTS]):
        print(f"after {point} of {number}: {scene.operations[point - 1].what}")
        scene.check(left(scene.start, scene.operations[:point], chance), point)


@pytest.mark.parametrize("way", WAYS)
def test_the_trace_is_all_that_the_run_wrote(scene: Scene, way: str) -> None:
    files = {name for name in scene.start if name != "write.lock"}
    written = all_of(scene.start, scene.operations)
    there = read_files(scene.index.path)
    assert {name: data for name, data in written.items() if data} == {
        name: data for name, data in there.items() if data
    }
    assert files or way == "first"
    assert scene.operations.count(COMMITTED) > 3
