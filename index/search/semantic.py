"""Search by meaning: the files nearest to a vector, each with its nearest chunk."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from nmm.index.store.catalog.file_lookup import ScoredChunk, scored_chunks
from nmm.index.store.catalog.file_queries import passing_chunks
from nmm.index.store.catalog.read_cache import CatalogStateCache
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.sql_filters import Condition
from nmm.index.store.catalog.types import Kind
from nmm.index.store.vectors.factory import open_vector_index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.layout import IndexFolder
    from nmm.index.store.vectors.base import PendingSearch


# Additional candidates, because some images may be deleted or excluded.
EXTRA_IMAGE_CANDIDATES = 10


class NearestFiles:
    """Nearest-neighbour search over the files of an index, which may change between queries.

    Args:
        catalog, folder: The index.
        states: The last state of the catalog that was read.
    """

    def __init__(self, catalog: Catalog, folder: IndexFolder, states: CatalogStateCache) -> None:
        self._catalog = catalog
        self._states = states
        self._index = open_vector_index(folder, catalog, version=lambda: states.last.version)
        self._passed: dict[Kind, tuple[tuple[int, Condition], NDArray[np.int64]]] = {}

    def submit(
        self, queries: Sequence[NDArray[np.float32]], limit: int, kind: Kind
    ) -> Sequence[PendingSearch]:
        """Begin unfiltered searches for queries that :meth:`best` will get next.

        Args:
            queries: In the order in which they come, each of shape (dimension,).
            limit: Number of files that :meth:`best` will return.
            kind: The kind of files.

        Returns:
            A handle for each query, in order, which :meth:`best` takes as its query.
        """
        return self._index.submit(queries, _candidates(limit, kind), kind)

    def best(
        self,
        query: NDArray[np.float32] | PendingSearch,
        count: int,
        kind: Kind,
        where: Condition | None = None,
        exclude: Collection[int] = (),
    ) -> list[ScoredChunk]:
        """Return the files of a kind with the greatest cosines, best first.

        The ranking is exact, however many chunks a file has.

        Args:
            query: Normalised, shape (dimension,); or its handle from :meth:`submit`.
            count: Number of files. Files that tie with the last one are returned, too.
            kind: The kind of files.
            where: A condition on files.
            exclude: Ids of files to exclude.
        """
        among = None
        if where and (among := self._known_to_pass(kind, where)) is None:
            # If many files pass, enough of the nearest pass, and the others need not be read.
            if found := self._best(query, count, kind, where=where, exclude=exclude, tries=1):
                return found
            among = self._passing(kind, where)
        found = self._best(query, count, kind, where=where, exclude=exclude, among=among)
        assert found is not None, "the search repeats until it has enough files"
        return found

    def _best(
        self,
        query: NDArray[np.float32] | PendingSearch,
        count: int,
        kind: Kind,
        *,
        where: Condition | None,
        exclude: Collection[int],
        among: NDArray[np.int64] | None = None,
        tries: int | None = None,
    ) -> list[ScoredChunk] | None:
        """Return the result of :meth:`best`; None if `tries` searches find too few files."""
        candidates = _candidates(count, kind)
        while tries is None or tries > 0:
            ids, scores = self._index.search(query, candidates, kind, among=among)
            known = dict(zip(ids.tolist(), scores.tolist(), strict=True))
            best: dict[int, ScoredChunk] = {}
            for chunk in sorted(scored_chunks(self._catalog, kind, known, where), key=_by_score):
                if chunk.file not in exclude:
                    best.setdefault(chunk.file, chunk)
            found = list(best.values())
            # Some candidates are chunks of the same file, or deleted.
            if len(found) >= count or len(known) < candidates:
                while count < len(found) and found[count].score == found[count - 1].score:
                    count += 1
                return found[:count]
            candidates *= 4
            tries = tries and tries - 1
        return None

    def damaged(self) -> list[str]:
        """Return the names of search files that were found missing or damaged."""
        return self._index.damaged()

    def _known_to_pass(self, kind: Kind, where: Condition) -> NDArray[np.int64] | None:
        """Return the cached ids of the chunks that pass, or None."""
        state, ids = self._passed.get(kind, (None, None))
        return ids if state == (self._states.last.version, where) else None

    def _passing(self, kind: Kind, where: Condition) -> NDArray[np.int64]:
        """Return the ids of the chunks that pass, and cache them until the catalog changes."""
        ids = passing_chunks(self._catalog, kind, where)
        self._passed[kind] = (self._states.last.version, where), ids
        return ids


def _candidates(count: int, kind: Kind) -> int:
    """Return the number of chunks to request first for `count` files."""
    # An image has one chunk; several chunks of a text may be near.
    return count + EXTRA_IMAGE_CANDIDATES if kind == "image" else 2 * count


def _by_score(chunk: ScoredChunk) -> tuple[float, int]:
    """Return the sort key: best first, then the first chunk."""
    return -chunk.score, chunk.chunk
