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

from commands import ONE_THREAD

from nmm.index.store.layout import IndexFolder

# Encoders by name: one without a model, and the built-in model.
HASH, MINI = "hash", "mini"


@dataclass(frozen=True)
class Job:
    """One index run.

    Attributes:
        folder: The index.
        paths: What to index; if empty, the roots that there are.
        rebuild: Embed everything again.
        tail: :data:`nmm.index.store.vectors.segments.MIN_SEGMENT_SIZE` of the run.
        kill_after: Seconds after which it is killed.
        kill_at: A label of the store, and at which passing of it, from 1, it kills itself.
        labels: A file that is told the labels that are passed; it can be the trace.
        fail_at: Which write, sync, rename or deletion in the index fails, from 1; 0 for none.
        error: The errno that it fails with; 0 if the process is killed in the midst of it.
        lasting: All that follow fail as well.
        trace: A file that is told what is written, see :mod:`crash.trace`.
        said: A file that keeps what the command line, which is used then, says on stderr.
    """

    folder: str
    paths: Sequence[str] = ()
    rebuild: bool = False
    tail: int = 8
    kill_after: float | None = None
    kill_at: tuple[str, int] | None = None
    labels: str | None = None
    fail_at: int = 0
    error: int = 0
    lasting: bool = False
    trace: str | None = None
    said: str | None = None


class Runner:
    """The process that the runs are forks of."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def status(self, job: Job) -> int:
        """Do a job; its exit status, or the negative number of the signal that ended it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def killed(self, job: Job) -> bool:
        """Do a job; whether it was killed, and did not come to its end."""
        status = self.status(job)
        assert status in {0, -SIGKILL}, f"a run ended with {status}, see stderr"
        return status != 0

    def finish(self, job: Job) -> float:
        """Do a job that nothing kills; the seconds it took."""
        started = time.monotonic()
        assert not self.killed(job)
        return time.monotonic() - started


@contextmanager
def running(encoder: str, folder: Path, preload: Path | None = None) -> Iterator[Runner]:
    """Start a process for runs.

    Args:
        encoder: The name of the encoder that it has open.
        folder: Where the encoder may keep things.
        preload: A library that is loaded before all others.
    """
    child = Path(__file__).with_name("child.py")
    with subprocess.Popen(
        [sys.executable, "-W", "error", child, encoder, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={
            **os.environ,
            **ONE_THREAD,
            "PYTHONPATH": os.pathsep.join(map(str, sys.path)),
            **({"LD_PRELOAD": str(preload)} if preload else {}),
        },
    ) as process:
        yield Runner(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def job(folder: IndexFolder, *paths: Path) -> Job:
    """A plain run."""
    return Job(str(folder.path), [str(path) for path in paths])
