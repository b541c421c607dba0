"""The history of a user's searches: a file with a JSON object per line.

It is in the user's state directory and not in the index, because others may be able to read or copy
an index. Only its owner can read it (mode 0600). When it exceeds
:data:`MAX_BYTES`, its older half is deleted.
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

MAX_BYTES = 1 << 20  # some thousands of searches
MAX_LINE_BYTES = 1 << 14  # nobody types a longer line
LOCK_TIMEOUT = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A recorded search.

    Attributes:
        time: Local time in ISO 8601 with its offset from UTC.
        query: The query's label.
        arguments: The arguments of the command line after ``nmm``, for display only.
        results: The number of results.
    """

    time: str
    query: str
    arguments: tuple[str, ...]
    results: int


def history_file() -> Path:
    """Return the path of the history, which need not exist."""
    from platformdirs import user_state_path

    return user_state_path("nmm", appauthor=False) / "history.jsonl"


def now() -> str:
    """Return the time for an entry that is made now."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def record(entry: HistoryEntry, file: Path) -> bool:
    """Append a search under a lock; return whether it was recorded.

    An unwritable folder, a full disk or a line that is too long does not make a search fail.
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
    """Return all searches, oldest first; malformed lines are skipped.

    Raises:
        OutputError: The file exists and cannot be read.
    """
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(
            f"The history in {file} cannot be read.",
            code="history-unreadable",
            why=error.strerror or str(error),
            file=file,
        ) from error
    return [entry for line in lines if (entry := _entry(line))]


def clear(file: Path) -> int:
    """Delete all searches; return how many there were.

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
            code="history-undeletable",
            why=str(error),
            hint="Delete the file yourself.",
            file=file,
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
    """Keep the newer lines, up to half of the limit."""
    kept = file.read_bytes()[-MAX_BYTES // 2 :].partition(b"\n")[2]
    part = file.with_name(f"{file.name}.part")
    with suppress(FileNotFoundError):
        part.unlink()  # left by a process that was killed
    _append(kept, part)
    part.replace(file)


def _entry(line: bytes) -> HistoryEntry | None:
    """Return the entry in a line, or None if the line is malformed."""
    if len(line) > MAX_LINE_BYTES:
        return None
    try:
        found = json.loads(line)
        query, arguments = str(found["query"]), tuple(map(str, found["arguments"]))
        time = datetime.fromisoformat(found["time"]).isoformat(timespec="seconds")
        return HistoryEntry(time, query, arguments, int(found["results"]))
    except (ValueError, KeyError, TypeError):  # an edited or truncated line
        return None
