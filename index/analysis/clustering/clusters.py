"""Clusters of similar files, each with a name."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.analysis.clustering.naming import name_clusters
from nmm.index.analysis.modality_gap import remove_modality_gap
from nmm.index.common.tracing import span
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.analysis.clustering.kmeans import Partition
    from nmm.index.analysis.collection import FileCollection

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

MAX_CENTRAL_FILES = 12
WORDS_PER_NAME = 2


class Method(str, enum.Enum):
    """A clustering method."""

    KMEANS = "kmeans"
    HDBSCAN = "hdbscan"


@dataclass(frozen=True)
class Cluster:
    """A cluster of files.

    Attributes:
        name: Unique among the clusters.
        words: The words nearest to the centre, the nearest first. The name is made of the first
            ones.
        files: Positions in `collection.files`, the nearest to the centre first, shape (n,).
        central: The first of `files` with different contents.
    """

    name: str
    words: tuple[str, ...]
    files: NDArray[np.int64]
    central: tuple[int, ...]


def cluster(
    collection: FileCollection,
    count: int | None = None,
    *,
    method: Method = Method.KMEANS,
    vocabulary: Sequence[str] | None = None,
    seed: int = 0,
    on_embed: Callable[[int], None] = lambda _: None,
) -> list[Cluster]:
    """Divide the files into clusters, the largest first.

    A file with a zero vector is in no cluster. With HDBSCAN, neither is a file in a sparse region.

    Args:
        collection: The files.
        count: The number of clusters of k-means; chosen if None. It is at most the number of
            distinct vectors.
        method: The clustering method.
        vocabulary: Words for the names; if None, the built-in words and those of the files.
        seed: Equal seeds give equal clusters.
        on_embed: Called with the number of built-in words, if these have to be embedded first.

    Raises:
        UsageError: A count was given with HDBSCAN, or the vocabulary is empty.
        ModelError: The model, which embeds the words, is not on this machine.
    """
    if method is Method.HDBSCAN and count is not None:
        raise UsageError(
            "HDBSCAN finds the number of groups itself.",
            code="hdbscan-with-count",
            hint="Leave out the number of groups, or choose k-means.",
        )
    if not collection.files:
        return []
    import numpy as np

    # Each content counts once, or a file with many copies would attract a centre.
    nonzero = collection.vectors.any(axis=1)
    if not nonzero.any():
        return []
    with span("images and texts brought together"):
        vectors = remove_modality_gap(collection.vectors, collection.kinds)
    labels = np.full(len(vectors), -1, np.int64)
    with span("groups found"):
        found = _partition(vectors[nonzero], count, method, seed)
    labels[nonzero] = found.labels
    groups = _group_files(collection, vectors, labels, found.centres)
    with span("groups named"):
        words = name_clusters(collection, groups, vocabulary, on_embed=on_embed)
    names = _unique_names(words)
    return [
        Cluster(name, chosen, files, _central_files(collection, files))
        for name, chosen, files in zip(names, words, groups, strict=True)
    ]


def _partition(vectors: Floats, count: int | None, method: Method, seed: int) -> Partition:
    if method is Method.HDBSCAN:
        from nmm.index.analysis.clustering import hdbscan

        return hdbscan.cluster_vectors(vectors, seed=seed)
    from nmm.index.analysis.clustering import kmeans

    return kmeans.cluster_vectors(vectors, count, seed=seed)


def _group_files(
    collection: FileCollection, vectors: Floats, labels: Ints, centres: Floats
) -> list[Ints]:
    """Return the positions of each cluster's files, the nearest to its centre first."""
    import numpy as np

    file_labels = labels[collection.rows]
    closeness = (
        np.einsum("ij,ij->i", vectors, centres[labels])[collection.rows] if len(centres) else labels
    )
    # By cluster, then by closeness, then by path.
    order = np.lexsort((-closeness, file_labels))
    order = order[np.searchsorted(file_labels[order], 0) :]
    starts = np.flatnonzero(np.diff(file_labels[order], prepend=-1))
    groups = np.split(order, starts[1:]) if len(order) else []
    return sorted(groups, key=len, reverse=True)


def _central_files(collection: FileCollection, files: Ints) -> tuple[int, ...]:
    contents: dict[int, int] = {}
    for file in files.tolist():
        contents.setdefault(int(collection.rows[file]), file)
        if len(contents) == MAX_CENTRAL_FILES:
            break
    return tuple(contents.values())


def _unique_names(words: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a unique name per cluster: its first words, or its number if it has none."""
    names = [", ".join(chosen[:WORDS_PER_NAME]) for chosen in words]
    names = [name or f"group {number}" for number, name in enumerate(names, 1)]
    # The user's own vocabulary may contain such a name.
    seen: Counter[str] = Counter()
    for position, name in enumerate(names):
        seen[name.casefold()] += 1
        if seen[name.casefold()] > 1:
            names[position] = f"{name} ({seen[name.casefold()]})"
    return names
