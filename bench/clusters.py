"""Generate vectors in known clusters, and measure how well `nmm cluster`'s methods find them.

Each cluster lies around a centre of its own. The sizes vary as real ones do (Dirichlet). As in real
models, all vectors share a common mean, and a modality gap separates images from texts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nmm.index.analysis.clustering import hdbscan, kmeans
from nmm.index.analysis.clustering.clusters import Method
from nmm.index.analysis.modality_gap import remove_modality_gap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nmm.index.store.catalog.types import Kind

# Squared length of the component that all vectors share, and the distance between the kinds' means.
COMMON, GAP = 0.3, 1.0
# Concentration of the Dirichlet distribution of sizes: the larger, the more equal.
EVEN = 3.0


@dataclass(frozen=True)
class Found:
    """The result of a clustering.

    Attributes:
        groups: Number of clusters found.
        truth: Number of true clusters.
        rand: Adjusted Rand index (Hubert and Arabie, 1985) of the clustered items: 1 if they are
            divided as generated, 0 as by chance.
        inside: Share of the items that are in a cluster.
        mixed: Entropy of the kind within a cluster, relative to that of all items: 1 if clusters
            tell nothing about the kind, 0 if each contains one kind only.
        seconds: Time it took.
    """

    groups: int
    truth: int
    rand: float
    inside: float
    mixed: float
    seconds: float


def generate(
    count: int, groups: int, *, dimension: int = 768, cosine: float = 0.6, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64], list[Kind]]:
    """Return unit vectors, shape (count, dimension), and the cluster and kind of each.

    `cosine` is about the cosine of a vector and its cluster's centre, without the shared component.
    """
    random = np.random.default_rng(seed)

    def directions(number: int) -> NDArray[np.float32]:
        drawn = random.standard_normal((number, dimension), np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return drawn

    sizes = np.maximum(random.dirichlet(np.full(groups, EVEN)), 1 / (4 * groups))
    truth = random.choice(groups, count, p=sizes / sizes.sum())
    centres, common, side = directions(groups), directions(1), directions(1)
    vectors = cosine * centres[truth] + (1 - cosine**2) ** 0.5 * directions(count)
    is_image = random.random(count) < 0.5
    vectors = (1 - COMMON) ** 0.5 * vectors + COMMON**0.5 * common
    vectors += np.where(is_image, GAP / 2, -GAP / 2)[:, None].astype(np.float32) * side
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, truth, ["image" if image else "text" for image in is_image]


def measure(
    count: int,
    groups: int,
    *,
    method: Method = Method.KMEANS,
    known: bool = False,
    closing: bool = True,
    dimension: int = 768,
    cosine: float = 0.6,
    seed: int = 0,
) -> Found:
    """Generate vectors and cluster them.

    Args:
        count, groups, dimension, cosine, seed: See :func:`generate`.
        method: The clustering method.
        known: Whether the method is given the number of clusters.
        closing: Whether the modality gap is closed first.
    """
    from sklearn.metrics import adjusted_rand_score

    vectors, truth, kinds = generate(count, groups, dimension=dimension, cosine=cosine, seed=seed)
    start = time.perf_counter()
    moved = remove_modality_gap(vectors, kinds) if closing else vectors
    if method is Method.HDBSCAN:
        found = hdbscan.cluster_vectors(moved)
    else:
        found = kmeans.cluster_vectors(moved, groups if known else None)
    seconds = time.perf_counter() - start
    inside = found.labels >= 0
    rand = float(adjusted_rand_score(truth[inside], found.labels[inside])) if inside.any() else 0.0
    images = np.array([kind == "image" for kind in kinds])
    mixed = mixing(found.labels[inside], images[inside])
    return Found(len(found.centres), groups, rand, float(inside.mean()), mixed, seconds)


def mixing(labels: NDArray[np.int64], images: NDArray[np.bool_]) -> float:
    """Return how well kinds mix in clusters, see :class:`Found`; 1 for one kind or no items."""

    def entropy(part: NDArray[np.float64]) -> NDArray[np.float64]:
        shares = np.stack([part, 1 - part])
        logarithms = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
        result: NDArray[np.float64] = -(shares * logarithms).sum(axis=0)
        return result

    if not len(labels) or images.all() or not images.any():
        return 1.0
    counts = np.bincount(labels)
    parts = np.bincount(labels, images) / np.maximum(counts, 1)
    whole = float(entropy(np.array([images.mean()]))[0])
    return float((entropy(parts) * counts).sum() / counts.sum() / whole)
