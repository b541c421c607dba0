"""Contents of which an older nmm did not read what this one keeps of an image's file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.store.catalog.types import locate
from nmm.index.store.catalog.writer import DETAILS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nmm.index.store.catalog.writer import CatalogWriter


class Copy(NamedTuple):
    """A file that holds a content: where it is, and its size and time when it was read."""

    path: str
    size: int
    mtime_ns: int


# Crossed, for in the order of contents it can stop after so many.
_UNREAD = (
    "contents CROSS JOIN files ON content_id = contents.id JOIN met ON file_id = files.id "
    "JOIN roots ON roots.id = root_id WHERE contents.id > ? AND medium = 'image' AND details < ?"
)


def count_unread(writer: CatalogWriter) -> int:
    """How many images are not read whole that this run has met.

    Raises:
        CatalogError: SQLite cannot read the file.
    """
    sql = f"SELECT count(DISTINCT contents.id) FROM {_UNREAD}"
    return writer.connection.scalar(sql, (0, DETAILS))


def unread(writer: CatalogWriter, after: int, count: int) -> dict[int, list[Copy]]:
    """By id, the next `count` images after one that are not read whole, each with its files.

    Of files those that this run has met.

    Raises:
        CatalogError: SQLite cannot read the file.
    """
    rows = writer.connection.rows(
        "SELECT contents.id, json_group_array(json_array(roots.path, files.path, size, mtime_ns)) "
        f"FROM {_UNREAD} GROUP BY contents.id ORDER BY contents.id LIMIT ?",
        (after, DETAILS, count),
    )
    return {
        content: [Copy(locate(root, path), *about) for root, path, *about in json.loads(places)]
        for content, places in rows
    }


def keep_read(
    writer: CatalogWriter,
    places: Mapping[int, tuple[float | None, float | None, str | None, str | None]],
) -> None:
    """Keep latitude, longitude, camera and caption of contents, by their ids.

    Raises:
        CatalogError: SQLite cannot write the file.
    """
    with writer.batch():
        writer.connection.execute_many(
            "UPDATE contents SET latitude = ?, longitude = ?, camera = ?, caption = ?, "
            "details = ? WHERE id = ?",
            [(*said, DETAILS, content) for content, said in places.items()],
        )
