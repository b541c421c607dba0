"""Reads data that queries and results are compared with: a sample, appearances, whole texts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


class Appearance(NamedTuple):
    """The fingerprint of an image (see :mod:`.fingerprint`), its time and camera."""

    fingerprint: bytes | None
    taken_at: str | None
    camera: str | None = None


def sample(catalog: Catalog, kind: Kind, count: int) -> Floats:
    """Return `count` vectors spread over a kind, shape (n, dimension); all if there are no more.

    The sample is the same until vectors are added or removed.

    Raises:
        CatalogError: SQLite cannot read the file.
    """
    import numpy as np

    sql = "SELECT count(*) FROM (SELECT 1 FROM chunks WHERE modality = ? LIMIT ?)"
    if catalog.connection.scalar(sql, (kind, count + 1)) <= count:
        blocks = [vectors for _, vectors in catalog.vectors(kind)]
    else:
        # Take the first id from each of `count` evenly spaced numbers on: counting a million rows
        # takes longer than searching them.
        first, last = (  # in two queries: only then does SQLite use the index
            catalog.connection.scalar(f"SELECT {end}(id) FROM chunks WHERE modality = ?", (kind,))
            for end in ("min", "max")
        )
        steps = np.linspace(first, last, count).astype(np.int64).tolist()
        sql = (
            "SELECT DISTINCT (SELECT id FROM chunks WHERE modality = ? AND id >= value "
            "ORDER BY id LIMIT 1) FROM json_each(?)"
        )
        ids = [row[0] for row in catalog.connection.rows(sql, (kind, json.dumps(steps)))]
        blocks = [vectors for _, vectors in catalog.vectors_of(ids)]
    return np.concatenate(blocks) if blocks else np.empty((0, 0), np.float32)


def appearances(catalog: Catalog, contents: Sequence[int]) -> dict[int, Appearance]:
    """Return the appearance of each image, by content id.

    Raises:
        CatalogError: SQLite cannot read the file.
    """
    sql = (
        "SELECT contents.id, fingerprint, taken_at, camera "
        "FROM json_each(?) CROSS JOIN contents ON contents.id = value"
    )
    return {
        content: Appearance(
            fingerprint if isinstance(fingerprint, bytes) else None, taken_at, camera
        )
        for content, fingerprint, taken_at, camera in catalog.connection.rows(
            sql, (json.dumps(contents),)
        )
    }


def passages(catalog: Catalog, content: int, most: int) -> list[str]:
    """Return the first passages of a text, at most `most`.

    Raises:
        CatalogError: SQLite cannot read the file.
    """
    sql = "SELECT text FROM chunks WHERE content_id = ? AND text NOT NULL ORDER BY id LIMIT ?"
    return [text for (text,) in catalog.connection.rows(sql, (content, most))]
