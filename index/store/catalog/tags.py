"""Tags: labels of contents, which stay until they are removed.

A tag belongs to the hash of a content. So all files with that content have it, and it survives
renames, moves and copies, a rebuild with another model, a repair, and a disk that was away. A file
that was changed has another content, and so no tag.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.store.catalog.reader import MAX_ID, Catalog

if TYPE_CHECKING:
    from nmm.index.store.catalog.writer import CatalogWriter

# Compacting an index also removes the tags of removed contents.
DROP_ORPHANED_TAGS = "DELETE FROM tags WHERE hash NOT IN (SELECT hash FROM contents)"
TAGGED_FILES = "tags JOIN contents USING (hash) JOIN files ON files.content_id = contents.id"


class Tag(NamedTuple):
    """A label, and how many files of the index have it."""

    label: str
    files: int


def tags(catalog: Catalog, most: int = MAX_ID) -> list[Tag]:
    """Return the labels that files have, the most frequent first, at most `most`.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    sql = (
        f"SELECT label, count(*) FROM {TAGGED_FILES} GROUP BY label "
        "ORDER BY count(*) DESC, label LIMIT ?"
    )
    return [Tag(*row) for row in catalog.connection.rows(sql, (most,))]


def give(
    writer: CatalogWriter, labels: Sequence[str], given: Iterable[tuple[bytes, str | None]]
) -> None:
    """Give contents one of some labels each, in one transaction.

    Args:
        writer: Of the catalog.
        labels: The labels to choose from. A content loses the others of them.
        given: Hashes of contents, each with its label, or None for no label.

    Raises:
        CatalogError: SQLite cannot write the catalog; nothing is changed.
    """
    with writer.batch():
        writer.connection.execute("CREATE TEMP TABLE given (hash BLOB PRIMARY KEY, label TEXT)")
        writer.connection.execute_many("INSERT OR REPLACE INTO given VALUES (?, ?)", given)
        writer.connection.execute(
            "DELETE FROM tags WHERE label IN (SELECT value FROM json_each(?)) "
            "AND hash IN (SELECT hash FROM temp.given)",
            (json.dumps(labels),),
        )
        writer.connection.execute(
            "INSERT INTO tags (label, hash) SELECT label, hash FROM temp.given WHERE label NOT NULL"
        )
        writer.connection.execute("DROP TABLE temp.given")


def take_away(writer: CatalogWriter, labels: Sequence[str]) -> int:
    """Remove labels from all contents.

    Returns:
        The number of files that had them.

    Raises:
        CatalogError: SQLite cannot write the catalog; nothing is changed.
    """
    chosen = "label IN (SELECT value FROM json_each(?))"
    named = (json.dumps(labels),)
    with writer.batch():
        sql = f"SELECT count(DISTINCT files.id) FROM {TAGGED_FILES} WHERE {chosen}"
        files = writer.connection.scalar(sql, named)
        writer.connection.execute(f"DELETE FROM tags WHERE {chosen}", named)
    return files


def drop_orphaned_tags(writer: CatalogWriter) -> None:
    """Delete the tags of contents that are no longer in the index.

    Raises:
        CatalogError: SQLite cannot write the catalog.
    """
    with writer.batch():
        writer.connection.execute(DROP_ORPHANED_TAGS)
