"""Measures a projection: preserved neighbours, trustworthiness, and the mixing of kinds.

Everything is measured on a sample of the points, against all points, with exact neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.index.common.linalg import sample_indices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

K, SAMPLE = 10, 1000


def find_neighbours(
    points: NDArray[np.float32], queries: NDArray[np.int64], k: int = K
) -> NDArray[np.int64]:
    """Return the `k` nearest points by Euclidean distance, excluding the points themselves.

    Args:
        points: More than `k`, shape (n, dimension).
        queries: The positions of the points whose neighbours are returned, shape (m,).

    Returns:
        Positions, the nearest first, shape (m, k).
    """
    import faiss
    import numpy as np

    points = np.ascontiguousarray(points, np.float32)
    _, found = faiss.knn(points[queries], points, k + 1)
    others = found != queries[:, None]
    # Among coinciding points, a point need not find itself. Drop the last one then.
    others[others.all(axis=1), -1] = False
    return np.asarray(found[others].reshape(len(queries), k), np.int64)


def neighbour_preservation(
    vectors: NDArray[np.float32],
    points: NDArray[np.float32],
    k: int = K,
    *,
    sample: int = SAMPLE,
) -> float:
    """Return the share of the `k` nearest vectors among the `k` nearest points; chance is k/n."""
    import numpy as np

    queries = sample_indices(len(vectors), sample)
    there, here = find_neighbours(vectors, queries, k), find_neighbours(points, queries, k)
    return float(np.mean((there[:, :, None] == here[:, None, :]).any(axis=1)))


def trustworthiness(
    vectors: NDArray[np.float32],
    points: NDArray[np.float32],
    k: int = K,
    *,
    sample: int = SAMPLE,
) -> float:
    """Return the trustworthiness: 1 if all near points have near vectors; chance is about 0.5.

    See Venna and Kaski, 2001, "Neighborhood preservation in nonlinear projection methods". The sum
    is taken over a sample.
    """
    import numpy as np

    count = len(vectors)
    queries = sample_indices(count, sample)
    here = find_neighbours(points, queries, k)
    excess = 0
    for place, neighbours in zip(queries, here, strict=True):
        distances = np.square(vectors - vectors[place]).sum(axis=1)
        distances[place] = -1
        # The nearest has rank 1.
        ranks = (distances[None, :] < distances[neighbours][:, None]).sum(axis=1)
        excess += int(np.maximum(ranks - k, 0).sum())
    return 1 - 2 * excess / (len(queries) * k * (2 * count - 3 * k - 1))


def kind_mixing(
    points: NDArray[np.float32],
    is_image: NDArray[np.bool_],
    k: int = K,
    *,
    sample: int = SAMPLE,
) -> float:
    """Return the share of neighbours of the other kind, relative to chance.

    The result is 1 if the kinds are mixed and 0 if they are separate. It is the mean over both
    kinds, so that the rarer kind counts as much.

    Args:
        points: Vectors or points, shape (n, dimension).
        is_image: The kind of each, shape (n,). Both kinds occur.
    """
    import numpy as np

    shares = []
    for side in (True, False):
        (own,) = np.nonzero(is_image == side)
        queries = own[sample_indices(len(own), sample)]
        other = float(np.mean(is_image[find_neighbours(points, queries, k)] != side))
        chance = (len(points) - len(own)) / (len(points) - 1)
        shares.append(other / chance)
    return float(np.mean(shares))
