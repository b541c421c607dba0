"""The searches that a person made, for that person alone: a file of JSON objects, one a line.

It lies in the user's state directory and not in the index, which others may be able to
read, and which may travel. Only its owner can read it (mode 0600). When it has grown to
:data:`MAX_BYTES`, its older half goes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.errors import OutputError

if TYPE_CHECKING:
    from filelock import BaseFileLock

MAX_BYTES = 1 << 20  # bytes: some thousands of searches
MAX_LINE_BYTES = 1 << 14  # bytes of a line; what is longer was hardly typed
LOCK_TIMEOUT = 1.0  # seconds that an entry is worth waiting for


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A search.

    Attributes:
        time: When, local, ISO 8601 with its offset from UTC.
        query: What was looked for.
        arguments: Of the command line, after ``nmm``.
        results: How many were found.
    """

    time: str
    query: str
    arguments: tuple[str, ...]
    results: int


def history_file() -> Path:
    """Where the history is, or would be."""
    from platformdirs import user_state_path

    return user_state_path("nmm", appauthor=False) / "history.jsonl"


def now() -> str:
    """The time of an entry that is made now."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def record(entry: HistoryEntry, file: Path) -> bool:
    """Add a search at the end, whoever else does so at the same time.

    Returns whether it stands there: an unwritable folder, a full disk or a line that is too
    long are no reason for a search to fail.
    """
    line = json.dumps(asdict(entry), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    if len(line) > MAX_LINE_BYTES:
        return False
    try:
        with _locked(file):
            _append(line, file)
            if file.stat().st_size > MAX_BYTES:
                _halve(file)
    except (OSError, TimeoutError):
        return False
    return True


def entries(file: Path) -> list[HistoryEntry]:
    """All searches, the oldest first; lines that are none are passed over.

    Raises:
        OutputError: The file is there and cannot be read.
    """
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(
            f"The history in {file} cannot be read.", why=error.strerror or str(error)
        ) from error
    return [entry for line in lines if (entry := _entry(line))]


def clear(file: Path) -> int:
    """Forget all searches; returns how many there were.

    Raises:
        OutputError: The file cannot be deleted.
    """
    count = len(entries(file))
    try:
        if file.exists():
            with _locked(file):
                file.unlink(missing_ok=True)
    except (OSError, TimeoutError) as error:
        raise OutputError(
            f"The history in {file} cannot be deleted.",
            why=str(error),
            hint="Delete the file yourself.",
        ) from error
    return count


@contextmanager
def _locked(file: Path) -> Iterator[BaseFileLock]:
    from filelock import FileLock

    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(f"{file}.lock", timeout=LOCK_TIMEOUT, mode=0o600) as lock:
        yield lock


def _append(line: bytes, file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        if os.name != "nt":
            os.fchmod(descriptor, 0o600)
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _halve(file: Path) -> None:
    """Leave the newer lines that take half of the limit."""
    kept = file.read_bytes()[-MAX_BYTES // 2 :].partition(b"\n")[2]
    part = file.with_name(f"{file.name}.part")
    with suppress(FileNotFoundError):
        part.unlink()  # of a process that was killed
    _append(kept, part)
    part.replace(file)


def _entry(line: bytes) -> HistoryEntry | None:
    """The entry that a line holds, whatever it holds."""
    if len(line) > MAX_LINE_BYTES:
        return None
    try:
        found = json.loads(line)
        query, arguments = str(found["query"]), tuple(map(str, found["arguments"]))
        time = datetime.fromisoformat(found["time"]).isoformat(timespec="seconds")
        return HistoryEntry(time, query, arguments, int(found["results"]))
    except (ValueError, KeyError, TypeError):  # a line that somebody edited, or half a one
        return None
