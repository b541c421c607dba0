"""The roots of a catalog: the folders and files that an index is made of, and their mounts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.store.catalog.types import Root, relative_to

if TYPE_CHECKING:
    from nmm.index.store.catalog.writer import CatalogWriter


def adopt_root(
    writer: CatalogWriter,
    path: Path,
    reaches: Callable[[Path, Path], bool] = lambda _outer, _inner: True,
) -> tuple[Root, str]:
    """Return the root that holds an absolute path, and the path relative to it.

    A path outside all roots becomes a root. It takes in the roots below it, so that no file is
    in the catalog twice.

    Args:
        writer: Of the catalog.
        path: Absolute.
        reaches: Whether a walk of a folder meets a path below it. If it does not, the path
            is a root of its own.
    """
    above = json.dumps([str(folder) for folder in (path, *path.parents)])
    holders = writer.connection.rows(
        "SELECT id, path FROM roots WHERE path IN (SELECT value FROM json_each(?)) "
        "ORDER BY length(path) DESC",
        (above,),
    )
    for root in [Root(number, Path(name)) for number, name in holders]:
        if root.path == path:
            _absorb_roots_below(writer, root, reaches)
            return root, ""
        if reaches(root.path, path):
            return root, relative_to(path, root)
    added_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with writer.batch():
        cursor = writer.connection.execute(
            "INSERT INTO roots (path, added_at) VALUES (?, ?)", (str(path), added_at)
        )
        assert cursor.lastrowid is not None, "a row was inserted"
        new = Root(cursor.lastrowid, path)
        _absorb_roots_below(writer, new, reaches)
    return new, ""


def _absorb_roots_below(
    writer: CatalogWriter, outer: Root, reaches: Callable[[Path, Path], bool]
) -> None:
    # Paths that begin with the path and a separator sort before the next character.
    prefix = str(outer.path).rstrip(os.sep)
    below = writer.connection.rows(
        "SELECT id, path FROM roots WHERE path > ? AND path < ? AND id != ?",
        (prefix + os.sep, prefix + chr(ord(os.sep) + 1), outer.id),
    )
    inner = [Root(number, Path(name)) for number, name in below]
    with writer.batch():
        for root in inner:
            if reaches(outer.path, root.path):
                relative = relative_to(root.path, outer)
                _copy_mounts(writer, root, outer)
                writer.connection.execute(
                    # A path that is there already was found through the outer root.
                    "UPDATE OR REPLACE files SET root_id = ?, path = CASE path "
                    "WHEN '' THEN ? ELSE ? || '/' || path END WHERE root_id = ?",
                    (outer.id, relative, relative, root.id),
                )
                writer.connection.execute("DELETE FROM roots WHERE id = ?", (root.id,))


def _copy_mounts(writer: CatalogWriter, inner: Root, outer: Root) -> None:
    """Copy the known mount points of a root to the root that takes it in."""
    points = [inner.path / path for path in writer.mounts(inner)]
    if (own := writer.mount(inner)) and own != outer.path and own.is_relative_to(outer.path):
        points.append(own)
    for point in points:
        add_mount(writer, outer, relative_to(point, outer))


def set_root_paths(writer: CatalogWriter, moves: Mapping[Root, Path]) -> None:
    """Give roots new paths, all at once; one may take the path that another had."""
    with writer.batch():
        for root in moves:
            _set_path(writer, root, f"\0{root.id}")
        for root, path in moves.items():
            _set_path(writer, root, str(path))


def _set_path(writer: CatalogWriter, root: Root, path: str) -> None:
    writer.connection.execute("UPDATE roots SET path = ? WHERE id = ?", (path, root.id))


def set_mount(writer: CatalogWriter, root: Root, point: Path | None) -> None:
    """Record the mount point that a root is on."""
    if writer.mount(root) != point:
        with writer.batch():
            writer.connection.execute(
                "UPDATE roots SET mount = ? WHERE id = ?", (point and str(point), root.id)
            )


def add_mount(writer: CatalogWriter, root: Root, path: str) -> None:
    """Record that something is mounted on a folder below a root, relative to it."""
    with writer.batch():
        writer.connection.execute("INSERT OR IGNORE INTO mounts VALUES (?, ?)", (root.id, path))


def drop_mount(writer: CatalogWriter, root: Root, path: str) -> None:
    """Delete the record that something was mounted there."""
    with writer.batch():
        writer.connection.execute(
            "DELETE FROM mounts WHERE root_id = ? AND path = ?", (root.id, path)
        )
