"""HDBSCAN (Campello, Moulavi and Sander, 2013) by scikit-learn, made feasible for many vectors.

HDBSCAN compares all pairs, and distances hardly differ in hundreds of dimensions. The vectors are
therefore reduced by principal component analysis, and only a sample is clustered if there are many.
Every other vector joins the cluster of its nearest neighbour in the sample if its neighbourhood is
as dense as that of the cluster's members. `bench/understand.py` prints the time and the accuracy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.index.analysis.clustering.kmeans import Partition, mean_directions
from nmm.index.common.linalg import sample_indices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# Vectors that HDBSCAN clusters. The time grows with their square.
MAX_SAMPLE = 10_000
# With fewer dimensions, clusters of a large collection overlap. The time grows with them.
PCA_DIMENSIONS = 64
# Neighbours that determine the density around a vector, itself included.
MIN_SAMPLES = 5
# The smallest cluster has one in this many vectors, and at least MIN_SAMPLES.
VECTORS_PER_MEMBER = 400


def cluster_vectors(vectors: Floats, *, seed: int = 0) -> Partition:
    """Divide vectors into clusters; the number of clusters follows from their density.

    Args:
        vectors: Normalised or zero, shape (n, dimension).
        seed: Of the sample.
    """
    import numpy as np

    min_size = max(MIN_SAMPLES, len(vectors) // VECTORS_PER_MEMBER)
    if len(vectors) < 2 * MIN_SAMPLES:
        return Partition(np.full(len(vectors), -1, np.int64), vectors[:0])
    from sklearn.cluster import HDBSCAN

    reduced = _reduce(vectors)
    rows = sample_indices(len(vectors), MAX_SAMPLE, seed)
    if len(rows) < len(vectors):
        min_size = max(MIN_SAMPLES, min_size * MAX_SAMPLE // len(vectors))
    found = HDBSCAN(min_cluster_size=min_size, min_samples=MIN_SAMPLES, copy=True)
    labels = np.full(len(vectors), -1, np.int64)
    labels[rows] = found.fit_predict(reduced[rows])
    if len(rows) < len(vectors):
        _assign_rest(reduced, rows, labels)
    return Partition(labels, mean_directions(vectors, labels, int(labels.max()) + 1))


def _reduce(vectors: Floats) -> Floats:
    """Return the first principal components, at most :data:`PCA_DIMENSIONS`."""
    import numpy as np

    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    result: Floats = centred @ axes[:, -PCA_DIMENSIONS:]
    return result


def _assign_rest(reduced: Floats, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
    """Label the vectors outside the sample by their nearest neighbour in it."""
    import faiss
    import numpy as np

    index = faiss.IndexFlatL2(reduced.shape[1])
    index.add(np.ascontiguousarray(reduced[rows]))
    # The core distance of each vector of the sample, which finds itself first, and the greatest
    # core distance of each cluster, at which the cluster is still connected.
    core = index.search(np.ascontiguousarray(reduced[rows]), MIN_SAMPLES)[0][:, -1]
    known = labels[rows]
    # The last element is for vectors in no cluster.
    greatest = np.zeros(known.max() + 2, np.float32)
    np.maximum.at(greatest, known, core)
    others = np.setdiff1d(np.arange(len(labels)), rows, assume_unique=True)
    distances, nearest = index.search(np.ascontiguousarray(reduced[others]), MIN_SAMPLES - 1)
    group = known[nearest[:, 0]]
    labels[others] = np.where(distances[:, -1] <= greatest[group], group, -1)
