"""The map of an index: a point for each file, and named clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.analysis.modality_gap import remove_modality_gap
from nmm.index.analysis.projection.projector import check_installed, project, scale_to_unit
from nmm.index.common.tracing import span
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.analysis.clustering.clusters import Cluster
    from nmm.index.analysis.collection import FileCollection
    from nmm.index.store.catalog.types import Kind

# The distance between files with the same content. The map is 2 wide.
COPY_SPACING = 0.004
GOLDEN_ANGLE = 2.399963229728653


@dataclass(frozen=True)
class FileMap:
    """Files as points in a plane.

    Attributes:
        points: The point of each file, from -1 to 1, y upwards, shape (files, 2).
        clusters: Named clusters, the largest first; may be empty.
        cluster_of: The index of each file's cluster, -1 for none, shape (files,).
        label_positions: The position of each cluster's name, shape (clusters, 2).
    """

    points: NDArray[np.float32]
    clusters: list[Cluster]
    cluster_of: NDArray[np.int64]
    label_positions: NDArray[np.float32]


def build_map(
    collection: FileCollection,
    *,
    clusters: int | None = None,
    seed: int = 0,
    on_embed: Callable[[int], None] = lambda _: None,
) -> FileMap:
    """Project the files of an index to a plane, images and texts together, and name the clusters.

    Files with the same content lie side by side.

    Args:
        collection: The files.
        clusters: The number of clusters; chosen if None, and no clusters if 0.
        seed: Equal seeds give equal maps on the same machine.
        on_embed: See :func:`nmm.index.analysis.clustering.clusters.cluster`.

    Raises:
        ModelError: PaCMAP is not installed, or the model is not on this machine.
        UsageError: There are no files.
    """
    from nmm.index.analysis.clustering.clusters import cluster

    check_installed()
    if not collection.files:
        raise UsageError("There are no files to draw.", code="map-empty")
    with span("projected"):
        points = project_contents(collection.vectors, collection.kinds, seed=seed)
    found: list[Cluster] = []
    if clusters != 0:
        with span("grouped"):
            found = cluster(collection, clusters, seed=seed, on_embed=on_embed)
    return _place_labels(scale_to_unit(spread_copies(points, collection.rows)), found)


def project_contents(
    vectors: NDArray[np.float32], kinds: Sequence[Kind], *, seed: int = 0
) -> NDArray[np.float32]:
    """Remove the modality gap and project the contents, shape (n, 2)."""
    return project(remove_modality_gap(vectors, kinds), seed=seed)


def spread_copies(points: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the points of files; those with the same content surround the first, shape (files, 2).

    The files form a sunflower spiral (Vogel, 1979), in their order.

    Args:
        points: The points of the contents.
        rows: The row of each file's content, shape (files,).
    """
    import numpy as np

    order = np.argsort(rows, kind="stable")
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    counts = np.diff(starts, append=len(rows))
    copy = np.empty(len(rows), np.int64)
    copy[order] = np.arange(len(rows)) - np.repeat(starts, counts)
    radius, angle = COPY_SPACING * np.sqrt(copy), GOLDEN_ANGLE * copy
    offsets = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    return np.asarray(points[rows] + offsets, np.float32)


def _place_labels(points: NDArray[np.float32], clusters: list[Cluster]) -> FileMap:
    """Build the map, with each cluster's name at the median of its points."""
    import numpy as np

    cluster_of = np.full(len(points), -1, np.int64)
    label_positions = np.zeros((len(clusters), 2), np.float32)
    for number, group in enumerate(clusters):
        cluster_of[group.files] = number
        # The median lies among the cluster's points; the mean may lie far from all of them.
        label_positions[number] = np.median(points[group.files], axis=0)
    return FileMap(points, clusters, cluster_of, label_positions)
