"""Spherical k-means (Dhillon and Modha, 2001), and how many groups there are.

FAISS computes it. It begins with the groups that Ward's method makes of a sample (as Milligan,
1980, advises), and not with vectors drawn by lot, of which some groups get two and some none.

How many: those of the greatest silhouette (Rousseeuw, 1987), or rather the fewest whose silhouette
is less by no more than its standard error (the rule of Breiman et al., 1984). Among real files
the silhouette grows on and on as groups become smaller, but slowly; that of a group differs from
that of another by more.
`bench/understand.py` prints how near that comes to what was generated.
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

# Vectors of which a tree is made, and the silhouette taken: their squared number is computed.
SAMPLE = 4096
# Vectors of the sample to a group, at least, for the tree to say where it begins.
PER_GROUP = 4
ITERATIONS = 15
# The same while it is tried how many groups there are: the tree is near already.
TRIED = 5
# How many groups are tried: each by so many times more, up to the root of the number of vectors.
STEP, FEW = 1.4, 8
# Vectors whose distance is less are the same, but for the roundings of their halves.
SAME = 2e-3


class Groups(NamedTuple):
    """A division of vectors.

    Attributes:
        labels: Of each vector the number of its group, shape (n,); -1 if it is in none.
        centres: Of unit length, or zero, shape (groups, dimension).
    """

    labels: Ints
    centres: Floats


def divide(vectors: Floats, count: int | None = None, *, seed: int = 0) -> Groups:
    """Divide vectors into groups, of which none is empty.

    Args:
        vectors: Of unit length, or zero, shape (n, dimension); n is 1 at least.
        count: Groups; chosen if None. There are never more than different vectors.
        seed: Of the sample.
    """

    rows = sample_indices(len(vectors), SAMPLE, seed)
    sample = _Sample(vectors[rows])
    if count is None:
        count = sample.best_count(len(vectors))
    elif len(rows) == len(vectors):
        count = min(count, sample.different)
    drawn = len(rows) < len(vectors) and count * PER_GROUP > len(rows)
    centres = _refined(vectors, count, None if drawn else sample.centres(count), seed)
    return _assigned(vectors, centres)


def mean_directions(vectors: Floats, labels: Ints, count: int) -> Floats:
    """The mean of each group of vectors, of unit length, or zero, shape (count, dimension)."""
    import numpy as np

    sums = np.zeros((count, vectors.shape[1]), np.float32)
    for label in range(count):
        sums[label] = vectors[labels == label].sum(axis=0)
    normalize_rows(sums)
    return sums


def silhouette(cosines: Floats, labels: Ints) -> tuple[float, float]:
    """The mean silhouette of vectors by 1 - cosine, and its standard error over the groups.

    Args:
        cosines: Of all pairs, shape (n, n).
        labels: From 0 on, of two groups at least.
    """
    import numpy as np

    groups, labels = np.unique(labels, return_inverse=True)
    every = np.arange(len(labels))
    counts = np.bincount(labels)
    members = (labels == np.arange(len(groups))[:, None]).astype(np.float32)
    sums = counts[:, None].astype(np.float32) - members @ cosines
    own = sums[labels, every] / np.maximum(counts[labels] - 1, 1)
    means = sums / counts[:, None]
    means[labels, every] = np.inf
    other = means.min(axis=0)
    each = (other - own) / np.maximum(np.maximum(other, own), np.finfo(np.float32).eps)
    each[counts[labels] == 1] = 0
    of_groups = np.bincount(labels, each) / counts
    return float(each.mean()), float(of_groups.std(ddof=1) / math.sqrt(len(groups)))


class _Sample:
    """Vectors of which all pairs are compared, and the tree that Ward's method makes of them."""

    def __init__(self, vectors: Floats) -> None:
        import numpy as np

        self._vectors = vectors
        self._cosines = vectors @ vectors.T
        self._tree = None
        self.different = 1
        if len(vectors) > 1:
            from scipy.cluster.hierarchy import linkage

            lengths = np.diag(self._cosines)
            squares = lengths[:, None] + lengths - 2 * self._cosines
            pairs = squares[np.triu_indices(len(vectors), 1)]
            self._tree = linkage(np.sqrt(np.maximum(pairs, 0)), "ward")
            self.different += int((self._tree[:, 2] > SAME).sum())

    def centres(self, count: int) -> Floats:
        """Those of the groups that the tree falls into, at most `count`."""
        import numpy as np

        if self._tree is None:
            return self._vectors
        from scipy.cluster.hierarchy import fcluster

        labels = fcluster(self._tree, count, "maxclust").astype(np.int64) - 1
        return mean_directions(self._vectors, labels, int(labels.max()) + 1)

    def best_count(self, among: int) -> int:
        """How many groups `among` vectors have of which this is the sample."""
        most = min(max(FEW, math.isqrt(among)), len(self._vectors) // 2, self.different)
        if most < 2:
            return 1
        tried: dict[int, tuple[float, float]] = {}

        def best(counts: set[int]) -> int:
            for count in counts - tried.keys():
                centres = _refined(self._vectors, count, self.centres(count), 0, TRIED)
                labels = _assigned(self._vectors, centres).labels
                tried[count] = silhouette(self._cosines, labels) if labels.any() else (-1.0, 0.0)
            return max(sorted(tried), key=lambda count: tried[count][0])

        counts = {2}
        while (more := max(math.ceil(max(counts) * STEP), max(counts) + 1)) <= most:
            counts.add(more)
        highest = best(counts)
        for _ in range(2):  # between its neighbours, and then beside it
            below = max((one for one in tried if one < highest), default=highest)
            above = min((one for one in tried if one > highest), default=highest)
            near = {(below + highest) // 2, (above + highest + 1) // 2, highest - 1, highest + 1}
            highest = best({one for one in near if 2 <= one <= most})
        value, error = tried[highest]
        return min(count for count, (found, _) in tried.items() if found >= value - error)


def _refined(
    vectors: Floats, count: int, start: Floats | None, seed: int, iterations: int = ITERATIONS
) -> Floats:
    """Centres of groups, from those of `start` on, else from vectors drawn by lot."""
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


def _assigned(vectors: Floats, centres: Floats) -> Groups:
    """Each vector in the group of the nearest centre; without the groups that are empty then."""
    import faiss
    import numpy as np

    index = faiss.IndexFlatIP(centres.shape[1])
    index.add(centres)
    nearest = index.search(np.ascontiguousarray(vectors), 1)[1][:, 0]
    _, labels = np.unique(nearest, return_inverse=True)
    labels = labels.astype(np.int64)
    return Groups(labels, mean_directions(vectors, labels, int(labels.max()) + 1))
