"""Queries over the files that pass a filter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nmm.index.store.catalog.sql_filters import FILES, HAS_MODALITY, Condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.types import Kind


def passing_chunks(catalog: Catalog, kind: Kind, condition: Condition) -> NDArray[np.int64]:
    """Ids of the chunks of a kind that a file holds which passes, in order, shape (n,).

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    import numpy as np

    sql = (
        f"SELECT chunks.id FROM {FILES} CROSS JOIN chunks ON chunks.content_id = contents.id "
        f"WHERE chunks.modality = ? AND ({condition.sql})"
    )
    rows = catalog.connection.rows(sql, (kind, *condition.parameters))
    return np.unique(np.fromiter((row[0] for row in rows), np.int64))


def any_file(catalog: Catalog, kinds: Sequence[Kind], condition: Condition) -> bool:
    """Whether a file of some kinds passes.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    sql = f"SELECT EXISTS (SELECT 1 FROM {FILES} WHERE {HAS_MODALITY} AND ({condition.sql}))"
    return bool(catalog.connection.scalar(sql, (json.dumps(kinds), *condition.parameters)))


def count_files(catalog: Catalog, kinds: Sequence[Kind], condition: Condition) -> int:
    """Number of files of some kinds that pass.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    sql = f"SELECT count(*) FROM {FILES} WHERE {HAS_MODALITY} AND ({condition.sql})"
    return catalog.connection.scalar(sql, (json.dumps(kinds), *condition.parameters))


def cameras(catalog: Catalog, count: int) -> list[str]:
    """The cameras that took most of the images.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    sql = (
        f"SELECT contents.camera FROM {FILES} WHERE contents.camera NOT NULL "
        "GROUP BY contents.camera ORDER BY count(*) DESC, contents.camera LIMIT ?"
    )
    return [str(name) for (name,) in catalog.connection.rows(sql, (count,))]


def dates(catalog: Catalog, kinds: Sequence[Kind]) -> list[str]:
    """The first and the last day that files of some kinds were taken or modified on.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    sql = (
        "SELECT min(day), max(day) FROM (SELECT ifnull(substr(contents.taken_at, 1, 10), "
        f"date(files.mtime_ns / 1000000000, 'unixepoch', 'localtime')) AS day FROM {FILES} "
        f"WHERE {HAS_MODALITY})"
    )
    first, last = next(catalog.connection.rows(sql, (json.dumps(kinds),)))
    return [] if first is None else [first, last]
