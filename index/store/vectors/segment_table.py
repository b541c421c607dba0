"""The segments of an index as its catalog records them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from nmm.index.common.failpoints import failpoint
from nmm.index.store.catalog.types import KINDS, Kind

if TYPE_CHECKING:
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.writer import CatalogWriter

Form = Literal["flat", "ivf"]


class Segment(NamedTuple):
    """A file with the vectors of one kind in a range of chunk ids.

    Attributes:
        name: Of the file.
        form: How it is searched, see :mod:`.faiss_files`.
        bytes: Its size when it was written.
        mtime_ns: Its modification time when it was written.
        sha256: Of the whole file, in hexadecimal.
        total: Vectors in it.
        trained: Vectors that there were when its lists were trained; 0 if it has none.
        last_chunk: The end of its range, which begins after the range of the segment before it.
    """

    name: str
    form: Form
    bytes: int
    mtime_ns: int
    sha256: str
    total: int
    trained: int
    last_chunk: int


COLUMNS = ", ".join(Segment._fields)
PLACEHOLDERS = ", ".join("?" for _ in ("kind", *Segment._fields))


def read_segments(catalog: Catalog, kind: Kind) -> list[Segment]:
    """Return the segments of a kind, in the order of their ranges."""
    sql = f"SELECT {COLUMNS} FROM segments WHERE kind = ? ORDER BY last_chunk"
    return [Segment(*row) for row in catalog.connection.rows(sql, (kind,))]


def segment_names(catalog: Catalog) -> set[str]:
    """Return the names of all segments."""
    return {segment.name for kind in KINDS for segment in read_segments(catalog, kind)}


def replace_segments(
    writer: CatalogWriter, kind: Kind, old: Sequence[Segment], new: Segment | None = None
) -> None:
    """Record a new segment of a kind, if there is one, in place of some others."""
    with writer.batch():
        for segment in old:
            writer.connection.execute("DELETE FROM segments WHERE name = ?", (segment.name,))
        if new:
            writer.connection.execute(
                f"INSERT INTO segments (kind, {COLUMNS}) VALUES ({PLACEHOLDERS})",
                (kind, *new),
            )
        failpoint("store", "segments to be named")
