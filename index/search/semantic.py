"""The files nearest to a vector, each with its place that is nearest."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from nmm.index.store.catalog.file_lookup import Place, places
from nmm.index.store.catalog.file_queries import passing_chunks
from nmm.index.store.catalog.read_cache import States
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.sql_filters import Condition
from nmm.index.store.catalog.types import Kind
from nmm.index.store.vectors.factory import open_vector_index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.layout import IndexFolder
    from nmm.index.store.vectors.base import PendingSearch


# Images that may be gone, or left out, of those that are looked for.
SPARE = 10


class NearestFiles:
    """The files of an index, ready to be compared with queries, whatever is written meanwhile.

    Args:
        catalog, folder: The index.
        states: Of the catalog.
    """

    def __init__(self, catalog: Catalog, folder: IndexFolder, states: States) -> None:
        self._catalog = catalog
        self._states = states
        self._index = open_vector_index(folder, catalog, version=lambda: states.last.version)
        self._passed: dict[Kind, tuple[tuple[int, Condition], NDArray[np.int64]]] = {}

    def submit(
        self, queries: Sequence[NDArray[np.float32]], limit: int, kind: Kind
    ) -> Sequence[PendingSearch]:
        """Begin to look for queries that :meth:`best` will be asked for next, without a filter.

        Args:
            queries: In the order in which they will be asked for, each of shape (dimension,).
            limit: Files that will be asked for.
            kind: What to look among.

        Returns:
            A handle for each query, in order, to be given to :meth:`best` as its query.
        """
        return self._index.submit(queries, _candidates(limit, kind), kind)

    def best(
        self,
        query: NDArray[np.float32] | PendingSearch,
        count: int,
        kind: Kind,
        where: Condition | None = None,
        without: Collection[int] = (),
    ) -> list[Place]:
        """The files of a kind with the greatest cosines; exact, however many chunks a file has.

        Best first, and equal ones all of them, be there more than were asked for.

        Args:
            query: Shape (dimension,), of unit length; or its handle from :meth:`submit`.
            count: Files, and those that are as near as the last one.
            kind: What to look among.
            where: What files have to pass.
            without: Ids of files that are left out.
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
        query: NDArray[np.float32] | PendingSearch,
        count: int,
        kind: Kind,
        where: Condition | None,
        without: Collection[int],
        among: NDArray[np.int64] | None = None,
        *,
        tries: int | None = None,
    ) -> list[Place] | None:
        """As of :meth:`best`; None if so many tries, each with more chunks, were too few."""
        candidates = _candidates(count, kind)
        while tries is None or tries > 0:
            ids, scores = self._index.search(query, candidates, kind, among=among)
            known = dict(zip(ids.tolist(), scores.tolist(), strict=True))
            best: dict[int, Place] = {}
            for place in sorted(places(self._catalog, kind, known, where), key=_order):
                if place.file not in without:
                    best.setdefault(place.file, place)
            found = list(best.values())
            # Several chunks of one file, or chunks that are gone, took the place of others.
            if len(found) >= count or len(known) < candidates:
                while count < len(found) and found[count].score == found[count - 1].score:
                    count += 1
                return found[:count]
            candidates *= 4
            tries = tries and tries - 1
        return None

    def damaged(self) -> list[str]:
        """Derived files that were met which are missing, or are not what was written."""
        return self._index.damaged()

    def _known_to_pass(self, kind: Kind, where: Condition) -> NDArray[np.int64] | None:
        """Ids of the chunks that pass, if they were found for a query before; else None."""
        state, ids = self._passed.get(kind, (None, None))
        return ids if state == (self._states.last.version, where) else None

    def _passing(self, kind: Kind, where: Condition) -> NDArray[np.int64]:
        """Ids of the chunks that pass; kept for the next query, until the catalog changes."""
        ids = passing_chunks(self._catalog, kind, where)
        self._passed[kind] = (self._states.last.version, where), ids
        return ids


def _candidates(count: int, kind: Kind) -> int:
    """Chunks among which so many files are looked for at first."""
    # An image is one chunk, unless it is gone; of a text, several may be near.
    return count + SPARE if kind == "image" else 2 * count


def _order(place: Place) -> tuple[float, int]:
    """The best first; of a file, of equal chunks the first."""
    return -place.score, place.chunk
