"""Find which roots a run covers: those that are named, or all of the index.

Files on a disk that is not mounted are not covered: nothing is known about them now.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath

from nmm.index.errors import UsageError
from nmm.index.indexing.walk import is_ignored_name
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.removal import holds_below
from nmm.index.store.catalog.roots import adopt_root, drop_mount
from nmm.index.store.catalog.types import Root, locate
from nmm.index.store.catalog.writer import CatalogWriter

Scope = tuple[Root, str]


@dataclass
class Coverage:
    """What a run covers.

    Attributes:
        scopes: Roots and paths below them that are walked.
        away: Roots that are not available; their files are kept. The value is the mount point
            on which nothing is mounted now, if that is the reason.
        deleted: Roots that were a single file, which is gone from an existing folder.
        unmounted: Mount points below roots on which nothing is mounted now. The files of the
            index below them are kept.
        emptied: Roots that are not available, whose files are removed from the index.
        gone: Paths below roots that do not exist any more, or are ignored now.
    """

    scopes: list[Scope]
    away: dict[Path, Path | None] = field(default_factory=dict)
    deleted: list[Path] = field(default_factory=list)
    unmounted: list[Scope] = field(default_factory=list)
    emptied: list[Root] = field(default_factory=list)
    gone: list[Scope] = field(default_factory=list)

    def keep_unmounted(self, writer: CatalogWriter, root: Root, start: str) -> None:
        """Keep the files on unmounted disks at, above or below a path."""
        for point in _unmounted(writer, root, start):
            if not holds_below(writer, root, point):
                drop_mount(writer, root, point)
            elif (root, point) not in self.unmounted:
                self.unmounted.append((root, point))


class State(str, Enum):
    """Whether a root is available, and if not, why."""

    THERE = "there"
    MISSING = "missing"
    EMPTY = "empty"
    UNMOUNTED = "not mounted"


def resolve(path: Path) -> Path:
    """Return the absolute path of a file or folder to be indexed, with links followed.

    Raises:
        UsageError: It does not exist, or its name is not valid UTF-8.
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


def resolve_scopes(
    writer: CatalogWriter, paths: Sequence[Path], *, prune: bool = False
) -> Coverage:
    """Make resolved paths roots of the index, or take all its roots if there are no paths.

    With `prune`, files that are not available are not kept.

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
        paths = [root.path for root in roots if check_root(writer, root, coverage, prune=prune)]
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
            coverage.keep_unmounted(writer, root, start)
    return coverage


def state_of(catalog: Catalog, root: Root) -> State:
    """Return whether a root is available, as far as can be told."""
    mount = catalog.mount(root)
    if not is_there(root.path):
        return State.MISSING
    if mount and not os.path.ismount(mount):
        return State.UNMOUNTED
    return State.EMPTY if _is_empty(root.path) else State.THERE


def mount_point(path: Path) -> Path:
    """Return the mount point that a path lies on: itself, or the nearest one above."""
    return next((folder for folder in (path, *path.parents) if os.path.ismount(folder)), path)


def check_root(
    writer: CatalogWriter, root: Root, coverage: Coverage, *, prune: bool = False
) -> bool:
    """Return whether a root can be walked; if not, add it to the right part of the coverage."""
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
    """Return the mount points at, above or below a start where nothing is mounted now."""
    begun = PurePosixPath(start)
    return [
        point
        for point in writer.mounts(root)
        if (begun.is_relative_to(point) or PurePosixPath(point).is_relative_to(begun))
        and not _is_mounted(Path(locate(str(root.path), point)))
    ]


def _is_mounted(path: Path) -> bool:
    """Return whether a folder lies on another disk than its parent, also through a link."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except OSError:
        return False


def _outermost(paths: Sequence[Path]) -> list[Path]:
    """Return the paths that the walk of no other path reaches, so that none is read twice."""
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
    """Return whether the walk of a folder reaches a path below it.

    It does not reach a hidden path, nor one that does not exist now.
    """
    return is_there(inner) and not any(map(is_ignored_name, inner.relative_to(outer).parts))


def _is_empty(path: Path) -> bool:
    """Return whether a path is an empty folder, such as the mount point of an unmounted disk."""
    try:
        return path.is_dir() and next(path.iterdir(), None) is None
    except OSError:
        return False


def is_there(path: Path) -> bool:
    """Return whether a path exists, as far as can be told."""
    try:
        path.stat()
    except OSError:  # also without permission for the folder above
        return False
    return True
