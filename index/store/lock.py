"""The write lock of an index: one process writes at a time.

The operating system releases the lock when the process that holds it ends, even by a crash, so no
lock is ever stale. A file beside the lock names its holder in messages; it locks nothing.
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

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Holder:
    """The process that writes to an index.

    Attributes:
        pid: The process ID on its host.
        host: The name of its machine; with a network file system, it may be another one.
        since: When it took the lock, ISO 8601 in UTC.
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
        stop: An event that ends the wait.
        on_wait: Called once with the holder, or None if it is not known.
    """

    stop: threading.Event
    on_wait: Callable[[Holder | None], None] = lambda _: None


@contextmanager
def locked(folder: IndexFolder, wait: Wait | None = None) -> Iterator[None]:
    """Hold the write lock of an index. Its folder is created if it does not exist.

    Raises:
        IndexLockedError: Another process holds the lock, and `wait` is not given.
        StoppedError: `wait.stop` was set while waiting.
        CatalogError: The folder or the lock cannot be created.
    """
    try:
        folder.vectors.mkdir(parents=True, exist_ok=True)
        lock = _acquire(folder, wait)
    except OSError as error:
        raise CatalogError(
            f"The index in {folder.path} cannot be written to.",
            code="index-not-writable",
            why=str(error),
            hint="Choose another folder for the index with NMM_INDEX.",
            path=folder.path,
        ) from error
    try:
        _write_holder(folder.holder)
        yield
    finally:
        with suppress(OSError):
            folder.holder.unlink()
        lock.release()


def _acquire(folder: IndexFolder, wait: Wait | None) -> BaseFileLock:
    from filelock import FileLock, Timeout

    lock = FileLock(folder.lock)
    notified = False
    while True:
        with suppress(Timeout):
            lock.acquire(timeout=POLL_SECONDS if wait else 0)
            return lock
        if wait is None:
            raise _locked_error(folder)
        if wait.stop.is_set():
            raise StoppedError(
                "Stopped while another process writes to the index.",
                code="stopped-waiting-for-index",
            )
        if not notified:
            wait.on_wait(holder(folder))
            notified = True


def holder(folder: IndexFolder) -> Holder | None:
    """Return the recorded holder of an index's lock; None if there is none, or it is unreadable."""
    try:
        return Holder(**json.loads(folder.holder.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write_holder(file: Path) -> None:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    part = file.with_name(f"{file.name}.part")
    # This file is optional: if the disk is full, a write to the catalog reports it.
    with suppress(OSError):
        own = Holder(os.getpid(), socket.gethostname(), now)
        part.write_text(json.dumps(asdict(own)), "utf-8")
        part.replace(file)


def _locked_error(folder: IndexFolder) -> IndexLockedError:
    known = holder(folder)
    return IndexLockedError(
        f"Another process is writing to the index in {folder.path}.",
        code="index-locked",
        why=f"It is {known}." if known else "",
        hint="Wait until it is done, and try again.",
        path=folder.path,
    )
