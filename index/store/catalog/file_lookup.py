"""Looks up the files that contain given chunks, reading only the columns that ranking needs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.sql_filters import Condition
from nmm.index.store.catalog.types import Kind, locate, relative_to


class ScoredChunk(NamedTuple):
    """A chunk in a file: ids of both and of the content; other fields as in :class:`.Hit`."""

    file: int
    kind: Kind
    score: float
    content: int
    chunk: int


def scored_chunks(
    catalog: Catalog, kind: Kind, scores: Mapping[int, float], where: Condition | None = None
) -> list[ScoredChunk]:
    """Return some chunks of a kind in their files, with scores that are given by their ids.

    Chunks without a file, and files that do not pass the condition, are ignored.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    condition, parameters = where or ("TRUE", ())
    # Only a condition needs the columns of contents and roots.
    more = (
        "CROSS JOIN contents ON contents.id = chunks.content_id "
        "CROSS JOIN roots ON roots.id = root_id "
        if where
        else ""
    )
    rows = catalog.connection.json_rows(
        "file, content, chunk",
        "SELECT files.id AS file, chunks.content_id AS content, chunks.id AS chunk "
        "FROM json_each(?) CROSS JOIN chunks ON chunks.id = value "
        f"CROSS JOIN files ON files.content_id = chunks.content_id {more} WHERE {condition}",
        (json.dumps([*scores]), *parameters),
    )
    return [ScoredChunk(file, kind, scores[chunk], content, chunk) for file, content, chunk in rows]


def paths_of(catalog: Catalog, files: Collection[int]) -> dict[int, str]:
    """Return the absolute paths of files, by their ids.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    rows = catalog.connection.rows(
        "SELECT files.id, roots.path, files.path FROM json_each(?) "
        "CROSS JOIN files ON files.id = value CROSS JOIN roots ON roots.id = root_id",
        (json.dumps([*files]),),
    )
    return {file: locate(root, path) for file, root, path in rows}


def files_at(catalog: Catalog, paths: Collection[str]) -> set[int]:
    """Return the ids of the indexed files at some absolute paths.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    found = set()
    for root in catalog.roots() if paths else ():
        below = [path for path in map(Path, paths) if path.is_relative_to(root.path)]
        rows = catalog.file_rows(root, [relative_to(path, root) for path in below])
        found |= {row.id for row in rows.values()}
    return found
