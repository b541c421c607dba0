"""Writes and opens FAISS files, each of one of two forms.

*flat*: vectors of half precision. Each is compared with the query; exact.

*ivf*: an inverted file (Sivic and Zisserman, 2003) whose lists hold RaBitQ codes (Gao and
Long, 2024, arXiv:2405.12497; with more than one bit: Gao and others, 2024, arXiv:2409.09913),
after a random rotation. A search probes the lists nearest to the query and proposes more
candidates than it was asked for, which are then compared with the vectors in the catalog.
`bench/store.py` prints its speed and recall.

Both store chunk ids, and both are memory-mapped: opening one reads almost nothing. A file is never
changed after it was written. See :mod:`.faiss_search` for how they are searched.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmm.index.common.atomic_files import fsync_path
from nmm.index.common.hashing import file_sha256
from nmm.index.errors import CatalogError
from nmm.index.store.vectors.page_cache import release_pages
from nmm.index.store.vectors.segment_table import Form, Segment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# An inverted file has this many times the square root of its vectors as lists (FAISS's guidelines).
LISTS_PER_SQRT = 4
# More training vectors make training longer and the lists hardly better.
TRAINING_VECTORS_PER_LIST = 40
KMEANS_ITERATIONS = 10
# Bits per dimension. Reading a candidate from the catalog takes longer than comparing many codes:
# with one bit, a query far from all vectors needs four times the candidates for the same recall.
RABITQ_BITS = 2
SEED = 1


def new_flat(dimension: int) -> Any:
    """Return an empty flat index."""
    import faiss

    flat = faiss.IndexScalarQuantizer(
        dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    return faiss.IndexIDMap(flat)


def new_ivf(sample: NDArray[np.float32], count: int) -> Any:
    """Return an empty inverted file for about `count` vectors, with lists trained on a sample."""
    import faiss

    dimension = sample.shape[1]
    coarse = faiss.IndexFlatIP(dimension)
    ivf = faiss.IndexIVFRaBitQ(
        coarse, dimension, list_count(count), faiss.METRIC_INNER_PRODUCT, True, RABITQ_BITS
    )
    ivf.cp.niter = KMEANS_ITERATIONS
    ivf.cp.seed = SEED
    ivf.cp.min_points_per_centroid = 1  # prevents a warning on stderr for a small sample
    rotation = faiss.RandomRotationMatrix(dimension, dimension)
    rotation.init(SEED)
    index = faiss.IndexPreTransform(rotation, ivf)
    index.train(sample)
    return index


def list_count(count: int) -> int:
    """Return how many lists an inverted file of so many vectors has."""
    return max(1, int(LISTS_PER_SQRT * count**0.5))


def write(index: Any, path: Path, *, form: Form, trained: int, last_chunk: int) -> Segment:
    """Write an index to a new file, and force it to disk.

    Returns:
        The segment to record in the catalog.

    Raises:
        CatalogError: The file cannot be written; nothing is left of it.
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
            stat = os.fstat(file.fileno())
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
        bytes=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        sha256=digest.hexdigest(),
        total=index.ntotal,
        trained=trained,
        last_chunk=last_chunk,
    )


def open_file(folder: Path, segment: Segment) -> Any | None:
    """Return the memory-mapped index in a segment's file; None if it is missing or damaged.

    A file with the recorded time and size is trusted. Any other file, such as a copy, is read
    and compared with its hash.
    """
    path = folder / segment.name
    if not is_sound(path, segment):
        return None
    import faiss

    # FAISS has a different flag to map each form.
    flag = faiss.IO_FLAG_MMAP_IFC if segment.form == "flat" else faiss.IO_FLAG_MMAP
    try:
        index = faiss.read_index(str(path), flag)
    except RuntimeError:  # FAISS raises it for every file that it cannot read
        return None
    if segment.form == "ivf":
        # Starting threads that prefetch lists takes longer than the search itself.
        lists = faiss.extract_index_ivf(index).invlists
        faiss.downcast_InvertedLists(lists).prefetch_nthread = 0
    return index if index.ntotal == segment.total else None


def read_whole(path: Path) -> Any:
    """Return the index in a file, read into memory so that vectors can be added to it."""
    import faiss

    return faiss.read_index(str(path))


def retain(index: Any, ids: NDArray[np.int64]) -> None:
    """Remove all vectors of an inverted file except those with the given ids."""
    import faiss

    index.remove_ids(faiss.IDSelectorNot(id_selector(ids)))


def is_sound(path: Path, segment: Segment, *, thorough: bool = False) -> bool:
    """Return whether a file is unchanged since it was written; `thorough` always reads it."""
    try:
        stat = path.stat()
        if stat.st_size != segment.bytes:
            return False
        if stat.st_mtime_ns == segment.mtime_ns and not thorough:
            return True
        return file_sha256(path) == segment.sha256
    except OSError:
        return False


def ids_of(index: Any) -> NDArray[np.int64]:
    """Return the ids of all vectors in an index, in no particular order."""
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


def id_selector(ids: NDArray[np.int64]) -> Any:
    """Return a FAISS selector of some ids: a bit for each id up to the greatest."""
    import faiss
    import numpy as np

    bits = np.zeros(int(ids.max()) + 1 if len(ids) else 1, np.bool_)
    bits[ids] = True
    return faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))


def flat_vectors(index: Any) -> NDArray[np.float16]:
    """Return a view of the vectors in a flat file, valid while the file is open.

    Returns:
        Shape (vectors, dimension).
    """
    import faiss
    import numpy as np

    flat = faiss.downcast_index(index.index)
    codes = faiss.rev_swig_ptr(flat.codes.data(), flat.codes.size())
    vectors: NDArray[np.float16] = codes.view(np.float16).reshape(flat.ntotal, flat.d)
    return vectors


def is_mapped(index: Any) -> bool:
    """Return whether the vectors of a flat file are mapped, and not in memory of their own."""
    import faiss

    return not faiss.downcast_index(index.index).codes.is_owned


def release(index: Any, first: int, end: int) -> None:
    """Release the pages of a range of the vectors in a flat file, if the file is mapped."""
    if is_mapped(index):
        release_pages(flat_vectors(index)[first:end])
