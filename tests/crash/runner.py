"""Index jobs that are killed: what :mod:`crash.child` is asked to do, and how a job ended."""

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
        paths: What to index; if empty, the existing roots.
        rebuild: Embed everything again.
        tail: :data:`nmm.index.store.vectors.segments.MIN_SEGMENT_SIZE` of the run.
        kill_after: Seconds after which it is killed.
        kill_at: A label of the store, and the number of the passage, from 1, at which the run kills
            itself.
        labels: A file to which passed labels are written; it can be the trace.
        fail_at: Number, from 1, of the write, sync, rename or deletion in the index that fails; 0
            for none.
        error: The errno that it fails with; 0 if the process is killed in the middle of it.
        lasting: All later operations fail as well.
        trace: A file to which writes are logged, see :mod:`crash.trace`.
        said: A file for the stderr of the command line, which is then used.
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
    """The process that runs are forked from."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def status(self, job: Job) -> int:
        """Run a job; return its exit status, or the negative number of the signal that ended it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def killed(self, job: Job) -> bool:
        """Run a job; return whether it was killed before its end."""
        status = self.status(job)
        assert status in {0, -SIGKILL}, f"a run ended with {status}, see stderr"
        return status != 0

    def finish(self, job: Job) -> float:
        """Run a job without killing it; return the seconds it took."""
        started = time.monotonic()
        assert not self.killed(job)
        return time.monotonic() - started


@contextmanager
def running(encoder: str, folder: Path, preload: Path | None = None) -> Iterator[Runner]:
    """Start a process for runs.

    Args:
        encoder: Name of the encoder that it keeps open.
        folder: A folder for the encoder's files.
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
    """Return a plain run."""
    return Job(str(folder.path), [str(path) for path in paths])
