"""Searches opened FAISS files for the vectors nearest to a query."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from nmm.index.store.vectors.base import Candidates
from nmm.index.store.vectors.faiss_files import id_selector, release

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    # Scores and ids, as FAISS returns them.
    ScoresAndIds: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int64]]

# The least number of lists that a search of an inverted file probes, and of candidates that it
# proposes; and how many more candidates for each result. See `bench/store.py`.
MIN_PROBES = 64
MIN_CANDIDATES = 100
CANDIDATES_PER_RESULT = 2
# A search restricted to some ids proposes this many times the candidates.
FILTERED_CANDIDATES_FACTOR = 10
# The probed lists should hold this many times the candidates.
PROBED_VECTORS_FACTOR = 4
# Vectors of a flat file that each thread compares. A thousand take about 50 microseconds.
VECTORS_PER_THREAD = 10_000
# The pages of a larger flat file are released after they were compared. Otherwise a search would
# seem to need as much memory as all vectors.
LARGE_FILE_BYTES = 1 << 27
# Bytes of a large file that are compared and released together. Mapping them again for another
# query takes time, and smaller parts would take more: FAISS goes through all positions for each.
MAX_PART_BYTES = 1 << 26


def nearest(
    index: Any, query: NDArray[np.float32], count: int, among: NDArray[np.int64] | None = None
) -> Candidates:
    """Return the vectors nearest to a query, with their inner products.

    An inverted file proposes more vectors than were asked for, with products estimated from their
    codes.

    Args:
        index: A flat file or an inverted file, opened.
        query: Shape (dimension,).
        count: Vectors to find.
        among: Ids to search. An inverted file then probes all lists, because these vectors may be
            in any, and proposes many more candidates.
    """
    import faiss
    import numpy as np

    selector = None if among is None else id_selector(among)
    if isinstance(index, faiss.IndexIDMap):
        scores, ids = _search_flat(index, query, min(count, index.ntotal), selector)
    else:
        count = MIN_CANDIDATES + CANDIDATES_PER_RESULT * count
        lists = faiss.extract_index_ivf(index).nlist
        if among is None:
            wide = max(MIN_PROBES, PROBED_VECTORS_FACTOR * lists * count // index.ntotal)
            probes = min(wide, lists)
        else:
            count *= FILTERED_CANDIDATES_FACTOR
            probes = lists
        parameters = faiss.SearchParametersPreTransform(
            index_params=faiss.IVFRaBitQSearchParameters(nprobe=probes, sel=selector)
        )
        scores, ids = _search_in_thread(index, query, min(count, index.ntotal), parameters)
    found = ids >= 0
    return Candidates(ids[found].astype(np.int64), scores[found])


def nearest_at(
    index: Any, query: NDArray[np.float32], count: int, positions: NDArray[np.int64]
) -> Candidates:
    """Search the vectors at some positions in a flat file, in the calling thread.

    Returns the same as :func:`nearest`.
    """
    import faiss

    flat = faiss.downcast_index(index.index)
    parameters = faiss.SearchParameters(sel=id_selector(positions))
    scores, at = _search_in_thread(flat, query, count, parameters)
    found = at >= 0
    ids = faiss.rev_swig_ptr(index.id_map.data(), index.ntotal)
    return Candidates(ids[at[found]], scores[found])


def _search_flat(
    index: Any, query: NDArray[np.float32], count: int, selector: Any | None
) -> ScoresAndIds:
    """Search a flat index in parts, each in a thread.

    FAISS itself divides queries among threads, and not the vectors that one query is compared
    with.
    """
    import faiss
    import numpy as np

    total, flat = index.ntotal, faiss.downcast_index(index.index)
    size = total * flat.code_size
    is_large = size > LARGE_FILE_BYTES
    threads = max(1, min(faiss.omp_get_max_threads(), total // VECTORS_PER_THREAD))
    parts = max(threads, size // MAX_PART_BYTES) if is_large else threads
    if parts == 1:
        return _search_in_thread(index, query, count, faiss.SearchParameters(sel=selector))
    allowed = None if selector is None else faiss.IDSelectorTranslated(index.id_map, selector)
    borders = [total * part // parts for part in range(parts + 1)]

    def search(first: int, end: int) -> ScoresAndIds:
        within = faiss.IDSelectorRange(first, end)
        both = within if allowed is None else faiss.IDSelectorAnd(within, allowed)
        found = _search_in_thread(flat, query, count, faiss.SearchParameters(sel=both))
        if is_large:
            release(index, first, end)
        return found

    found = list(_threads(threads).map(search, borders[:-1], borders[1:]))
    scores, at = (np.concatenate(column) for column in zip(*found, strict=True))
    best = np.argsort(-scores, kind="stable")[:count]
    ids = faiss.rev_swig_ptr(index.id_map.data(), total)
    return scores[best], np.where(at[best] < 0, -1, ids[at[best]])


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(count, thread_name_prefix="nearest")


def _search_in_thread(
    index: Any, query: NDArray[np.float32], count: int, parameters: Any
) -> ScoresAndIds:
    """Search for one query in the calling thread; ids are -1 where there are no more.

    OpenMP's other threads have no work for one query, and would spin while they wait.
    """
    import faiss

    threads = faiss.omp_get_max_threads()  # a setting of the calling thread
    faiss.omp_set_num_threads(1)
    try:
        scores, ids = index.search(query[None], count, params=parameters)
    finally:
        faiss.omp_set_num_threads(threads)
    return scores[0], ids[0]
