"""Who may write to an index: one process at a time, which says who it is.

The lock is the operating system's and ends with the process that holds it, however that
ends: there is none that is stale. Who holds it stands in a file beside it, for whoever is
turned away; that file alone locks nothing.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.errors import CatalogError, IndexLockedError, StoppedError

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from nmm.index.store.layout import IndexFolder

POLL = 0.2  # seconds


@dataclass(frozen=True)
class Holder:
    """The process that writes to an index.

    Attributes:
        pid: Of the process, on its host.
        host: The name of its machine, which with a network file system may be another.
        since: When it began, ISO 8601 in UTC.
    """

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        since = datetime.fromisoformat(self.since).astimezone()
        return f"process {self.pid} on {self.host}, since {since:%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True)
class Wait:
    """How to wait for a lock that another process holds.

    Attributes:
        stop: Set it to give up.
        on_wait: Told once who holds it, if that is known.
    """

    stop: threading.Event
    on_wait: Callable[[Holder | None], None] = lambda _: None


@contextmanager
def locked(folder: IndexFolder, wait: Wait | None = None) -> Iterator[None]:
    """Be the only process that writes to an index, whose folder is made if it is not there.

    Raises:
        IndexLockedError: Another process is, and it was not to be waited for.
        StoppedError: `wait.stop` was set while waiting.
        CatalogError: The folder or the lock cannot be made.
    """
    try:
        folder.vectors.mkdir(parents=True, exist_ok=True)
        lock = _acquired(folder, wait)
    except OSError as error:
        raise CatalogError(
            f"The index in {folder.path} cannot be written to.",
            code="index-not-writable",
            why=str(error),
            hint="Choose another folder for the index with NMM_INDEX.",
            path=folder.path,
        ) from error
    try:
        _sign(folder.holder)
        yield
    finally:
        with suppress(OSError):
            folder.holder.unlink()
        lock.release()


def _acquired(folder: IndexFolder, wait: Wait | None) -> BaseFileLock:
    from filelock import FileLock, Timeout

    lock = FileLock(folder.lock)
    told = False
    while True:
        with suppress(Timeout):
            lock.acquire(timeout=POLL if wait else 0)
            return lock
        if wait is None:
            raise _refusal(folder)
        if wait.stop.is_set():
            raise StoppedError(
                "Stopped while another process writes to the index.",
                code="stopped-waiting-for-index",
            )
        if not told:
            wait.on_wait(holder(folder))
            told = True


def holder(folder: IndexFolder) -> Holder | None:
    """Who says that it holds the lock of an index; None if nobody does, or it cannot be read."""
    try:
        return Holder(**json.loads(folder.holder.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _sign(file: Path) -> None:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    part = file.with_name(f"{file.name}.part")
    # To be known is a courtesy: on a full disk, that is for the catalog to say.
    with suppress(OSError):
        own = Holder(os.getpid(), socket.gethostname(), now)
        part.write_text(json.dumps(asdict(own)), "utf-8")
        part.replace(file)


def _refusal(folder: IndexFolder) -> IndexLockedError:
    known = holder(folder)
    return IndexLockedError(
        f"Another process is writing to the index in {folder.path}.",
        code="index-locked",
        why=f"It is {known}." if known else "",
        hint="Wait until it is done, and try again.",
        path=folder.path,
    )
