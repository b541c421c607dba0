"""Tags: labels that contents were given, kept until somebody takes them away.

A tag hangs on the hash of a content. So all files of one content have it, and it outlives
whatever becomes of their names and rows: a file that is renamed, moved or copied, an index that
is made again with another model or repaired, a disk that comes back. A file that was changed has
another content, which nobody has looked at, and so no tag.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.store.catalog.reader import MAX_ID, Catalog

if TYPE_CHECKING:
    from nmm.index.store.catalog.writer import CatalogWriter

# What was removed from the index is gone from here, too, once it is made small.
DROP_UNHELD = "DELETE FROM tags WHERE hash NOT IN (SELECT hash FROM contents)"
HELD = "tags JOIN contents USING (hash) JOIN files ON files.content_id = contents.id"


class Tag(NamedTuple):
    """A label, and how many files of the index have it."""

    label: str
    files: int


def tags(catalog: Catalog, most: int = MAX_ID) -> list[Tag]:
    """The labels that files have, the commonest first, `most` of them at most.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    sql = f"SELECT label, count(*) FROM {HELD} GROUP BY label ORDER BY count(*) DESC, label LIMIT ?"
    return [Tag(*row) for row in catalog.connection.rows(sql, (most,))]


def give(
    writer: CatalogWriter, labels: Sequence[str], given: Iterable[tuple[bytes, str | None]]
) -> None:
    """Give contents one of some labels each, in the place of another of these, all at once.

    Args:
        writer: Of the catalog.
        labels: Those that were to choose from: a content loses the others of them.
        given: Hashes of contents, each with its label, or None for one that got none.

    Raises:
        CatalogError: SQLite cannot write the catalog; then nothing is changed.
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
    """Take labels from all that has them; returns how many files that were.

    Raises:
        CatalogError: SQLite cannot write the catalog; then nothing is changed.
    """
    chosen = "label IN (SELECT value FROM json_each(?))"
    named = (json.dumps(labels),)
    with writer.batch():
        sql = f"SELECT count(DISTINCT files.id) FROM {HELD} WHERE {chosen}"
        files = writer.connection.scalar(sql, named)
        writer.connection.execute(f"DELETE FROM tags WHERE {chosen}", named)
    return files


def drop_unheld(writer: CatalogWriter) -> None:
    """Forget the tags of contents that the index does not hold any more.

    Raises:
        CatalogError: SQLite cannot write the catalog.
    """
    with writer.batch():
        writer.connection.execute(DROP_UNHELD)
