"""Index runs that are killed: what is asked of :mod:`crash.child`, and how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGKILL

from nmm.index.store.location import IndexFolder

# One thread in each library, for a fork has only the thread that forked.
ALONE = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class Job:
    """One index run.

    Attributes:
        folder: The index.
        paths: What to index; if empty, the roots that there are.
        rebuild: Embed everything again.
        tail: :data:`nmm.index.store.segments.TAIL` of the run.
        kill_after: Seconds after which it is killed.
        kill_at: A label of the store, and at which passing of it, from 1, it kills itself.
        labels: A file that is told the labels that are passed.
    """

    folder: str
    paths: Sequence[str] = ()
    rebuild: bool = False
    tail: int = 8
    kill_after: float | None = None
    kill_at: tuple[str, int] | None = None
    labels: str | None = None


class Runner:
    """The process that the runs are forks of."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def killed(self, job: Job) -> bool:
        """Do a job; whether it was killed, and did not come to its end."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        assert status in {0, -SIGKILL}, f"a run ended with {status}, see stderr"
        return status != 0

    def finish(self, job: Job) -> float:
        """Do a job that nothing kills; the seconds it took."""
        started = time.monotonic()
        assert not self.killed(job)
        return time.monotonic() - started


@contextmanager
def running() -> Iterator[Runner]:
    """A process for runs, with the model open."""
    child = Path(__file__).with_name("child.py")
    with subprocess.Popen(
        [sys.executable, "-W", "error", child],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, **ALONE},
    ) as process:
        yield Runner(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def job(folder: IndexFolder, *paths: Path) -> Job:
    """A plain run."""
    return Job(str(folder.path), [str(path) for path in paths])
