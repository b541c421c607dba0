"""Where vectors are: the files that hold some chunks, and no more of them than ranks them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from nmm.index.store.catalog import Catalog, Kind, locate
from nmm.index.store.conditions import Condition


class Place(NamedTuple):
    """A chunk in a file, as of :class:`.catalog.Hit`."""

    path: str
    kind: Kind
    score: float
    line_start: int | None
    content: int
    chunk: int


def places(
    catalog: Catalog, kind: Kind, scores: Mapping[int, float], where: Condition | None = None
) -> list[Place]:
    """The files that hold any of some chunks of a kind, whose scores are given by their ids.

    A chunk that no file holds any more is passed over, and so are files that do not pass the
    condition.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    condition, parameters = where or ("TRUE", ())
    # Only a condition asks for what is known of a content.
    contents = "CROSS JOIN contents ON contents.id = chunks.content_id " if where else ""
    rows = catalog._rows(
        "SELECT roots.path, files.path, line_start, chunks.content_id, chunks.id "  # noqa: S608
        f"FROM json_each(?) CROSS JOIN chunks ON chunks.id = value {contents}"
        "CROSS JOIN files ON files.content_id = chunks.content_id "
        f"CROSS JOIN roots ON roots.id = root_id WHERE {condition}",
        (json.dumps([*scores]), *parameters),
    )
    return [
        Place(locate(root, path), kind, scores[chunk], line, content, chunk)
        for root, path, line, content, chunk in rows
    ]
