"""Checks which indexed files still exist unchanged, and which paths lead to the same file."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.common.hashing import file_sha256

if TYPE_CHECKING:
    from os import stat_result

    from nmm.index.store.catalog.file_vectors import Item

MISSING, CHANGED = "not there any more", "changed since it was indexed"


@dataclass
class DiskFile:
    """A file on disk with all its paths: hard links, and symbolic links to it.

    Attributes:
        item: The index entry of the first path.
        paths: Paths that are not symbolic links come first. They are all kept or all redundant.
        size: Bytes.
        mtime_ns: When the file was modified.
    """

    item: Item
    paths: list[str]
    size: int
    mtime_ns: int


@dataclass
class DiskState:
    """The state of indexed files on disk.

    Attributes:
        files: The files that still hold each content, by content id.
        missing: Paths that do not, each with the reason.
    """

    files: dict[int, list[DiskFile]] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)


def check_files(items: Sequence[Item]) -> DiskState:
    """Check that each file exists and still holds its indexed content.

    A file with the indexed size and time is trusted. If only the time differs, its hash decides.
    """
    found = DiskState()
    known: dict[tuple[int, int] | str, DiskFile] = {}
    for item in sorted(items, key=lambda item: (Path(item.path).is_symlink(), item.path)):
        try:
            status = Path(item.path).stat()
            reason = _mismatch(item, status)
        except FileNotFoundError:
            reason = MISSING
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
        if reason:
            found.missing.append((item.path, reason))
            continue
        # Some file systems have no inode numbers.
        key = (status.st_dev, status.st_ino) if status.st_ino else item.path
        if key in known:
            known[key].paths.append(item.path)
        else:
            known[key] = DiskFile(item, [item.path], status.st_size, status.st_mtime_ns)
            found.files.setdefault(item.content, []).append(known[key])
    return found


def _mismatch(item: Item, status: stat_result) -> str:
    """Return why a file differs from the index entry, or an empty string.

    Raises:
        OSError: The file cannot be read.
    """
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file any more"
    if status.st_size != item.size:
        return CHANGED
    if status.st_mtime_ns != item.mtime_ns and file_sha256(Path(item.path)) != item.hash.hex():
        return CHANGED
    return ""
