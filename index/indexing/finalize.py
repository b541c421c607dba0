"""Measure and write what follows from the vectors of an index: calibration and search files."""

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


def finalize_index(writer: CatalogWriter, folder: IndexFolder, encoder: Encoder) -> None:
    """Delete contents without a file, then update the calibration and the vector index.

    Raises:
        CatalogError: The catalog cannot be read or written.
    """
    drop_orphans(writer)
    stale = [kind for kind in KINDS if _is_stale(writer, kind)]
    if stale:
        neutral = neutral_vectors(encoder)
        for kind in stale:
            if measured := calibration.measure(writer, kind, neutral):
                writer.set_calibration(kind, measured)
    open_vector_index(folder, writer).sync(writer)


def _is_stale(catalog: Catalog, kind: Kind) -> bool:
    """Return whether the scores of a kind have to be calibrated, or calibrated again.

    As long as all vectors are measured, every change counts. Of more vectors a sample is measured,
    which a few new ones hardly change.
    """
    count = catalog.vector_count(kind)
    measured = catalog.calibration_basis(kind)
    if measured is None or not count:
        return bool(count)
    generation, then = measured
    if then <= calibration.CALIBRATION_SAMPLE or count <= calibration.CALIBRATION_SAMPLE:
        return generation != catalog.generation()
    return abs(count - then) > calibration.DRIFT * then
