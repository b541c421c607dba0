"""Finds the candidates of many queries at once in a flat file, by codes of a byte per component.

A flat file is exact, and each query reads all of it. Here a matrix of bytes stands for it: half
its size, and multiplied by several queries in one matrix product. The error of a code has a known
bound, which rules out most vectors; the others are compared as they are in the file. So the result
is the same as the flat file's. This is the vector approximation file (Weber, Schek and Blott,
1998), with bounds on inner products.

A component x of a vector has the byte code c, where x is about low + step * c. Each component has
its own low and step. The inner product with a query q is then

    q . x  =  q . low  +  w . c  +  q . error,    w = q * step

The first term is the same for all vectors. The last is at most the length of the longest error,
because the query has unit length. In the second, w is rounded to whole numbers of 14 bits, each in
two digits of a byte. The rounding error of w counts as the sum of its absolute values times 128,
because a constant shift of all codes moves all products by the same amount. So all vectors whose
computed product is within twice these bounds of the last wanted product may be among the nearest,
and no others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nmm.index.store.vectors import faiss_files, faiss_search

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.vectors.base import Candidates

    Floats = NDArray[np.float32]

# Vectors that are encoded, and multiplied, together. The intermediate results then stay in a
# processor's caches.
ENCODE_BLOCK, MULTIPLY_BLOCK = 256, 2048
# A rounded component of a query is 128 times its high digit plus its low digit. Both lie between
# -64 and 64, for which :func:`.int8_matmul.multiply_int8` is exact on every processor.
DIGIT_BASE = 128
MAX_WEIGHT = 64 * DIGIT_BASE
# The step of a component that is the same in all vectors.
MIN_STEP = 1e-9
# A bound on the rounding errors of sums of floats, here and in FAISS.
ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of all vectors in a flat file.

    Attributes:
        index: The opened file.
        codes: Bytes, shape (vectors, dimension).
        step: Of each component, shape (dimension,).
        error: The greatest distance between a vector and its decoded code.
    """

    index: Any
    codes: NDArray[np.uint8]
    step: Floats
    error: float

    def nearest(self, queries: Floats, count: int) -> list[Candidates]:
        """Return what :func:`.faiss_search.nearest` returns, for each query.

        Args:
            queries: Of unit length, shape (n, dimension).
            count: Vectors to find for each.
        """
        count = min(count, len(self.codes))
        return [
            faiss_search.nearest_at(self.index, query, count, positions)
            for query, positions in zip(queries, self._candidates(queries, count), strict=True)
        ]

    def _candidates(self, queries: Floats, count: int) -> Iterator[NDArray[np.int64]]:
        """Yield for each query the positions of all vectors that may be among the nearest."""
        import numpy as np

        weights = queries * self.step
        unit = np.maximum(np.abs(weights).max(axis=1, keepdims=True), MIN_STEP**2) / MAX_WEIGHT
        whole = np.rint(weights / unit)
        high = np.rint(whole / DIGIT_BASE)
        digits = np.concatenate([high, whole - DIGIT_BASE * high]).T.astype(np.int8)
        rounded_off = np.abs(weights - whole * unit).sum(axis=1)
        bounds = (self.error + 128 * rounded_off + ROUNDING) / unit[:, 0]
        for products, bound in zip(self._products(digits), bounds.tolist(), strict=True):
            last = np.partition(products, -count)[-count]
            yield np.flatnonzero(products >= last - 2 * bound)

    def _products(self, digits: NDArray[np.int8]) -> Floats:
        """Return the products of queries, given as digits, with all codes: (queries, vectors)."""
        import numpy as np

        from nmm.index.common.int8_matmul import multiply_int8

        total, queries = len(self.codes), digits.shape[1] // 2
        products = np.empty((queries, total), np.float32)
        digits = np.ascontiguousarray(digits)
        for start in range(0, total, MULTIPLY_BLOCK):
            block = products[:, start : start + MULTIPLY_BLOCK]
            both = multiply_int8(self.codes[start : start + MULTIPLY_BLOCK], digits).T
            np.multiply(both[:queries], np.float32(DIGIT_BASE), out=block)
            block += both[queries:]
        return products


def encode(index: Any) -> Codes | None:
    """Return the codes of a flat file; None if it is damaged and holds infinities or NaN."""
    import numpy as np

    vectors = faiss_files.flat_vectors(index)
    low, high = np.full((2, vectors.shape[1]), np.nan, np.float32)
    for _, block in _blocks(vectors):
        np.fmin(low, block.min(axis=0), out=low)
        np.fmax(high, block.max(axis=0), out=high)
    codes = np.empty(vectors.shape, np.uint8)
    squares = np.zeros(1, np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        step = np.maximum((high - low) / 255, MIN_STEP)
        for start, block in _blocks(vectors):
            np.subtract(block, low, out=block)
            code = block / step
            np.rint(code, out=code)
            codes[start : start + len(block)] = code
            np.subtract(block, np.multiply(code, step, out=code), out=block)
            np.maximum(squares, np.einsum("ij,ij->i", block, block).max(), out=squares)
    faiss_files.release(index, 0, len(vectors))  # few are read from now on
    error = float(squares[0]) ** 0.5
    return Codes(index, codes, step, error) if math.isfinite(error) else None


def _blocks(vectors: NDArray[np.float16]) -> Iterator[tuple[int, Floats]]:
    """Yield blocks of vectors, each with the position of its first vector."""
    import numpy as np

    for start in range(0, len(vectors), ENCODE_BLOCK):
        yield start, vectors[start : start + ENCODE_BLOCK].astype(np.float32)
