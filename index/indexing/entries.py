"""What a walk finds: files, and entries that it had to skip."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file. Its reader finds out whether it can be read.

    Attributes:
        path: Relative to the root, "/" between parts; "" when the root is the file.
        size: Bytes.
        mtime_ns: Time of the last change, nanoseconds since the epoch.
    """

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class SkippedEntry:
    r"""A file or folder that could not be read, or an ignore file with invalid lines.

    The valid lines of such an ignore file apply.

    Attributes:
        path: As in `FoundFile`, but bytes that are not UTF-8 are shown as ``\xff``.
        reason: Why, as a text to be shown after the path.
        is_dir: It is a folder, or a link that cannot be resolved and may have led to one (on a
            disk that is not mounted). Nothing below it was seen, but files may be there.
    """

    path: str
    reason: str
    is_dir: bool


def found_or_skipped(path: str, info: os.stat_result) -> FoundFile | SkippedEntry:
    is_dir = stat.S_ISDIR(info.st_mode)
    if not is_utf8(path):
        return skipped_entry(path, "name is not valid UTF-8", is_dir=is_dir)
    if not stat.S_ISREG(info.st_mode):
        return skipped_entry(path, describe_mode(info.st_mode), is_dir=is_dir)
    return FoundFile(path, info.st_size, info.st_mtime_ns)


def skipped_entry(path: str, reason: str, *, is_dir: bool) -> SkippedEntry:
    return SkippedEntry(os.fsencode(path).decode("utf-8", "backslashreplace"), reason, is_dir)


def describe_mode(mode: int) -> str:
    return f"{_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file"


def failure_reason(error: OSError, is_link: bool = False) -> str:
    if isinstance(error, FileNotFoundError):
        return "a broken link" if is_link else "no longer there"
    if error.errno == errno.ELOOP:
        return "a link that leads to itself"
    return f"not readable: {error.strerror}"


def is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
