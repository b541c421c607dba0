"""A picture of the files of an index: where each lies, and what the parts are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.analysis.modality_gap import closed
from nmm.index.analysis.projection.projector import check_installed, project, scaled
from nmm.index.common.tracing import span
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.analysis.clustering.clusters import Cluster
    from nmm.index.analysis.collection import Items
    from nmm.index.store.catalog.types import Kind

# How far from each other files of one content lie, where the picture is 2 wide.
BESIDE = 0.004
GOLDEN_ANGLE = 2.399963229728653


@dataclass(frozen=True)
class Map:
    """Files in a plane.

    Attributes:
        points: Of each file, shape (files, 2), from -1 to 1, y upwards.
        clusters: Groups with names, the largest first; none where there is nothing to group.
        of: The position in `clusters` of each file, -1 for one in none, shape (files,).
        places: Where the name of each group stands, shape (clusters, 2).
    """

    points: NDArray[np.float32]
    clusters: list[Cluster]
    of: NDArray[np.int64]
    places: NDArray[np.float32]


def draw(
    items: Items,
    *,
    clusters: int | None = None,
    seed: int = 0,
    on_embed: Callable[[int], None] = lambda _: None,
) -> Map:
    """Lay out the files of an index, images and texts together, and name the parts.

    Files of one content lie side by side.

    Args:
        items: The files.
        clusters: How many groups; chosen if None, none if 0.
        seed: The same one draws the same picture, on one machine.
        on_embed: As of :func:`nmm.index.analysis.clustering.clusters.cluster`.

    Raises:
        ModelError: What projects is not installed, or the model is not on this machine.
        UsageError: There are no files.
    """
    from nmm.index.analysis.clustering.clusters import cluster

    check_installed()
    if not items.files:
        raise UsageError("There are no files to draw.", code="map-empty")
    with span("projected"):
        points = laid_out(items.vectors, items.kinds, seed=seed)
    groups: list[Cluster] = []
    if clusters != 0:
        with span("grouped"):
            groups = cluster(items, clusters, seed=seed, on_embed=on_embed)
    return _composed(scaled(spread(points, items.rows)), groups)


def laid_out(
    vectors: NDArray[np.float32], kinds: Sequence[Kind], *, seed: int = 0
) -> NDArray[np.float32]:
    """The points of contents, with the gap between images and texts closed, shape (n, 2)."""
    return project(closed(vectors, kinds), seed=seed)


def spread(points: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The points of files, those of one content around that of the first, shape (files, 2).

    In a spiral as the seeds of a sunflower (Vogel, 1979), in the order of the files.

    Args:
        points: Of contents.
        rows: Of each file, the row of its content.
    """
    import numpy as np

    order = np.argsort(rows, kind="stable")
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    counts = np.diff(starts, append=len(rows))
    copy = np.empty(len(rows), np.int64)
    copy[order] = np.arange(len(rows)) - np.repeat(starts, counts)
    radius, angle = BESIDE * np.sqrt(copy), GOLDEN_ANGLE * copy
    around = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    return np.asarray(points[rows] + around, np.float32)


def _composed(points: NDArray[np.float32], clusters: list[Cluster]) -> Map:
    import numpy as np

    of = np.full(len(points), -1, np.int64)
    places = np.zeros((len(clusters), 2), np.float32)
    for number, group in enumerate(clusters):
        of[group.files] = number
        # The median is among most of the group, where a mean may be among none.
        places[number] = np.median(points[group.files], axis=0)
    return Map(points, clusters, of, places)
