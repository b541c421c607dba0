"""The files of vectors beside the catalog: whether they are there, whole, and say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS, Kind
from nmm.index.store.vectors import faiss_files
from nmm.index.store.vectors.segment_table import Segment, read_segments, segment_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.layout import IndexFolder

# Vectors of a file that are compared with the catalog's.
SAMPLE = 64
# Of a sample of an inverted file, one in so many may not be among its own candidates.
MISSES = 10
# What a code says of a vector's product with itself, at least; of another vector it says less.
LIKE = 0.5
# What products of equal vectors may differ by.
TOLERANCE = 1e-3


def problems(catalog: Catalog, folder: IndexFolder) -> dict[str, str]:
    """What is wrong with each derived file that the catalog names and that is not sound.

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
    # A writer may have put another in the place of one, and deleted it.
    named = segment_names(catalog)
    return {name: problem for name, problem in found.items() if name in named}


def _problem(
    catalog: Catalog, folder: IndexFolder, kind: Kind, segment: Segment, after: int
) -> str:
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
    """What is wrong with the ids in a file, of which those in `live` are the catalog's."""
    import numpy as np

    ids = np.sort(faiss_files.ids_of(index))
    if len(ids) != segment.total or len(np.unique(ids)) != len(ids):
        return "its count is wrong"
    if len(ids) and (ids[0] <= after or ids[-1] > segment.last_chunk):
        return "it holds vectors of another range"
    absent = len(np.setdiff1d(live, ids, assume_unique=True))
    return f"it lacks {absent} of the catalog's vectors" if absent else ""


def _wrong_vectors(catalog: Catalog, index: Any, segment: Segment, live: NDArray[np.int64]) -> str:
    sample = live[:: max(1, len(live) // SAMPLE)]
    differing = sum(
        _differs(catalog, index, number, vector)
        for numbers, vectors in catalog.vectors_of(sample.tolist())
        for number, vector in zip(numbers.tolist(), vectors, strict=True)
    )
    allowed = len(sample) // MISSES if segment.form == "ivf" else 0
    return "its vectors are not the catalog's" if differing > allowed else ""


def _differs(catalog: Catalog, index: Any, number: int, vector: NDArray[np.float32]) -> bool:
    """Whether a vector of the catalog is not the one that an index has, as far as it tells.

    An inverted file holds codes, by which it should propose the vector itself, or one as near.
    """
    import faiss
    import numpy as np

    if isinstance(index, faiss.IndexIDMap):
        (place,) = np.flatnonzero(faiss_files.ids_of(index) == number)
        kept = faiss.downcast_index(index.index).reconstruct(int(place))
        return not np.array_equal(kept, vector)
    ids, estimates = faiss_files.nearest(index, vector, 1)
    estimated = dict(zip(ids.tolist(), estimates.tolist(), strict=True))
    return not any(
        product >= vector @ vector - TOLERANCE and estimated[other] >= product * LIKE
        for others, vectors in catalog.vectors_of(ids.tolist())
        for other, product in zip(others.tolist(), vectors @ vector, strict=True)
    )
