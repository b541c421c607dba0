"""FAISS indexes in files: two forms of them, written whole, opened without being read.

*flat*: vectors as halves, each compared with the query; exact.

*ivf*: an inverted file (Sivic and Zisserman, 2003) whose lists hold RaBitQ codes (Gao and
Long, 2024, arXiv:2405.12497; of more than one bit: Gao and others, 2024, arXiv:2409.09913),
after a random rotation. A search looks into the lists nearest to the query and proposes more
than are asked for, which are then compared as they stand in the catalog. `bench/store.py`
prints what it gains and what it misses.

Both keep ids of chunks, and both are mapped into memory: opening one reads next to nothing.
A file is never changed once it is written.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmm.index.common.atomic_files import fsync_path
from nmm.index.common.hashing import file_sha256
from nmm.index.errors import CatalogError
from nmm.index.store.vectors.base import Candidates
from nmm.index.store.vectors.page_cache import give_back
from nmm.index.store.vectors.segment_table import Form, Segment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    from numpy.typing import NDArray

    Blocks = Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]

# Lists for so many vectors: this many times their root (FAISS's guidelines).
LISTS_PER_ROOT = 4
# Vectors that the lists are learned from, to each list; more make training longer and the
# lists hardly better.
SAMPLE_PER_LIST = 40
# Steps of k-means.
STEPS = 10
# Bits a dimension. To read a candidate from the catalog takes longer than to compare many codes:
# with one bit, a query far from all vectors needs four times the candidates for the same recall.
BITS = 2
# Lists that a search looks into, and candidates that it proposes: so many, and a few for each
# vector that is asked for. See `bench/store.py`.
PROBES = 64
CANDIDATES = 100
PER_ASKED = 2
# Among certain ids, so many times the candidates.
FILTERED = 10
# Times the candidates that the lists which are looked into should hold.
ROOMY = 4
# Vectors of a flat file for each thread that compares them: a thousand take some 50 microseconds.
PER_THREAD = 10_000
# Bytes of a flat file beyond which its pages are given back when they were compared, so many at a
# time: a search that kept them would seem to need as much memory as all vectors take. To map them
# again for another query takes its time, and smaller parts would take more, for FAISS goes through
# all places for each.
LARGE, AT_ONCE = 1 << 27, 1 << 26
SEED = 1


def new_flat(dimension: int) -> Any:
    """An empty flat index."""
    import faiss

    flat = faiss.IndexScalarQuantizer(
        dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    return faiss.IndexIDMap(flat)


def new_ivf(sample: NDArray[np.float32], count: int) -> Any:
    """An empty inverted file for about `count` vectors, its lists learned from a sample."""
    import faiss

    dimension = sample.shape[1]
    lists = lists_for(count)
    ivf = faiss.IndexIVFRaBitQ(
        faiss.IndexFlatIP(dimension), dimension, lists, faiss.METRIC_INNER_PRODUCT, True, BITS
    )
    ivf.cp.niter = STEPS
    ivf.cp.seed = SEED
    ivf.cp.min_points_per_centroid = 1  # a small sample is no reason to warn on stderr
    rotation = faiss.RandomRotationMatrix(dimension, dimension)
    rotation.init(SEED)
    index = faiss.IndexPreTransform(rotation, ivf)
    index.train(sample)
    return index


def lists_for(count: int) -> int:
    """How many lists an inverted file of so many vectors has."""
    return max(1, int(LISTS_PER_ROOT * count**0.5))


def write(index: Any, path: Path, *, form: Form, trained: int, last_chunk: int) -> Segment:
    """Write an index to a new file and have it on the disk; what is to be known of it.

    Raises:
        CatalogError: It cannot be written; nothing is left of it.
    """
    import faiss

    digest = hashlib.sha256()
    try:
        path.parent.mkdir(exist_ok=True)
        with path.open("xb") as file:

            def add(block: bytes) -> None:
                digest.update(block)
                file.write(block)

            faiss.write_index(index, faiss.PyCallbackIOWriter(add))
            file.flush()
            os.fsync(file.fileno())
            found = os.fstat(file.fileno())
        fsync_path(path.parent)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise CatalogError(
            f"The search file {path} cannot be written.",
            code="search-file-not-writable",
            why=error.strerror or str(error),
            hint="Free some space on that disk, and index again. Nothing is lost.",
            path=path,
        ) from error
    return Segment(
        name=path.name,
        form=form,
        bytes=found.st_size,
        mtime_ns=found.st_mtime_ns,
        sha256=digest.hexdigest(),
        total=index.ntotal,
        trained=trained,
        last_chunk=last_chunk,
    )


def open_file(folder: Path, segment: Segment) -> Any | None:
    """The index in a segment's file, mapped; None if it is missing or not what was written.

    A file that is as old and as large as when it was written is believed. Any other, such
    as a copy, is read and compared with its hash.
    """
    path = folder / segment.name
    if not is_sound(path, segment):
        return None
    import faiss

    # Of the forms, each is mapped by a flag of its own.
    flag = faiss.IO_FLAG_MMAP_IFC if segment.form == "flat" else faiss.IO_FLAG_MMAP
    try:
        index = faiss.read_index(str(path), flag)
    except RuntimeError:  # what FAISS raises for whatever it cannot read
        return None
    if segment.form == "ivf":
        # Threads that read lists ahead: to start them takes longer than the search itself.
        lists = faiss.extract_index_ivf(index).invlists
        faiss.downcast_InvertedLists(lists).prefetch_nthread = 0
    return index if index.ntotal == segment.total else None


def read_whole(path: Path) -> Any:
    """The index in a file, in memory, to be added to."""
    import faiss

    return faiss.read_index(str(path))


def keep(index: Any, ids: NDArray[np.int64]) -> None:
    """Remove all vectors of an inverted file but those of certain ids."""
    import faiss

    index.remove_ids(faiss.IDSelectorNot(_selector(ids)))


def is_sound(path: Path, segment: Segment, *, thorough: bool = False) -> bool:
    """Whether a file is what was written; `thorough` reads it in any case."""
    try:
        found = path.stat()
        if found.st_size != segment.bytes:
            return False
        if found.st_mtime_ns == segment.mtime_ns and not thorough:
            return True
        return file_sha256(path) == segment.sha256
    except OSError:
        return False


def ids_of(index: Any) -> NDArray[np.int64]:
    """The ids of all vectors in an index, in no order."""
    import faiss
    import numpy as np

    if isinstance(index, faiss.IndexIDMap):
        ids: NDArray[np.int64] = faiss.vector_to_array(index.id_map)
        return ids
    lists = faiss.extract_index_ivf(index).invlists
    return np.concatenate(
        [
            faiss.rev_swig_ptr(lists.get_ids(n), lists.list_size(n)).copy()
            for n in range(lists.nlist)
            if lists.list_size(n)
        ]
        or [np.empty(0, np.int64)]
    )


def nearest(
    index: Any, query: NDArray[np.float32], count: int, among: NDArray[np.int64] | None = None
) -> Candidates:
    """Ids and inner products of the vectors nearest to a query, shape (dimension,).

    Of an inverted file, more than asked for, and by their codes. With `among`, ids, all lists are
    looked into, for those that are meant may lie in any, and many more are proposed.
    """
    import faiss
    import numpy as np

    selector = None if among is None else _selector(among)
    parameters: Any
    if isinstance(index, faiss.IndexIDMap):
        scores, ids = _in_parts(index, query, min(count, index.ntotal), selector)
    else:
        count = (CANDIDATES + PER_ASKED * count) * (1 if among is None else FILTERED)
        lists = faiss.extract_index_ivf(index).nlist
        # For many, so many lists that they hold some times as much.
        wide = max(PROBES, ROOMY * lists * count // index.ntotal)
        probes = lists if among is not None else min(wide, lists)
        parameters = faiss.SearchParametersPreTransform(
            index_params=faiss.IVFRaBitQSearchParameters(nprobe=probes, sel=selector)
        )
        scores, ids = _alone(index, query, min(count, index.ntotal), parameters)
    found = ids >= 0
    return Candidates(ids[found].astype(np.int64), scores[found])


def nearest_at(
    index: Any, query: NDArray[np.float32], count: int, places: NDArray[np.int64]
) -> Candidates:
    """As of :func:`nearest`, among the vectors at some places in a flat file, in this thread."""
    import faiss

    flat = faiss.downcast_index(index.index)
    scores, at = _alone(flat, query, count, faiss.SearchParameters(sel=_selector(places)))
    found = at >= 0
    ids = faiss.rev_swig_ptr(index.id_map.data(), index.ntotal)
    return Candidates(ids[at[found]], scores[found])


def halves(index: Any) -> NDArray[np.float16]:
    """The vectors in a flat file, shape (vectors, dimension); not for longer than that is open."""
    import faiss
    import numpy as np

    flat = faiss.downcast_index(index.index)
    codes = faiss.rev_swig_ptr(flat.codes.data(), flat.codes.size())
    vectors: NDArray[np.float16] = codes.view(np.float16).reshape(flat.ntotal, flat.d)
    return vectors


def is_mapped(index: Any) -> bool:
    """Whether what is in a flat file is mapped, and not in memory of its own."""
    import faiss

    return not faiss.downcast_index(index.index).codes.is_owned


def release(index: Any, first: int, end: int) -> None:
    """Give back the pages of a range of the vectors in a flat file; nothing if it is not mapped."""
    if is_mapped(index):
        give_back(halves(index)[first:end])


def _in_parts(
    index: Any, query: NDArray[np.float32], count: int, selector: Any | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores and ids from a flat index, of which each thread compares a part.

    FAISS itself divides queries among threads, and not what one query is compared with.
    """
    import faiss
    import numpy as np

    total, flat = index.ntotal, faiss.downcast_index(index.index)
    size = total * flat.code_size
    is_large = size > LARGE
    threads = max(1, min(faiss.omp_get_max_threads(), total // PER_THREAD))
    parts = max(threads, size // AT_ONCE) if is_large else threads
    if parts == 1:
        return _alone(index, query, count, faiss.SearchParameters(sel=selector))
    places = None if selector is None else faiss.IDSelectorTranslated(index.id_map, selector)
    borders = [total * part // parts for part in range(parts + 1)]

    def search(first: int, end: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        within = faiss.IDSelectorRange(first, end)
        both = within if places is None else faiss.IDSelectorAnd(within, places)
        found = _alone(flat, query, count, faiss.SearchParameters(sel=both))
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


def _alone(
    index: Any, query: NDArray[np.float32], count: int, parameters: Any
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores and ids for one query, in this thread; -1 where there are no more.

    OpenMP's other threads have nothing to do for one query, and would wait for it at full speed.
    """
    import faiss

    # Of the thread that asks.
    usual = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        scores, ids = index.search(query[None], count, params=parameters)
    finally:
        faiss.omp_set_num_threads(usual)
    return scores[0], ids[0]


def _selector(ids: NDArray[np.int64]) -> Any:
    """A set of ids as a bit for each id up to the greatest."""
    import faiss
    import numpy as np

    bits = np.zeros(int(ids.max()) + 1 if len(ids) else 1, np.bool_)
    bits[ids] = True
    return faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))
