"""The files nearest to a vector, each with its place that is nearest."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from nmm.index.store.catalog import KINDS, Catalog, Hit, Kind, Segment
from nmm.index.store.conditions import Condition, passing_chunks
from nmm.index.store.nearest import NearestVectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.location import IndexFolder


class NearestFiles:
    """The files of an index, ready to be compared with queries, whatever is written meanwhile.

    Args:
        catalog, folder: The index.
    """

    def __init__(self, catalog: Catalog, folder: IndexFolder) -> None:
        self._catalog = catalog
        self._folder = folder
        self._nearest: dict[Kind, tuple[tuple[int, list[Segment]], NearestVectors]] = {}
        self._passed: dict[Kind, tuple[tuple[int, Condition], NDArray[np.int64]]] = {}

    def best(
        self,
        query: NDArray[np.float32],
        count: int,
        kind: Kind,
        where: Condition | None = None,
        without: Collection[str] = (),
    ) -> list[Hit]:
        """The files of a kind with the greatest cosines; exact, however many chunks a file has.

        Args:
            query: Shape (dimension,), of unit length.
            count: Files at most.
            kind: What to look among.
            where: What files have to pass.
            without: Absolute paths that are left out.
        """
        nearest = self._open(kind)
        among = where and self._passing(kind, where)
        candidates = 2 * count
        while True:
            chunks = nearest.search(query, candidates, among).tolist()
            best: dict[str, Hit] = {}
            for hit in self._catalog.hits(chunks, query, where):
                if hit.path not in without and (
                    hit.path not in best or order(hit) < order(best[hit.path])
                ):
                    best[hit.path] = hit
            # Several chunks of one file, or chunks that are gone, took the place of others.
            if len(best) >= count or len(chunks) < candidates:
                return sorted(best.values(), key=order)[:count]
            candidates *= 4

    def damaged(self) -> list[str]:
        """Derived files that were met which are missing, or are not what was written."""
        met = {name for _, nearest in self._nearest.values() for name in nearest.damaged}
        named = {segment.name for kind in KINDS for segment in self._catalog.segments(kind)}
        return sorted(met & named)  # one that was replaced meanwhile was only deleted

    def forget(self) -> None:
        """Open all files anew: the index was made again with another model."""
        self._nearest.clear()

    def _open(self, kind: Kind) -> NearestVectors:
        state = self._catalog.generation(), self._catalog.segments(kind)
        known, nearest = self._nearest.get(kind, (None, None))
        if nearest is None or known != state:
            nearest = NearestVectors(self._catalog, self._folder, kind, nearest)
            self._nearest[kind] = state, nearest
        return nearest

    def _passing(self, kind: Kind, where: Condition) -> NDArray[np.int64]:
        """Ids of the chunks that pass; kept for the next query, until the catalog changes."""
        state = self._catalog.version(), where
        if kind not in self._passed or self._passed[kind][0] != state:
            self._passed[kind] = state, passing_chunks(self._catalog, kind, where)
        return self._passed[kind][1]


def order(hit: Hit) -> tuple[float, str, int]:
    """What places are ordered by: the best first, equal ones by their paths and lines."""
    return -hit.score, hit.path, hit.line_start or 0
