"""What follows from an index's vectors: the scale of each kind, and the files they are found by."""

from __future__ import annotations

from nmm.index import calibration
from nmm.index.calibration import neutral_vectors
from nmm.index.encoders.base import Encoder
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.removal import drop_orphans
from nmm.index.store.catalog.types import KINDS, Kind
from nmm.index.store.catalog.writer import CatalogWriter
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors.factory import open_vector_index


def derive(writer: CatalogWriter, folder: IndexFolder, encoder: Encoder) -> None:
    """Drop what no file holds any more, and measure and write what follows from the rest."""
    drop_orphans(writer)
    stale = [kind for kind in KINDS if _is_stale(writer, kind)]
    if stale:
        neutral = neutral_vectors(encoder)
        for kind in stale:
            if measured := calibration.measure(writer, kind, neutral):
                writer.set_calibration(kind, measured)
    open_vector_index(folder, writer).sync(writer)


def _is_stale(catalog: Catalog, kind: Kind) -> bool:
    """Whether the scale of a kind is to be measured, or measured again.

    It follows every change as long as all vectors are looked at; of more a sample is, which
    a few new ones hardly change.
    """
    count = catalog.vector_count(kind)
    measured = catalog.calibration_basis(kind)
    if measured is None or not count:
        return bool(count)
    generation, then = measured
    if then <= calibration.CALIBRATION_SAMPLE or count <= calibration.CALIBRATION_SAMPLE:
        return generation != catalog.generation()
    return abs(count - then) > calibration.DRIFT * then
