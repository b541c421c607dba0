"""Lists, adds, moves and removes the roots of an index."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.errors import UsageError
from nmm.index.indexing.scopes import State, is_there, mount_point, reaches, resolve, state_of
from nmm.index.indexing.walk import is_ignored_name
from nmm.index.maintenance.remove import remove
from nmm.index.store.catalog.roots import adopt_root, set_mount, set_root_paths
from nmm.index.store.catalog.types import Root
from nmm.index.store.catalog.writer import open_for_reading, open_for_writing

if TYPE_CHECKING:
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.layout import IndexFolder
    from nmm.index.store.lock import Wait


@dataclass(frozen=True, slots=True)
class RootStatus:
    """A root, its counts and its state.

    Attributes:
        path: Of the folder or single file.
        files: Files that a search can find: images and texts.
        skipped: Files that could not be read.
        state: Whether it exists.
    """

    path: str
    files: int
    images: int
    texts: int
    skipped: int
    state: State


@dataclass(frozen=True, slots=True)
class AddedRoot:
    """A path to add, and the root that now holds it: the path itself, or a root above it."""

    path: str
    root: str


@dataclass(frozen=True, slots=True)
class MovedRoot:
    """The old and new path of a root; `is_there` tells whether the new one exists."""

    old: str
    new: str
    is_there: bool


def list_roots(folder: IndexFolder) -> list[RootStatus]:
    """Return all roots, ordered by path.

    Raises:
        NoIndexError: There is no index.
        CatalogError: The catalog cannot be read.
    """
    with open_for_reading(folder) as catalog, catalog.snapshot():
        counts = catalog.root_counts()
        return [
            RootStatus(str(root.path), *counts.get(root.id, (0, 0, 0, 0)), state_of(catalog, root))
            for root in catalog.roots()
        ]


def add_roots(
    paths: Sequence[Path], folder: IndexFolder, *, wait: Wait | None = None
) -> list[AddedRoot]:
    """Add files and folders as roots. The next run over all roots indexes them.

    The index is created if it does not exist. A new root absorbs the roots below it.

    Raises:
        UsageError: One of the paths does not exist; none is added.
        IndexLockedError: Another process is writing to the index, and `wait` is not given.
        StoppedError: The wait was stopped.
        CatalogError: The catalog cannot be read or written.
    """
    resolved = [resolve(path) for path in paths]
    with open_for_writing(folder, wait) as writer, writer.batch():
        return [
            AddedRoot(str(path), str(adopt_root(writer, path, reaches)[0].path))
            for path in resolved
        ]


def move_roots(
    old: Path, new: Path, folder: IndexFolder, *, wait: Wait | None = None
) -> list[MovedRoot]:
    """Record that the files at or below one path are now below another.

    Use it for disks that are mounted elsewhere and for folders that were moved. The index keeps
    all it knows of the files, and nothing on disk is changed. Neither path need exist.

    Raises:
        NoIndexError: There is no index.
        UsageError: There is no root at or below `old`, or a root would overlap another one;
            none is moved.
        IndexLockedError: Another process is writing to the index, and `wait` is not given.
        StoppedError: The wait was stopped.
        CatalogError: The catalog cannot be read or written.
    """
    target = new.expanduser().resolve()
    with open_for_writing(folder.existing(), wait) as writer:
        source, moving = _at_or_below(writer, old)
        moves = {root: target / root.path.relative_to(source) for root in moving}
        others = [root for root in writer.roots() if root not in moves]
        for root, path in moves.items():
            _check_free(root, path, others)
        moved = []
        with writer.batch():
            set_root_paths(writer, moves)
            for root, path in moves.items():
                # The mount point of a path that does not exist is not known.
                set_mount(writer, root, mount_point(path) if is_there(path) else None)
                moved.append(MovedRoot(str(root.path), str(path), is_there(path)))
    return moved


def remove_root(path: Path, folder: IndexFolder, *, wait: Wait | None = None) -> int:
    """Remove the roots at or below a path, and their files, from the index.

    Returns:
        The number of files that were removed.

    Raises:
        NoIndexError: There is no index.
        UsageError: There is no root there.
        IndexLockedError: Another process is writing to the index, and `wait` is not given.
        StoppedError: The wait was stopped.
        CatalogError: The catalog cannot be read or written.
    """
    with open_for_reading(folder) as catalog:
        found, _ = _at_or_below(catalog, path)
    return remove([found], folder, wait=wait)


def _at_or_below(catalog: Catalog, path: Path) -> tuple[Path, list[Root]]:
    """Return the roots at or below a path, and the path: as given, or with links resolved."""
    # The path as nmm prints it, which may no longer exist; otherwise with links resolved.
    given = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100
    for candidate in (given, path.expanduser().resolve()):
        if found := [root for root in catalog.roots() if root.path.is_relative_to(candidate)]:
            return candidate, found
    raise UsageError(f"The index has no root at {given} or below.", code="root-unknown", path=given)


def _check_free(root: Root, target: Path, others: Sequence[Root]) -> None:
    """Refuse a target that overlaps another root: its files would be in the index twice."""
    for other in others:
        if target.is_relative_to(other.path):
            inner = target.relative_to(other.path)
        elif other.path.is_relative_to(target):
            inner = other.path.relative_to(target)
        else:
            continue
        if not any(map(is_ignored_name, inner.parts)):
            raise UsageError(
                f"{root.path} cannot be moved to {target}.",
                code="root-move-overlaps",
                why=f"{other.path} is a root already.",
                path=root.path,
                target=target,
                other=other.path,
            )
