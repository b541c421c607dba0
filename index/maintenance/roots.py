"""The roots of an index: listed, added, moved with their files, forgotten."""

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
    """A root in numbers.

    Attributes:
        path: Of the folder or single file.
        files: Files that can be found: images and texts.
        skipped: Files that could not be read.
        state: Whether it is there.
    """

    path: str
    files: int
    images: int
    texts: int
    skipped: int
    state: State


@dataclass(frozen=True, slots=True)
class AddedRoot:
    """A path that was to become a root, and the root that holds it: itself, or one above it."""

    path: str
    root: str


@dataclass(frozen=True, slots=True)
class MovedRoot:
    """A root that stands at another place now; `is_there` says whether that place exists."""

    old: str
    new: str
    is_there: bool


def list_roots(folder: IndexFolder) -> list[RootStatus]:
    """All roots, by path.

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
    """Make roots of files and folders, which the next run over all roots indexes.

    The index is made if it is not there. Roots below a new one are taken into it.

    Raises:
        UsageError: One of the paths does not exist; then none is added.
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
    """Say that what was at or below one path is at the same place below another now.

    That is for disks that are mounted elsewhere and folders that were moved: files keep all
    that is known of them, and on disk nothing is done. Neither path need exist.

    Raises:
        NoIndexError: There is no index.
        UsageError: There is no root at or below `old`, or one would stand where another
            one is, or above or below it; then none is moved.
        IndexLockedError: Another process is writing to the index, and `wait` is not given.
        StoppedError: The wait was stopped.
        CatalogError: The catalog cannot be read or written.
    """
    target = new.expanduser().resolve()
    with open_for_writing(folder.existing(), wait) as writer:
        source, moving = _at_or_below(writer, old)
        moves = {root: target / root.path.relative_to(source) for root in moving}
        others = [root for root in writer.roots() if root not in moves]
        for root, place in moves.items():
            _check_free(root, place, others)
        moved = []
        with writer.batch():
            set_root_paths(writer, moves)
            for root, place in moves.items():
                # Of a place that is not there it is not known where it will be mounted.
                set_mount(writer, root, mount_point(place) if is_there(place) else None)
                moved.append(MovedRoot(str(root.path), str(place), is_there(place)))
    return moved


def remove_root(path: Path, folder: IndexFolder, *, wait: Wait | None = None) -> int:
    """Forget the roots at or below a path, and their files; returns how many files.

    Raises:
        NoIndexError: There is no index.
        UsageError: There is no root there.
        IndexLockedError: Another process is writing to the index, and `wait` is not given.
        StoppedError: The wait was stopped.
        CatalogError: The catalog cannot be read or written.
    """
    with open_for_reading(folder) as catalog:
        place, _ = _at_or_below(catalog, path)
    return remove([place], folder, wait=wait)


def _at_or_below(catalog: Catalog, path: Path) -> tuple[Path, list[Root]]:
    """The roots at or below a path as it was given, or as it is with links followed."""
    # As nmm prints it, which need not be there any more; else where links lead.
    given = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100
    for place in (given, path.expanduser().resolve()):
        if found := [root for root in catalog.roots() if root.path.is_relative_to(place)]:
            return place, found
    raise UsageError(f"The index has no root at {given} or below.", code="root-unknown", path=given)


def _check_free(root: Root, place: Path, others: Sequence[Root]) -> None:
    """Refuse a place whose files would stand in the index twice."""
    for other in others:
        if place.is_relative_to(other.path):
            inner = place.relative_to(other.path)
        elif other.path.is_relative_to(place):
            inner = other.path.relative_to(place)
        else:
            continue
        if not any(map(is_ignored_name, inner.parts)):
            raise UsageError(
                f"{root.path} cannot be moved to {place}.",
                code="root-move-overlaps",
                why=f"{other.path} is a root already.",
                path=root.path,
                target=place,
                other=other.path,
            )
