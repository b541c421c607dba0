"""What belongs to each vector of a catalog, in blocks: all of an index, for other tools."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.store.catalog.connection import VECTOR_DTYPE
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import Kind, locate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A content that no file holds, as a run that was cut short may leave, is in no search.
HELD = "EXISTS (SELECT 1 FROM files WHERE files.content_id = chunks.content_id)"


@dataclass(frozen=True, slots=True)
class VectorRow:
    """What a vector is of: an image, or a passage of a text.

    Attributes:
        path: The file that holds it; of several, the first by name.
        copies: The others.
        type: Of file.
        width, height: In pixels, of an image.
        taken_at, latitude, longitude, camera, caption: When, where and with what an image was
            taken, and what was written of it, as it says itself.
        line_start, line_end, text: Of a passage, lines from 1.
    """

    path: str
    copies: list[str]
    type: Kind
    width: int | None
    height: int | None
    taken_at: str | None
    latitude: float | None
    longitude: float | None
    camera: str | None
    caption: str | None
    line_start: int | None
    line_end: int | None
    text: str | None


def count_rows(catalog: Catalog) -> int:
    """How many rows :func:`vector_rows` gives."""
    return catalog.connection.scalar(f"SELECT count(*) FROM chunks WHERE {HELD}")


def vector_rows(catalog: Catalog) -> Iterator[tuple[list[VectorRow], NDArray[np.float16]]]:
    """All vectors that a search can find, in blocks: what each is of, and a matrix.

    In the order in which they were added; the matrix has shape (rows, dimension), and holds
    the very numbers of the catalog.

    Raises:
        CatalogError: SQLite cannot read the file.
    """
    import numpy as np

    sql = (
        "SELECT (SELECT json_group_array(json_array(roots.path, files.path)) FROM files "
        "JOIN roots ON roots.id = root_id WHERE files.content_id = chunks.content_id), "
        "chunks.modality, width, height, taken_at, latitude, longitude, camera, caption, "
        "line_start, line_end, text, vector "
        "FROM chunks JOIN vectors ON chunk_id = chunks.id "
        f"JOIN contents ON contents.id = chunks.content_id WHERE {HELD} ORDER BY chunks.id"
    )
    for block in catalog.connection.raw_blocks(sql):
        rows = []
        for places, *about, _ in block:
            path, *copies = sorted(locate(*place) for place in json.loads(places))
            rows.append(VectorRow(path, copies, *about))
        numbers = b"".join(row[-1] for row in block)
        yield rows, np.frombuffer(numbers, VECTOR_DTYPE).reshape(len(rows), -1)
