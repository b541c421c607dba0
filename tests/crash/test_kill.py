"""A run killed at any instant: committed work stays, and the next run resumes there."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from crash import tree
from crash.checks import EMPTY, Held, check, check_finished, check_within
from crash.runner import HASH, MINI, Job, Runner, job

from nmm.index.store.layout import IndexFolder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")

# Minimum number of kills in each of 18 series: in the default tier and in the nightly tier.
KILLS, NIGHTLY_KILLS = 6, 12
# One series of each kind always runs, and one of first runs and one of rebuilds has a real model.
SEEDS = [pytest.param(seed, HASH, marks=[pytest.mark.nightly] if seed else []) for seed in range(6)]
SEEDS_WITH_MODEL = [*SEEDS[:-1], pytest.param(5, MINI, id="5-with-a-model")]
MOSTLY = 0.8


class Series:
    """Runs of one job on one index, each killed at an instant that the seed determines.

    Args:
        runner: Runs the jobs.
        seed: Seed of the instants.
        scratch: Where the index is checked.
        seconds: Duration of a run that is not killed.
    """

    def __init__(self, runner: Runner, seed: str, scratch: Path, seconds: float) -> None:
        print(f"seed {seed!r}")
        self._runner = runner
        self._random = random.Random(seed)
        self._scratch = scratch
        self._seconds = seconds
        self.kills = 0
        self.rounds = 0

    def through(self, todo: Job, on_kill: Callable[[Held], None]) -> None:
        """Run a job again and again until it completes, and check after every kill."""
        folder = IndexFolder(Path(todo.folder))
        self.rounds += 1
        while True:
            # Up to slightly longer than a run takes, so that its very end is hit too; but mostly
            # less, so that several kills precede a complete run.
            instant = self._random.uniform(0, 1.1) * self._seconds
            if self._random.random() < MOSTLY:
                instant *= self._random.random()
            if not self._runner.killed(replace(todo, kill_after=instant)):
                return
            self.kills += 1
            on_kill(check(folder, self._scratch))


@pytest.fixture
def kills(nightly: bool) -> int:
    """How often a series is killed, at least."""
    return NIGHTLY_KILLS if nightly else KILLS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tree.plant(tmp_path.resolve() / "root")


@pytest.fixture
def one_go(tmp_path: Path) -> IndexFolder:
    return IndexFolder(tmp_path / "one_go")


@pytest.mark.parametrize(("seed", "encoder_name"), SEEDS_WITH_MODEL)
def test_a_first_run_that_is_killed_again_and_again(
    runner: Runner,
    root: Path,
    tmp_path: Path,
    one_go: IndexFolder,
    scratch: Path,
    seed: int,
    kills: int,
) -> None:
    seconds = runner.finish(job(one_go, root))
    whole = check(one_go, scratch)
    series = Series(runner, f"first {seed}", scratch, seconds)
    before = EMPTY

    def on_kill(held: Held) -> None:
        nonlocal before
        check_within(held, whole)
        assert before.files.items() <= held.files.items() <= whole.files.items()
        before = held

    while series.kills < kills:
        before = EMPTY
        folder = IndexFolder(tmp_path / f"index-{series.rounds}")
        series.through(job(folder, root), on_kill)
        check_finished(folder, one_go, scratch)


@pytest.mark.parametrize(("seed", "encoder_name"), SEEDS)
def test_an_update_that_is_killed_again_and_again(
    runner: Runner,
    root: Path,
    tmp_path: Path,
    one_go: IndexFolder,
    scratch: Path,
    seed: int,
    kills: int,
) -> None:
    first = IndexFolder(tmp_path / "first")
    runner.finish(job(first, root))
    old = check(first, scratch)
    touched = {str(root / path) for path in tree.edit(root)}
    seconds = runner.finish(job(one_go, root))
    new = check(one_go, scratch)
    stay = {path: row for path, row in new.files.items() if path not in touched}
    series = Series(runner, f"update {seed}", scratch, seconds)

    def on_kill(held: Held) -> None:
        check_within(held, new)
        check_within(held, old)
        assert stay.items() <= held.files.items() <= old.files.items() | new.files.items()
        # A moved file is found at the old or the new place at any time.
        assert {row[-1] for row in held.files.values()} >= kept

    kept = {row[-1] for row in old.files.values()} & {row[-1] for row in new.files.values()}
    while series.kills < kills:
        folder = IndexFolder(tmp_path / f"index-{series.rounds}")
        shutil.copytree(first.path, folder.path)
        series.through(job(folder), on_kill)
        check_finished(folder, one_go, scratch)


@pytest.mark.parametrize(("seed", "encoder_name"), SEEDS_WITH_MODEL)
def test_a_rebuild_that_is_killed_again_and_again(
    runner: Runner,
    root: Path,
    tmp_path: Path,
    one_go: IndexFolder,
    scratch: Path,
    seed: int,
    kills: int,
) -> None:
    runner.finish(job(one_go, root))
    whole = check(one_go, scratch)
    folder = IndexFolder(tmp_path / "index")
    runner.finish(job(folder, root))
    again = replace(job(folder), rebuild=True)
    series = Series(runner, f"rebuild {seed}", scratch, runner.finish(again))

    def on_kill(held: Held) -> None:
        assert held == whole

    while series.kills < kills:
        series.through(again, on_kill)
        check_finished(folder, one_go, scratch)
