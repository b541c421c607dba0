"""Which roots a run covers: what is named, or all that the index has.

What lies on a disk that is not mounted is no part of it: nothing is known of it now.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath

from nmm.index.errors import UsageError
from nmm.index.indexing.walk import is_left_out
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.removal import holds_below
from nmm.index.store.catalog.roots import adopt_root, drop_mount
from nmm.index.store.catalog.types import Root, locate
from nmm.index.store.catalog.writer import CatalogWriter

Scope = tuple[Root, str]


@dataclass
class Coverage:
    """What a run is about.

    Attributes:
        scopes: A root and a path below it each, to be walked.
        away: Roots that are not there, perhaps on a disk that is not: they are kept. Each
            with the mount point on which nothing is mounted now, if it is for that.
        deleted: Roots that were a single file, which is gone from a folder that is there.
        unmounted: Mount points below roots on which nothing is mounted now: what the index
            holds below them is kept.
        emptied: Roots that are not there and whose files are to leave the index.
        gone: As `scopes`, of what is not on disk any more, or is left out now.
    """

    scopes: list[Scope]
    away: dict[Path, Path | None] = field(default_factory=dict)
    deleted: list[Path] = field(default_factory=list)
    unmounted: list[Scope] = field(default_factory=list)
    emptied: list[Root] = field(default_factory=list)
    gone: list[Scope] = field(default_factory=list)

    def spare(self, writer: CatalogWriter, root: Root, start: str) -> None:
        """Keep what lies on disks, at, above or below a path, that are not mounted now."""
        for point in _unmounted(writer, root, start):
            if not holds_below(writer, root, point):
                drop_mount(writer, root, point)
            elif (root, point) not in self.unmounted:
                self.unmounted.append((root, point))


class State(str, Enum):
    """Whether a root is there, and if not, why it is taken not to be."""

    THERE = "there"
    MISSING = "missing"
    EMPTY = "empty"
    UNMOUNTED = "not mounted"


def resolve(path: Path) -> Path:
    """The absolute path of what is to be indexed, links followed.

    Raises:
        UsageError: It does not exist, or the catalog could not hold its name.
    """
    try:
        resolved = path.expanduser().resolve(strict=True)
        str(resolved).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{str(path).encode(errors='backslashreplace').decode()} cannot be indexed.",
            code="path-not-utf-8",
            why="Its name is not valid UTF-8.",
            hint="Rename it, or its folder.",
        ) from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before 3.13
        raise UsageError(
            f"{path} cannot be indexed.",
            code="path-unreadable",
            why=getattr(error, "strerror", None) or str(error),
            hint="Check its spelling, and that its disk is mounted.",
            path=path,
        ) from error
    return resolved


def cover(writer: CatalogWriter, paths: Sequence[Path], *, prune: bool = False) -> Coverage:
    """Make roots of resolved paths, or take all roots that there are if there are no paths.

    With `prune` what is away is not spared: what is left at its place is all there is.

    Raises:
        UsageError: There are neither paths nor roots.
    """
    coverage = Coverage([])
    if not paths:
        roots = writer.roots()
        if not roots:
            raise UsageError(
                "The index has no folders to update.",
                code="index-without-roots",
                hint="Give the folder to index.",
            )
        paths = [root.path for root in roots if is_covered(writer, root, coverage, prune=prune)]
    with writer.batch():
        scopes = [adopt_root(writer, path, reaches) for path in _outermost(paths)]
        for root, start in scopes:
            mount = writer.mount(root)
            if not prune and mount and not os.path.ismount(mount):
                coverage.away[root.path] = mount
                continue
            coverage.scopes.append((root, start))
            if prune:
                for point in _unmounted(writer, root, start):
                    drop_mount(writer, root, point)
            coverage.spare(writer, root, start)
    return coverage


def state_of(catalog: Catalog, root: Root) -> State:
    """Whether a root is there, as far as can be told."""
    mount = catalog.mount(root)
    if not is_there(root.path):
        return State.MISSING
    if mount and not os.path.ismount(mount):
        return State.UNMOUNTED
    return State.EMPTY if _is_empty(root.path) else State.THERE


def mount_point(path: Path) -> Path:
    """The mount point that a path lies on: itself, or the nearest folder above that is one."""
    return next((folder for folder in (path, *path.parents) if os.path.ismount(folder)), path)


def is_covered(
    writer: CatalogWriter, root: Root, coverage: Coverage, *, prune: bool = False
) -> bool:
    """Whether a root is walked when all are; if not, the coverage says what becomes of it."""
    state = state_of(writer, root)
    if state is State.THERE or (prune and state is not State.MISSING):
        return True
    mount = writer.mount(root)
    unmounted = mount if mount and not os.path.ismount(mount) else None
    file = writer.file_row(root, "")
    if (
        state is State.MISSING
        and not unmounted
        and file
        and file.status == "indexed"
        and is_there(root.path.parent)
    ):
        coverage.deleted.append(root.path)
    elif prune:
        coverage.emptied.append(root)
    else:
        coverage.away[root.path] = unmounted
    return False


def _unmounted(writer: CatalogWriter, root: Root, start: str) -> list[str]:
    """The mount points of a root, at, above or below a start, where nothing is mounted now."""
    begun = PurePosixPath(start)
    return [
        point
        for point in writer.mounts(root)
        if (begun.is_relative_to(point) or PurePosixPath(point).is_relative_to(begun))
        and not _is_mounted(Path(locate(str(root.path), point)))
    ]


def _is_mounted(path: Path) -> bool:
    """Whether a folder lies on another disk than the one it is in, also through a link."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except OSError:
        return False


def _outermost(paths: Sequence[Path]) -> list[Path]:
    """The paths that the walk of no other one meets, for that would read them twice."""
    outermost: list[Path] = []
    last: Path | None = None
    for path in sorted(paths):  # by their parts: a folder, then all that is below it
        if last is None or not path.is_relative_to(last):
            last = path
            outermost.append(path)
        elif not reaches(last, path):
            outermost.append(path)
    return list(dict.fromkeys(outermost))


def reaches(outer: Path, inner: Path) -> bool:
    """Whether the walk of a folder meets what lies below it.

    It does not meet what is hidden but was named, nor what is not there just now.
    """
    return is_there(inner) and not any(is_left_out(part) for part in inner.relative_to(outer).parts)


def _is_empty(path: Path) -> bool:
    """Whether a folder holds nothing at all, as one does that a disk is mounted on."""
    try:
        return path.is_dir() and next(path.iterdir(), None) is None
    except OSError:
        return False


def is_there(path: Path) -> bool:
    """Whether there is something at a path, as far as can be seen."""
    try:
        path.stat()
    except OSError:  # also where the folder above may not be looked into
        return False
    return True
