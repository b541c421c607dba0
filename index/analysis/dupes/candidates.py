"""Candidate pairs of duplicates, found without comparing all pairs.

100,000 files have five billion pairs. FAISS compares that many 64-bit hashes in seconds, but the
inner products of that many vectors would take minutes on all cores. Vectors are therefore searched
with an inverted file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nmm.index.analysis.dupes.image_match import HASH_BITS, ROTATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

HASH_BATCH = 1024
# Pairs per hash: each of ten thousand white pages is like all others, and all these pairs would
# fill the memory.
MAX_PAIRS_PER_HASH = 512
# Neighbours per vector.
NEIGHBOURS = 16
# Up to this number of vectors, all pairs are compared.
MAX_EXACT = 4096
VECTOR_BATCH = 1024
# The inverted file for more vectors: lists per square root of their number, lists that are probed,
# and training vectors per list. `bench/dupes.py` prints how many pairs it misses.
LISTS_PER_ROOT, NPROBE, TRAINING_PER_LIST = 4, 8, 40


class CandidatePairs(NamedTuple):
    """Pairs of positions, the lower one first.

    Attributes:
        firsts, seconds: The positions, shape (m,).
        rotations: Quarter turns to the left that match the first of each pair to the second, shape
            (m,).
    """

    firsts: Integers
    seconds: Integers
    rotations: Integers


def find_by_hash(hashes: NDArray[np.uint8], max_distance: int) -> Iterator[CandidatePairs]:
    """Yield batches of pairs with similar hashes in some rotation, each pair once per rotation.

    Args:
        hashes: See :func:`.image_match.perceptual_hashes`, shape (n, 4, 8).
        max_distance: The maximum Hamming distance.
    """
    import faiss
    import numpy as np

    index = faiss.IndexBinaryFlat(HASH_BITS)
    # In reverse order, so that a hash is compared with itself and later ones only.
    for start in reversed(range(0, len(hashes), HASH_BATCH)):
        block = hashes[start : start + HASH_BATCH]
        index.add(np.ascontiguousarray(block[::-1, 0]))
        for rotation in range(ROTATIONS):
            # FAISS excludes the radius itself.
            ends, _, found = index.range_search(
                np.ascontiguousarray(block[:, rotation]), max_distance + 1
            )
            firsts = np.repeat(np.arange(len(block)), np.diff(ends.astype(np.int64))) + start
            seconds = len(hashes) - 1 - found
            after = seconds > firsts
            firsts, seconds = firsts[after], seconds[after]
            order = np.lexsort((seconds, firsts))
            firsts, seconds = firsts[order], seconds[order]
            kept = np.arange(len(firsts)) - np.searchsorted(firsts, firsts) < MAX_PAIRS_PER_HASH
            if kept.any():
                yield CandidatePairs(
                    firsts[kept], seconds[kept], np.full(kept.sum(), rotation, np.int64)
                )


def find_by_vector(vectors: NDArray[np.float32], cosine: float) -> CandidatePairs:
    """Return the pairs among nearest neighbours with at least this cosine.

    Args:
        vectors: Normalised, shape (n, dimension).
        cosine: The minimum cosine.
    """
    import numpy as np

    count = min(NEIGHBOURS + 1, len(vectors))
    if len(vectors) < 2:
        empty = np.empty(0, np.int64)
        return CandidatePairs(empty, empty, empty)
    index = _build_index(np.ascontiguousarray(vectors))
    pairs = []
    for start in range(0, len(vectors), VECTOR_BATCH):
        block = vectors[start : start + VECTOR_BATCH]
        scores, found = index.search(np.ascontiguousarray(block), count)
        rows, columns = np.nonzero((scores >= cosine) & (found >= 0))
        firsts, seconds = rows + start, found[rows, columns]
        pairs.append(np.stack([np.minimum(firsts, seconds), np.maximum(firsts, seconds)], axis=1))
    distinct = np.unique(np.concatenate(pairs), axis=0)
    distinct = distinct[distinct[:, 0] < distinct[:, 1]]
    return CandidatePairs(distinct[:, 0], distinct[:, 1], np.zeros(len(distinct), np.int64))


def _build_index(vectors: NDArray[np.float32]) -> Any:
    """Return an exact index for few vectors, or else an inverted file."""
    import faiss

    count, dimension = vectors.shape
    flat = faiss.IndexFlatIP(dimension)
    if count <= MAX_EXACT:
        flat.add(vectors)
        return flat
    lists = int(LISTS_PER_ROOT * count**0.5)
    index = faiss.IndexIVFFlat(flat, dimension, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.max_points_per_centroid = TRAINING_PER_LIST
    index.cp.min_points_per_centroid = 1  # else it warns on stderr
    index.cp.niter = 4
    index.train(vectors)
    index.add(vectors)
    index.nprobe = NPROBE
    return index
