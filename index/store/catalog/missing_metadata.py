"""Finds images whose metadata an older nmm did not read, and stores it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.store.catalog.types import locate
from nmm.index.store.catalog.writer import DETAILS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nmm.index.store.catalog.writer import CatalogWriter


class FileCopy(NamedTuple):
    """A file with some content: its path, and its size and time when it was read."""

    path: str
    size: int
    mtime_ns: int


# A cross join, so that SQLite goes by contents and stops at the limit.
_WITHOUT_METADATA = (
    "contents CROSS JOIN files ON content_id = contents.id JOIN met ON file_id = files.id "
    "JOIN roots ON roots.id = root_id WHERE contents.id > ? AND medium = 'image' AND details < ?"
)


def count_without_metadata(writer: CatalogWriter) -> int:
    """Return how many images that this run has seen lack metadata.

    Raises:
        CatalogError: SQLite cannot read the file.
    """
    sql = f"SELECT count(DISTINCT contents.id) FROM {_WITHOUT_METADATA}"
    return writer.connection.scalar(sql, (0, DETAILS))


def images_without_metadata(
    writer: CatalogWriter, after: int, count: int
) -> dict[int, list[FileCopy]]:
    """Return the next `count` images after an id that lack metadata, each with its files.

    Only files that this run has seen are included.

    Raises:
        CatalogError: SQLite cannot read the file.
    """
    rows = writer.connection.rows(
        "SELECT contents.id, json_group_array(json_array(roots.path, files.path, size, mtime_ns)) "
        f"FROM {_WITHOUT_METADATA} GROUP BY contents.id ORDER BY contents.id LIMIT ?",
        (after, DETAILS, count),
    )
    return {
        content: [FileCopy(locate(root, path), *about) for root, path, *about in json.loads(places)]
        for content, places in rows
    }


def save_metadata(
    writer: CatalogWriter,
    places: Mapping[int, tuple[float | None, float | None, str | None, str | None]],
) -> None:
    """Store the latitude, longitude, camera and caption of contents, by their ids.

    Raises:
        CatalogError: SQLite cannot write the file.
    """
    with writer.batch():
        writer.connection.execute_many(
            "UPDATE contents SET latitude = ?, longitude = ?, camera = ?, caption = ?, "
            "details = ? WHERE id = ?",
            [(*said, DETAILS, content) for content, said in places.items()],
        )
