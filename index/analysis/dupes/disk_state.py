"""What is on disk now of files that were indexed, and which paths are one file."""

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

GONE, CHANGED = "not there any more", "changed since it was indexed"


@dataclass
class Unit:
    """One file on disk, by all of its paths: hard links, and symbolic links to it.

    Attributes:
        item: What the index says of the first.
        paths: Those that are no symbolic links first; each is to be kept if one is.
        size: Bytes.
        mtime_ns: When it was modified.
    """

    item: Item
    paths: list[str]
    size: int
    mtime_ns: int


@dataclass
class OnDisk:
    """What is there.

    Attributes:
        units: By content, the files that hold it now.
        missing: Paths that do not, with the reason.
    """

    units: dict[int, list[Unit]] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)


def look_at(items: Sequence[Item]) -> OnDisk:
    """See that each file is there and holds what was indexed.

    One of the same size and time is trusted; one of another time is read, for its hash to tell.
    """
    found = OnDisk()
    known: dict[tuple[int, int] | str, Unit] = {}
    for item in sorted(items, key=lambda item: (Path(item.path).is_symlink(), item.path)):
        try:
            there = Path(item.path).stat()
            reason = _fault(item, there)
        except FileNotFoundError:
            reason = GONE
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
        if reason:
            found.missing.append((item.path, reason))
            continue
        # Some file systems number no files.
        key = (there.st_dev, there.st_ino) if there.st_ino else item.path
        if key in known:
            known[key].paths.append(item.path)
        else:
            known[key] = Unit(item, [item.path], there.st_size, there.st_mtime_ns)
            found.units.setdefault(item.content, []).append(known[key])
    return found


def _fault(item: Item, there: stat_result) -> str:
    """Why a file is not what was indexed; empty if it is.

    Raises:
        OSError: It cannot be read.
    """
    if not stat.S_ISREG(there.st_mode):
        return "not a regular file any more"
    if there.st_size != item.size:
        return CHANGED
    if there.st_mtime_ns != item.mtime_ns and file_sha256(Path(item.path)) != item.hash.hex():
        return CHANGED
    return ""
