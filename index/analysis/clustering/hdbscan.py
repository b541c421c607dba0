"""HDBSCAN (Campello, Moulavi and Sander, 2013), scikit-learn's, on what it can be run on.

It compares all pairs, and distances in hundreds of dimensions hardly differ. So vectors are
brought to few dimensions first (principal components), and of many vectors a sample is grouped;
each other one joins the group of the nearest of the sample, if it is as dense around it as around
the members of that. `bench/understand.py` prints what that takes and finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.index.analysis.clustering.kmeans import Groups, mean_directions
from nmm.index.common.linalg import sample_indices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# Vectors that are grouped; the time grows with their square.
SAMPLE = 10_000
# In too few, the groups of a large collection lie on one another; the time grows with them.
DIMENSIONS = 64
# Neighbours that say how dense it is around a vector, itself among them.
NEIGHBOURS = 5
# The smallest group: one in so many vectors, and no fewer than as many as say how dense it is.
ONE_IN = 400


def divide(vectors: Floats, *, seed: int = 0) -> Groups:
    """Divide vectors into groups, as many as there are, and those that are in none.

    Args:
        vectors: Of unit length, or zero, shape (n, dimension).
        seed: Of the sample.
    """
    import numpy as np

    least = max(NEIGHBOURS, len(vectors) // ONE_IN)
    if len(vectors) < 2 * NEIGHBOURS:
        return Groups(np.full(len(vectors), -1, np.int64), vectors[:0])
    from sklearn.cluster import HDBSCAN

    reduced = _principal(vectors)
    rows = sample_indices(len(vectors), SAMPLE, seed)
    if len(rows) < len(vectors):
        least = max(NEIGHBOURS, least * SAMPLE // len(vectors))
    found = HDBSCAN(min_cluster_size=least, min_samples=NEIGHBOURS, copy=True)
    labels = np.full(len(vectors), -1, np.int64)
    labels[rows] = found.fit_predict(reduced[rows])
    if len(rows) < len(vectors):
        _join(reduced, rows, labels)
    return Groups(labels, mean_directions(vectors, labels, int(labels.max()) + 1))


def _principal(vectors: Floats) -> Floats:
    """The first principal components, of which there are at most :data:`DIMENSIONS`."""
    import numpy as np

    away = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(away.T @ away)
    result: Floats = away @ axes[:, -DIMENSIONS:]
    return result


def _join(reduced: Floats, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
    """Give the vectors that are not in a sample the labels of their nearest in it."""
    import faiss
    import numpy as np

    index = faiss.IndexFlatL2(reduced.shape[1])
    index.add(np.ascontiguousarray(reduced[rows]))
    # The core distance of each in the sample, which finds itself first, and the greatest of each
    # group: with that it is connected.
    core = index.search(np.ascontiguousarray(reduced[rows]), NEIGHBOURS)[0][:, -1]
    known = labels[rows]
    greatest = np.zeros(known.max() + 2, np.float32)  # the last one for those in no group
    np.maximum.at(greatest, known, core)
    others = np.setdiff1d(np.arange(len(labels)), rows, assume_unique=True)
    away, nearest = index.search(np.ascontiguousarray(reduced[others]), NEIGHBOURS - 1)
    group = known[nearest[:, 0]]
    labels[others] = np.where(away[:, -1] <= greatest[group], group, -1)
