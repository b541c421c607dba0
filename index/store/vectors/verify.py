"""Compares the segment files with the catalog: are they there, whole, and of the same vectors?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS, Kind
from nmm.index.store.vectors import faiss_files, faiss_search
from nmm.index.store.vectors.segment_table import Segment, read_segments, segment_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.layout import IndexFolder

# Vectors of a file that are compared with the catalog's.
VERIFY_SAMPLE = 64
# One in so many sampled vectors may be missing from its own candidates in an inverted file.
SAMPLE_PER_MISS = 10
# The least part of a vector's squared length that its code estimates. For a different vector the
# estimate is smaller.
MIN_SELF_ESTIMATE = 0.5
# The greatest difference between inner products of equal vectors.
TOLERANCE = 1e-3


def problems(catalog: Catalog, folder: IndexFolder) -> dict[str, str]:
    """Return the problem of each damaged segment file, by its name.

    Raises:
        CatalogError: The catalog cannot be read.
    """
    found = {}
    for kind in KINDS:
        after = 0
        with catalog.snapshot():
            for segment in read_segments(catalog, kind):
                if problem := _problem(catalog, folder, kind, segment, after):
                    found[segment.name] = problem
                after = segment.last_chunk
    # A writer may have replaced a segment meanwhile, and deleted its file.
    named = segment_names(catalog)
    return {name: problem for name, problem in found.items() if name in named}


def _problem(
    catalog: Catalog, folder: IndexFolder, kind: Kind, segment: Segment, after: int
) -> str:
    """Return what is wrong with a segment's file; empty if nothing is."""
    path = folder.vectors / segment.name
    if not path.is_file():
        return "missing"
    if not faiss_files.is_sound(path, segment, thorough=True):
        return "not what was written"
    index = faiss_files.open_file(folder.vectors, segment)
    if index is None:
        return "FAISS cannot open it"
    live = catalog.chunk_ids(kind, upto=segment.last_chunk)
    live = live[live > after]
    return _wrong_ids(index, segment, live, after) or _wrong_vectors(catalog, index, segment, live)


def _wrong_ids(index: Any, segment: Segment, live: NDArray[np.int64], after: int) -> str:
    """Return what is wrong with the ids in a file; `live` are the ids in the catalog."""
    import numpy as np

    ids = np.sort(faiss_files.ids_of(index))
    if len(ids) != segment.total or len(np.unique(ids)) != len(ids):
        return "its count is wrong"
    if len(ids) and (ids[0] <= after or ids[-1] > segment.last_chunk):
        return "it holds vectors of another range"
    absent = len(np.setdiff1d(live, ids, assume_unique=True))
    return f"it lacks {absent} of the catalog's vectors" if absent else ""


def _wrong_vectors(catalog: Catalog, index: Any, segment: Segment, live: NDArray[np.int64]) -> str:
    """Return what is wrong with a sample of the vectors in a file."""
    sample = live[:: max(1, len(live) // VERIFY_SAMPLE)]
    differing = sum(
        _differs(catalog, index, number, vector)
        for numbers, vectors in catalog.vectors_of(sample.tolist())
        for number, vector in zip(numbers.tolist(), vectors, strict=True)
    )
    allowed = len(sample) // SAMPLE_PER_MISS if segment.form == "ivf" else 0
    return "its vectors are not the catalog's" if differing > allowed else ""


def _differs(catalog: Catalog, index: Any, number: int, vector: NDArray[np.float32]) -> bool:
    """Return whether a vector of the catalog differs from the one in an index.

    An inverted file holds codes. For a vector of its own it should propose the vector itself, or
    another as near.
    """
    import faiss
    import numpy as np

    if isinstance(index, faiss.IndexIDMap):
        (position,) = np.flatnonzero(faiss_files.ids_of(index) == number)
        stored = faiss.downcast_index(index.index).reconstruct(int(position))
        return not np.array_equal(stored, vector)
    ids, estimates = faiss_search.nearest(index, vector, 1)
    estimated = dict(zip(ids.tolist(), estimates.tolist(), strict=True))
    return not any(
        product >= vector @ vector - TOLERANCE and estimated[other] >= product * MIN_SELF_ESTIMATE
        for others, vectors in catalog.vectors_of(ids.tolist())
        for other, product in zip(others.tolist(), vectors @ vector, strict=True)
    )
