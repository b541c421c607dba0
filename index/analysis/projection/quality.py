"""How true a picture of vectors is: the neighbours that it keeps, and the kinds that it mixes.

All are measured on a sample of the points, against all points, with exact neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.index.common.linalg import sample_indices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

K, SAMPLE = 10, 1000


def nearest(points: NDArray[np.float32], asked: NDArray[np.int64], k: int = K) -> NDArray[np.int64]:
    """The `k` points nearest to some of them by Euclidean distance, themselves left out.

    Args:
        points: Shape (n, dimension), more than `k`.
        asked: Positions of those whose neighbours are looked for, shape (m,).

    Returns:
        Positions, the nearest first, shape (m, k).
    """
    import faiss
    import numpy as np

    points = np.ascontiguousarray(points, np.float32)
    _, found = faiss.knn(points[asked], points, k + 1)
    others = found != asked[:, None]
    # Of copies that lie on one another a point itself need not be found: the last is left out.
    others[others.all(axis=1), -1] = False
    return np.asarray(found[others].reshape(len(asked), k), np.int64)


def neighbours_kept(
    vectors: NDArray[np.float32],
    points: NDArray[np.float32],
    k: int = K,
    *,
    sample: int = SAMPLE,
) -> float:
    """The part of the `k` nearest vectors that are among the `k` nearest points; chance is k/n."""
    import numpy as np

    asked = sample_indices(len(vectors), sample)
    there, here = nearest(vectors, asked, k), nearest(points, asked, k)
    return float(np.mean((there[:, :, None] == here[:, None, :]).any(axis=1)))


def trustworthiness(
    vectors: NDArray[np.float32],
    points: NDArray[np.float32],
    k: int = K,
    *,
    sample: int = SAMPLE,
) -> float:
    """How few of the nearest points have vectors that are far: 1 if none.

    By Venna and Kaski, 2001, "Neighborhood preservation in nonlinear projection methods", with
    the sum over a sample. Chance is about 0.5.
    """
    import numpy as np

    count = len(vectors)
    asked = sample_indices(count, sample)
    here = nearest(points, asked, k)
    excess = 0
    for place, neighbours in zip(asked, here, strict=True):
        distances = np.square(vectors - vectors[place]).sum(axis=1)
        distances[place] = -1
        # 1 of the nearest.
        ranks = (distances[None, :] < distances[neighbours][:, None]).sum(axis=1)
        excess += int(np.maximum(ranks - k, 0).sum())
    return 1 - 2 * excess / (len(asked) * k * (2 * count - 3 * k - 1))


def mixing(
    points: NDArray[np.float32],
    is_image: NDArray[np.bool_],
    k: int = K,
    *,
    sample: int = SAMPLE,
) -> float:
    """The share of neighbours that are of the other kind, by what chance would give.

    1 where the kinds are mixed, 0 where they lie apart. For each kind alone, so that the rarer
    one counts as much, and the mean of both.

    Args:
        points: Vectors or points, shape (n, dimension).
        is_image: Of each, shape (n,); some are and some are not.
    """
    import numpy as np

    shares = []
    for side in (True, False):
        (own,) = np.nonzero(is_image == side)
        asked = own[sample_indices(len(own), sample)]
        other = float(np.mean(is_image[nearest(points, asked, k)] != side))
        chance = (len(points) - len(own)) / (len(points) - 1)
        shares.append(other / chance)
    return float(np.mean(shares))
