"""Pairs that may be copies, of many, without comparing all with all.

A hundred thousand files make five thousand million pairs. To compare so many hashes of 64 bits
takes FAISS seconds; the products of so many vectors take minutes of all cores, and so vectors are
looked for in the lists of an inverted file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nmm.index.analysis.dupes.image_match import BITS, TURNS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

# Hashes looked up at once, and the most that one is compared with: of ten thousand white pages
# each is like all others, and their pairs would fill the memory.
HASHES_AT_ONCE, MOST = 1024, 512
# The nearest of each vector that are looked at.
NEAREST = 16
# Vectors up to which all are compared with all.
EXACT = 4096
VECTORS_AT_ONCE = 1024
# Beyond: lists to the root of their number, those that are looked into, and vectors that each is
# learned from. `bench/dupes.py` prints how many pairs that misses.
LISTS_PER_ROOT, LOOKED_INTO, SAMPLE_PER_LIST = 4, 8, 40


class Proposed(NamedTuple):
    """Pairs of places, the lower first.

    Attributes:
        ones, others: Shape (m,).
        turns: Quarter turns to the left that bring the one nearest to the other.
    """

    ones: Integers
    others: Integers
    turns: Integers


def by_hash(hashes: NDArray[np.uint8], bits: int) -> Iterator[Proposed]:
    """Pairs whose hashes differ by no more bits, in some turn; in blocks, each pair once a turn.

    Args:
        hashes: Of :func:`.prints.hashes`, shape (n, 4, 8).
        bits: At most.
    """
    import faiss
    import numpy as np

    index = faiss.IndexBinaryFlat(BITS)
    # From the last block on, so that a hash is compared with itself and those after it.
    for start in reversed(range(0, len(hashes), HASHES_AT_ONCE)):
        block = hashes[start : start + HASHES_AT_ONCE]
        index.add(np.ascontiguousarray(block[::-1, 0]))
        for turn in range(TURNS):
            # FAISS leaves out what is as far as the radius.
            ends, _, found = index.range_search(np.ascontiguousarray(block[:, turn]), bits + 1)
            ones = np.repeat(np.arange(len(block)), np.diff(ends.astype(np.int64))) + start
            others = len(hashes) - 1 - found
            after = others > ones
            ones, others = ones[after], others[after]
            order = np.lexsort((others, ones))
            ones, others = ones[order], others[order]
            few = np.arange(len(ones)) - np.searchsorted(ones, ones) < MOST
            if few.any():
                yield Proposed(ones[few], others[few], np.full(few.sum(), turn, np.int64))


def by_vector(vectors: NDArray[np.float32], cosine: float) -> Proposed:
    """Pairs with at least that cosine, among the nearest of each.

    Args:
        vectors: Of unit length, shape (n, dimension).
    """
    import numpy as np

    count = min(NEAREST + 1, len(vectors))
    if len(vectors) < 2:
        nothing = np.empty(0, np.int64)
        return Proposed(nothing, nothing, nothing)
    index = _index(np.ascontiguousarray(vectors))
    pairs = []
    for start in range(0, len(vectors), VECTORS_AT_ONCE):
        block = vectors[start : start + VECTORS_AT_ONCE]
        scores, found = index.search(np.ascontiguousarray(block), count)
        rows, columns = np.nonzero((scores >= cosine) & (found >= 0))
        ones, others = rows + start, found[rows, columns]
        pairs.append(np.stack([np.minimum(ones, others), np.maximum(ones, others)], axis=1))
    every = np.unique(np.concatenate(pairs), axis=0)
    every = every[every[:, 0] < every[:, 1]]
    return Proposed(every[:, 0], every[:, 1], np.zeros(len(every), np.int64))


def _index(vectors: NDArray[np.float32]) -> Any:
    """What finds the nearest: exact if they are few, else an inverted file."""
    import faiss

    count, dimension = vectors.shape
    flat = faiss.IndexFlatIP(dimension)
    if count <= EXACT:
        flat.add(vectors)
        return flat
    lists = int(LISTS_PER_ROOT * count**0.5)
    index = faiss.IndexIVFFlat(flat, dimension, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.max_points_per_centroid = SAMPLE_PER_LIST
    index.cp.min_points_per_centroid = 1  # else it warns on stderr
    index.cp.niter = 4
    index.train(vectors)
    index.add(vectors)
    index.nprobe = LOOKED_INTO
    return index
