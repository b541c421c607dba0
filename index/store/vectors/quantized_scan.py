"""Codes of a byte a component, by which many queries find their candidates in a flat file at once.

A flat file is exact, and each query reads all of it. Here a matrix of bytes stands for it: half of
its size, and multiplied by several queries in one product of matrices. What a code may be wrong by
is known, and so is which vectors cannot be among the nearest; the others are compared as they stand
in the file. What is found is what the file alone would find. It is the vector approximation file
(Weber, Schek and Blott, 1998), whose cells are told by their inner products.

A component x of a vector stands as the byte c, where x is about low + step * c, with low and step
of that component alone. The inner product with a query q is then

    q . x  =  q . low  +  w . c  +  q . error,    w = q * step

The first term is the same for all vectors. The last is at most as long as the longest error, for a
query of unit length. In the second, w is rounded to whole numbers of 14 bits, each in two digits
of a byte; of what is left of w, the sum of the absolute values counts, times 128, for where in its
range c lies moves all products by the same. So of the products that are computed, all of those
within twice these bounds of the last wanted one may be of one of the nearest, and no others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nmm.index.store.vectors import faiss_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    from nmm.index.store.vectors.base import Candidates

# Vectors that are coded, and multiplied, at once, so that what is computed of them stays in a
# processor's caches.
CODED, MULTIPLIED = 256, 2048
# A rounded component of a query is 128 times the one digit and the other, both between -64 and 64,
# which is what :func:`.byte_product.multiply` computes everywhere.
DIGIT, MOST = 128, 64 * 128
# Of components that are all the same.
LEAST_STEP = 1e-9
# What sums of floats may be wrong by, here and in FAISS.
ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of all vectors in a flat file.

    Attributes:
        index: The file, opened.
        codes: Bytes, shape (vectors, dimension).
        step: Of each component.
        error: The length of the longest difference between a vector and what its code says.
    """

    index: Any
    codes: NDArray[np.uint8]
    step: Floats
    error: float

    def nearest(self, queries: Floats, count: int) -> list[Candidates]:
        """Ids and inner products as of :func:`.faiss_files.nearest`, of each of some queries.

        `queries` has shape (n, dimension); each is of unit length.
        """
        count = min(count, len(self.codes))
        return [
            faiss_files.nearest_at(self.index, query, count, places)
            for query, places in zip(queries, self._candidates(queries, count), strict=True)
        ]

    def _candidates(self, queries: Floats, count: int) -> Iterator[NDArray[np.int64]]:
        """The places of all vectors that may be among the nearest, for each query."""
        import numpy as np

        weights = queries * self.step
        unit = np.maximum(np.abs(weights).max(axis=1, keepdims=True), LEAST_STEP**2) / MOST
        whole = np.rint(weights / unit)
        high = np.rint(whole / DIGIT)
        digits = np.concatenate([high, whole - DIGIT * high]).T.astype(np.int8)
        left = np.abs(weights - whole * unit).sum(axis=1)
        bounds = (self.error + 128 * left + ROUNDING) / unit[:, 0]
        for products, bound in zip(self._products(digits), bounds.tolist(), strict=True):
            last = np.partition(products, -count)[-count]
            yield np.flatnonzero(products >= last - 2 * bound)

    def _products(self, digits: NDArray[np.int8]) -> Floats:
        """The products of the digits of queries with all codes, shape (queries, vectors)."""
        import numpy as np

        from nmm.index.common.int8_matmul import multiply_int8

        total, queries = len(self.codes), digits.shape[1] // 2
        products = np.empty((queries, total), np.float32)
        digits = np.ascontiguousarray(digits)
        for start in range(0, total, MULTIPLIED):
            some = products[:, start : start + MULTIPLIED]
            both = multiply_int8(self.codes[start : start + MULTIPLIED], digits).T
            np.multiply(both[:queries], np.float32(DIGIT), out=some)
            some += both[queries:]
        return products


def encode(index: Any) -> Codes | None:
    """The codes of what is in a flat file; None if they can say nothing of it.

    So it is with a file that is damaged, and holds what is no number.
    """
    import numpy as np

    halves = faiss_files.halves(index)
    low, high = np.full((2, halves.shape[1]), np.nan, np.float32)
    for _, block in _blocks(halves):
        np.fmin(low, block.min(axis=0), out=low)
        np.fmax(high, block.max(axis=0), out=high)
    codes = np.empty(halves.shape, np.uint8)
    squares = np.zeros(1, np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        step = np.maximum((high - low) / 255, LEAST_STEP)
        for start, block in _blocks(halves):
            np.subtract(block, low, out=block)
            code = block / step
            np.rint(code, out=code)
            codes[start : start + len(block)] = code
            np.subtract(block, np.multiply(code, step, out=code), out=block)
            np.maximum(squares, np.einsum("ij,ij->i", block, block).max(), out=squares)
    faiss_files.release(index, 0, len(halves))  # of which few are read from now on
    error = float(squares[0]) ** 0.5
    return Codes(index, codes, step, error) if math.isfinite(error) else None


def _blocks(halves: NDArray[np.float16]) -> Iterator[tuple[int, Floats]]:
    """Where each block begins, and its vectors."""
    import numpy as np

    for start in range(0, len(halves), CODED):
        yield start, halves[start : start + CODED].astype(np.float32)
