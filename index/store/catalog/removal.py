"""Removing files from a catalog, and the contents that no file holds any more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.store.catalog.types import Root, relative_to

if TYPE_CHECKING:
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.writer import CatalogWriter


class Changes(NamedTuple):
    """How many of the files that a walk did not see again were moved, and how many removed."""

    moved: int
    removed: int


def delete_unseen(
    writer: CatalogWriter,
    scopes: Sequence[tuple[Root, str]],
    unreadable: Collection[tuple[Root, str]],
) -> Changes:
    """Remove the files below some scopes that this run has not seen.

    A file has moved if it is gone while its content was seen at a new path.

    Args:
        writer: Of the catalog, which has marked the files that were seen.
        scopes: Roots, each with a path below it.
        unreadable: Folders that could not be read, of the same form: files below them stay.
    """
    kept: dict[Root, set[str]] = {}
    for root, folder in unreadable:
        kept.setdefault(root, set()).add(folder)
    unseen: dict[int, int | None] = {}
    for root, start in scopes:
        condition, parameters = _at_or_below(root, start)
        rows = writer.connection.rows(
            f"SELECT id, path, content_id FROM files WHERE {condition} "
            "AND id NOT IN (SELECT file_id FROM met)",
            parameters,
        )
        unseen |= {
            row: content
            for row, path, content in rows
            if not at_and_above(path) & kept.get(root, set())
        }
    moved = removed = 0
    if not unseen:
        return Changes(moved, removed)
    new = Counter(
        content
        for (content,) in writer.connection.rows(
            "SELECT content_id FROM files JOIN met ON file_id = id "
            "WHERE new AND content_id IS NOT NULL"
        )
    )
    for content in unseen.values():
        if new[content] > 0:
            new[content] -= 1
            moved += 1
        elif content is not None:
            removed += 1
    with writer.batch():
        _delete_files(writer, unseen)
    return Changes(moved, removed)


def holds(catalog: Catalog, path: Path) -> bool:
    """Return whether there is a root or a file at an absolute path, or below it."""
    return any(
        root.path.is_relative_to(path)
        or (path.is_relative_to(root.path) and bool(_below(catalog, root, path)))
        for root in catalog.roots()
    )


def holds_below(catalog: Catalog, root: Root, path: str) -> bool:
    """Return whether there is a file at a path relative to a root, or below it."""
    condition, parameters = _at_or_below(root, path)
    sql = f"SELECT EXISTS (SELECT 1 FROM files WHERE {condition})"
    return bool(catalog.connection.scalar(sql, parameters))


def forget(writer: CatalogWriter, path: Path) -> int:
    """Remove a file, or everything below a folder or root, from the catalog.

    Returns how many files could be found before, and cannot now.
    """
    removed = 0
    with writer.batch():
        for root in writer.roots():
            if root.path.is_relative_to(path):
                removed += sum(content is not None for _, content in _below(writer, root))
                writer.connection.execute("DELETE FROM roots WHERE id = ?", (root.id,))
            elif path.is_relative_to(root.path):
                below = dict(_below(writer, root, path))
                _delete_files(writer, below)
                removed += sum(content is not None for content in below.values())
    return removed


def empty_root(writer: CatalogWriter, root: Root) -> int:
    """Remove all files of a root, which stays; returns as :func:`forget` does."""
    below = _below(writer, root)
    with writer.batch():
        _delete_files(writer, (row for row, _ in below))
    return sum(content is not None for _, content in below)


def drop_orphans(writer: CatalogWriter) -> None:
    """Remove contents that no file holds, with their chunks and vectors."""
    connection = writer.connection
    if not connection.scalar("SELECT EXISTS (SELECT 1 FROM loose)"):
        return
    orphaned = (
        "id IN (SELECT content_id FROM loose) "
        "AND NOT EXISTS (SELECT 1 FROM files WHERE content_id = contents.id)"
    )
    with writer.batch():
        if connection.execute(f"DELETE FROM contents WHERE {orphaned}").rowcount:
            connection.vectors_changed()
        connection.execute("DELETE FROM loose")


def at_and_above(path: str) -> set[str]:
    """Return a path in the catalog and all folders that it is in, the root among them."""
    return {"", path, *(str(folder) for folder in PurePosixPath(path).parents)}


def _below(catalog: Catalog, root: Root, path: Path | None = None) -> list[tuple[int, int | None]]:
    """Return the rows of a root's files at or below a path, each with its content."""
    start = relative_to(path or root.path, root)
    condition, parameters = _at_or_below(root, start)
    sql = f"SELECT id, content_id FROM files WHERE {condition}"
    return [(row, content) for row, content in catalog.connection.rows(sql, parameters)]


def _delete_files(writer: CatalogWriter, rows: Iterable[int]) -> None:
    writer.connection.execute_many("DELETE FROM files WHERE id = ?", [(row,) for row in rows])


def _at_or_below(root: Root, start: str) -> tuple[str, tuple[object, ...]]:
    """Return a condition on files, and its parameters: those of a root at a path or below it."""
    if not start:
        return "root_id = ?", (root.id,)
    # Paths below it are in the range from the path to the path and a 0, the character after a
    # slash. The rest of the condition is tested for this range alone, not for the whole root.
    return (
        "root_id = ? AND path >= ? AND path < ? || '0' AND (path = ? OR path GLOB ? || '/*')",
        (root.id, start, start, start, _glob_escaped(start)),
    )


def _glob_escaped(text: str) -> str:
    """Escape text for SQLite's GLOB."""
    return re.sub(r"[*?\[]", r"[\g<0>]", text)
