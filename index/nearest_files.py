"""The files nearest to a vector, each with its place that is nearest."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from nmm.index.store.catalog import KINDS, Catalog, Hit, Kind, Segment
from nmm.index.store.conditions import Condition, passing_chunks
from nmm.index.store.nearest import NearestVectors
from nmm.index.store.places import Place, places

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.location import IndexFolder


# Images that may be gone, or left out, of those that are looked for.
SPARE = 10


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

    def begin(self, query: NDArray[np.float32], count: int, kind: Kind) -> None:
        """Begin to look for as many files as :meth:`best` will be asked for, without a filter."""
        self._open(kind).begin(query, _candidates(count, kind))

    def best(
        self,
        query: NDArray[np.float32],
        count: int,
        kind: Kind,
        where: Condition | None = None,
        without: Collection[str] = (),
    ) -> list[Place]:
        """The files of a kind with the greatest cosines; exact, however many chunks a file has.

        Args:
            query: Shape (dimension,), of unit length.
            count: Files at most.
            kind: What to look among.
            where: What files have to pass.
            without: Absolute paths that are left out.
        """
        among = None
        if where and (among := self._known_to_pass(kind, where)) is None:
            # Where many pass, enough of the nearest do, and need not be told from all others.
            if found := self._best(query, count, kind, where, without, tries=1):
                return found
            among = self._passing(kind, where)
        found = self._best(query, count, kind, where, without, among)
        assert found is not None, "it goes on until there are no more"
        return found

    def _best(
        self,
        query: NDArray[np.float32],
        count: int,
        kind: Kind,
        where: Condition | None,
        without: Collection[str],
        among: NDArray[np.int64] | None = None,
        *,
        tries: int | None = None,
    ) -> list[Place] | None:
        """As of :meth:`best`; None if so many tries, each with more chunks, were too few."""
        nearest = self._open(kind)
        candidates = _candidates(count, kind)
        while tries is None or tries > 0:
            ids, scores = nearest.nearest(query, candidates, among)
            known = dict(zip(ids.tolist(), scores.tolist(), strict=True))
            best: dict[str, Place] = {}
            for place in places(self._catalog, kind, known, where):
                if place.path not in without and (
                    place.path not in best or order(place) < order(best[place.path])
                ):
                    best[place.path] = place
            # Several chunks of one file, or chunks that are gone, took the place of others.
            if len(best) >= count or len(known) < candidates:
                return sorted(best.values(), key=order)[:count]
            candidates *= 4
            tries = tries and tries - 1
        return None

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

    def _known_to_pass(self, kind: Kind, where: Condition) -> NDArray[np.int64] | None:
        """Ids of the chunks that pass, if they were found for a query before; else None."""
        state, ids = self._passed.get(kind, (None, None))
        return ids if state == (self._catalog.version(), where) else None

    def _passing(self, kind: Kind, where: Condition) -> NDArray[np.int64]:
        """Ids of the chunks that pass; kept for the next query, until the catalog changes."""
        ids = passing_chunks(self._catalog, kind, where)
        self._passed[kind] = (self._catalog.version(), where), ids
        return ids


def _candidates(count: int, kind: Kind) -> int:
    """Chunks among which so many files are looked for at first."""
    # An image is one chunk, unless it is gone; of a text, several may be near.
    return count + SPARE if kind == "image" else 2 * count


def order(place: Place | Hit) -> tuple[float, str, int]:
    """What places are ordered by: the best first, equal ones by their paths and lines."""
    return -place.score, place.path, place.line_start or 0
