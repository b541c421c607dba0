"""Exact search over blocks of vectors, as the catalog gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.index.store.vectors.base import Candidates

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.vectors.base import ChunkIds, Vector

    # Ids of chunks, shape (n,), and their vectors, (n, dimension).
    Block: TypeAlias = tuple[ChunkIds, NDArray[np.float32]]


def restrict(block: Block, among: ChunkIds) -> Block:
    """Return the rows of a block whose ids are among some."""
    import numpy as np

    ids, vectors = block
    wanted = np.isin(ids, among)
    return ids[wanted], vectors[wanted]


def best_of(blocks: Iterable[Block], query: Vector, limit: int) -> Candidates:
    """Return the chunks in some blocks with the greatest inner products with a query."""
    import numpy as np

    best = Candidates(np.empty(0, np.int64), np.empty(0, np.float32))
    for ids, vectors in blocks:
        # Not by BLAS: its product of a row depends on the position of the row in the matrix.
        products = np.einsum("ij,j->i", vectors, query)
        best = merge(np.append(best.ids, ids), np.append(best.scores, products), limit)
    return best


def merge(ids: ChunkIds, scores: Vector, limit: int) -> Candidates:
    """Return the greatest scores and their ids, greatest first, equal ones by id."""
    import numpy as np

    order = np.lexsort((ids, -scores))[:limit]
    return Candidates(ids[order], scores[order])
