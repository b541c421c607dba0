"""Spherical k-means (Dhillon and Modha, 2001), and the choice of the number of clusters.

FAISS runs k-means. The initial centres come from Ward's method on a sample (as Milligan, 1980,
advises). Randomly drawn vectors would give some clusters two centres and others none.

The number of clusters is the smallest whose silhouette (Rousseeuw, 1987) is within one standard
error of the maximum (the rule of Breiman et al., 1984). On real files the silhouette keeps growing
slowly as clusters become smaller, but it differs more between clusters than between counts.
`bench/understand.py` compares the chosen number with that of generated data.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.common.linalg import normalize_rows, sample_indices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

# Vectors in the sample for Ward's method and the silhouette, whose cost grows with its square.
MAX_SAMPLE = 4096
# Ward's method gives the initial centres if the sample has this many vectors per cluster.
MIN_SAMPLE_PER_CLUSTER = 4
ITERATIONS = 15
# Iterations while counts are compared: Ward's centres are close already.
TRIAL_ITERATIONS = 5
# Counts are tried in geometric steps of this factor, up to the square root of the number of
# vectors, or up to this limit if that is larger.
COUNT_FACTOR, MIN_COUNT_LIMIT = 1.4, 8
# Vectors closer than this are equal up to the rounding error of 16-bit floats.
DUPLICATE_DISTANCE = 2e-3


class Partition(NamedTuple):
    """Vectors divided into clusters.

    Attributes:
        labels: The cluster of each vector, -1 for none, shape (n,).
        centres: Normalised or zero, shape (clusters, dimension).
    """

    labels: Ints
    centres: Floats


def cluster_vectors(vectors: Floats, count: int | None = None, *, seed: int = 0) -> Partition:
    """Divide vectors into non-empty clusters.

    Args:
        vectors: Normalised or zero, shape (n, dimension); n is at least 1.
        count: The number of clusters; chosen if None. It is at most the number of distinct vectors.
        seed: Of the sample and of k-means.
    """
    rows = sample_indices(len(vectors), MAX_SAMPLE, seed)
    sample = _WardSample(vectors[rows])
    if count is None:
        count = sample.best_count(len(vectors))
    elif len(rows) == len(vectors):
        count = min(count, sample.distinct)
    is_random = len(rows) < len(vectors) and count * MIN_SAMPLE_PER_CLUSTER > len(rows)
    centres = _run_kmeans(vectors, count, None if is_random else sample.centres(count), seed)
    return _assign(vectors, centres)


def mean_directions(vectors: Floats, labels: Ints, count: int) -> Floats:
    """Return the normalised mean of each cluster, or zero, shape (count, dimension)."""
    import numpy as np

    sums = np.zeros((count, vectors.shape[1]), np.float32)
    for label in range(count):
        sums[label] = vectors[labels == label].sum(axis=0)
    normalize_rows(sums)
    return sums


def silhouette(cosines: Floats, labels: Ints) -> tuple[float, float]:
    """Return the mean silhouette by cosine distance, and its standard error over the clusters.

    Args:
        cosines: The cosines of all pairs, shape (n, n).
        labels: The cluster of each vector, from 0, at least two clusters.
    """
    import numpy as np

    clusters, labels = np.unique(labels, return_inverse=True)
    every = np.arange(len(labels))
    counts = np.bincount(labels)
    members = (labels == np.arange(len(clusters))[:, None]).astype(np.float32)
    sums = counts[:, None].astype(np.float32) - members @ cosines
    own = sums[labels, every] / np.maximum(counts[labels] - 1, 1)
    means = sums / counts[:, None]
    means[labels, every] = np.inf
    other = means.min(axis=0)
    each = (other - own) / np.maximum(np.maximum(other, own), np.finfo(np.float32).eps)
    each[counts[labels] == 1] = 0
    cluster_means = np.bincount(labels, each) / counts
    return float(each.mean()), float(cluster_means.std(ddof=1) / math.sqrt(len(clusters)))


class _WardSample:
    """A sample of vectors, and the tree that Ward's method builds from all its pairs."""

    def __init__(self, vectors: Floats) -> None:
        import numpy as np

        self._vectors = vectors
        self._cosines = vectors @ vectors.T
        self._tree = None
        self.distinct = 1
        if len(vectors) > 1:
            from scipy.cluster.hierarchy import linkage

            lengths = np.diag(self._cosines)
            squares = lengths[:, None] + lengths - 2 * self._cosines
            pairs = squares[np.triu_indices(len(vectors), 1)]
            self._tree = linkage(np.sqrt(np.maximum(pairs, 0)), "ward")
            self.distinct += int((self._tree[:, 2] > DUPLICATE_DISTANCE).sum())

    def centres(self, count: int) -> Floats:
        """Return the centres of at most `count` clusters that the tree is cut into."""
        import numpy as np

        if self._tree is None:
            return self._vectors
        from scipy.cluster.hierarchy import fcluster

        labels = fcluster(self._tree, count, "maxclust").astype(np.int64) - 1
        return mean_directions(self._vectors, labels, int(labels.max()) + 1)

    def best_count(self, total: int) -> int:
        """Choose the number of clusters for `total` vectors, represented by this sample."""
        most = min(max(MIN_COUNT_LIMIT, math.isqrt(total)), len(self._vectors) // 2, self.distinct)
        if most < 2:
            return 1
        tried: dict[int, tuple[float, float]] = {}

        def best(counts: set[int]) -> int:
            for count in counts - tried.keys():
                centres = _run_kmeans(
                    self._vectors, count, self.centres(count), 0, TRIAL_ITERATIONS
                )
                labels = _assign(self._vectors, centres).labels
                tried[count] = silhouette(self._cosines, labels) if labels.any() else (-1.0, 0.0)
            return max(sorted(tried), key=lambda count: tried[count][0])

        counts = {2}
        while (more := max(math.ceil(max(counts) * COUNT_FACTOR), max(counts) + 1)) <= most:
            counts.add(more)
        highest = best(counts)
        for _ in range(2):  # half-way to the neighbours, then next to it
            below = max((one for one in tried if one < highest), default=highest)
            above = min((one for one in tried if one > highest), default=highest)
            near = {(below + highest) // 2, (above + highest + 1) // 2, highest - 1, highest + 1}
            highest = best({one for one in near if 2 <= one <= most})
        value, error = tried[highest]
        return min(count for count, (found, _) in tried.items() if found >= value - error)


def _run_kmeans(
    vectors: Floats, count: int, start: Floats | None, seed: int, iterations: int = ITERATIONS
) -> Floats:
    """Run k-means from the centres `start`, or from random vectors; return the centres."""
    import faiss
    import numpy as np

    count = min(count, len(vectors)) if start is None else len(start)
    if count in (1, len(vectors)):
        labels = np.arange(len(vectors)) if count > 1 else np.zeros(len(vectors), np.int64)
        return mean_directions(vectors, labels, count)
    kmeans = faiss.Kmeans(
        vectors.shape[1],
        count,
        niter=iterations,
        spherical=True,
        seed=seed,
        min_points_per_centroid=1,  # else it warns on stderr
    )
    kmeans.train(np.ascontiguousarray(vectors), init_centroids=start)
    centres: Floats = kmeans.centroids
    return centres


def _assign(vectors: Floats, centres: Floats) -> Partition:
    """Assign each vector to the nearest centre, and drop empty clusters."""
    import faiss
    import numpy as np

    index = faiss.IndexFlatIP(centres.shape[1])
    index.add(centres)
    nearest = index.search(np.ascontiguousarray(vectors), 1)[1][:, 0]
    _, labels = np.unique(nearest, return_inverse=True)
    labels = labels.astype(np.int64)
    return Partition(labels, mean_directions(vectors, labels, int(labels.max()) + 1))
