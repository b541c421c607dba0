"""Writes that fail with ENOSPC or EIO or half done are reported, and the next run recovers."""

from __future__ import annotations

import errno
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from crash import trace, tree
from crash.checks import check, check_between, check_finished
from crash.runner import Runner, job

from nmm.index.store.layout import IndexFolder

# Failures in each of 15 series: in the default tier and in the nightly tier.
POINTS, NIGHTLY_POINTS = 3, 8
WAYS = ("first", "update", "rebuild")
FAULTS = {
    "full for a moment": (errno.ENOSPC, False),
    "full": (errno.ENOSPC, True),
    "error once": (errno.EIO, False),
    "errors": (errno.EIO, True),
    "half": (0, False),
}
UNEXPECTED = 70
SOME_SKIPPED = 3
NO_INDEX_OR_MODEL = 4


class Scene:
    """An index before a run, the run, and its content before and after."""

    def __init__(self, runner: Runner, path: Path, scratch: Path, way: str) -> None:
        path = path.resolve()
        self._path = path
        root = tree.plant(path / "root", notes=10, pictures=3, paragraphs=10)
        self.trace = path / "trace"
        self.start, self.index = IndexFolder(path / "start"), IndexFolder(path / "index")
        self.one_go = IndexFolder(path / "one_go")
        if way != "first":
            runner.finish(job(self.start, root))
        self.before = check(self.start, scratch)
        if way == "update":
            tree.edit(root)
        runner.finish(job(self.one_go, root))
        self.after = check(self.one_go, scratch)
        self.todo = replace(
            job(self.index, root), rebuild=way == "rebuild", said=str(path / "said")
        )

    def begin(self) -> None:
        """Restore the index to its state before the run."""
        shutil.rmtree(self.index.path, ignore_errors=True)
        if self.start.path.exists():
            shutil.copytree(self.start.path, self.index.path)

    def said(self) -> str:
        return (self._path / "said").read_text("utf-8")

    def operations(self, runner: Runner) -> int:
        """Return the number of operations of the run."""
        self.begin()
        assert runner.status(replace(self.todo, trace=str(self.trace))) == SOME_SKIPPED, self.said()
        return len(trace.read(self.trace, self.index.path))


@pytest.fixture
def scene(faulty: Runner, tmp_path: Path, scratch: Path, way: str) -> Scene:
    return Scene(faulty, tmp_path, scratch, way)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("way", WAYS)
def test_a_write_that_fails(
    faulty: Runner, scene: Scene, way: str, fault: str, scratch: Path, nightly: bool
) -> None:
    error, lasting = FAULTS[fault]
    number = scene.operations(faulty)
    assert number > 50
    points = random.Random(f"{way} {fault}").sample(range(1, number + 1), NIGHTLY_POINTS)
    for point in sorted(points if nightly else points[:POINTS]):
        scene.begin()
        status = faulty.status(replace(scene.todo, fail_at=point, error=error, lasting=lasting))
        print(f"operation {point} of {number}: status {status}\n{scene.said()}")
        held = check(scene.index, scratch)
        check_between(held, scene.before, scene.after)
        if status == SOME_SKIPPED:  # the failure had no effect
            assert held == scene.after
        elif error:
            assert status == NO_INDEX_OR_MODEL
            assert "nmm: The " in scene.said()
            assert "\n" in scene.said().partition("nmm: ")[2]  # the reason, or what to do
            assert "unexpected" not in scene.said()
        faulty.finish(replace(scene.todo, said=None))
        check_finished(scene.index, scene.one_go, scratch)


@pytest.mark.parametrize("way", ["rebuild"])
def test_each_rename_and_deletion_that_fails(faulty: Runner, scene: Scene, scratch: Path) -> None:
    scene.operations(faulty)
    done = [operation.what for operation in trace.read(scene.trace, scene.index.path)]
    points = [n for n, what in enumerate(done, 1) if what in "RU"]
    assert len(points) > 4
    for point in points:
        scene.begin()
        status = faulty.status(replace(scene.todo, fail_at=point, error=errno.EACCES))
        print(f"operation {point}: status {status}\n{scene.said()}")
        check_between(check(scene.index, scratch), scene.before, scene.after)
        assert status in {SOME_SKIPPED, NO_INDEX_OR_MODEL}
        faulty.finish(replace(scene.todo, said=None))
        check_finished(scene.index, scene.one_go, scratch)
