"""Nearest vectors: what the derived files propose, compared as it stands in the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nmm.index.store.catalog import VECTORS_PER_BLOCK, Catalog, Kind, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.location import IndexFolder

    Found = tuple[NDArray[np.int64], NDArray[np.float32]]

# What a product of the same halves may differ by, computed here and in FAISS.
TOLERANCE = 1e-3
# Ids within which a search reads every vector from the catalog, rather than ask an inverted
# file, which can miss some. A hundred thousand take about a tenth of a second.
EXACT = 100_000
# A tail of more vectors is read again at each search, for memory's sake.
KEPT = 4 * VECTORS_PER_BLOCK


class NearestVectors:
    """The vectors of one kind, ready to be searched. Made anew for another generation.

    Args:
        catalog: The index's catalog.
        folder: The index.
        kind: The kind.
        before: What served an earlier generation, of which open files are taken over.

    Attributes:
        damaged: Names of derived files that are missing or are not what was written. The
            vectors that were in them are read from the catalog, and found the same.
    """

    def __init__(
        self,
        catalog: Catalog,
        folder: IndexFolder,
        kind: Kind,
        before: NearestVectors | None = None,
    ) -> None:
        self._catalog = catalog
        self._kind: Kind = kind
        self._folder = folder
        self._segments = catalog.segments(kind)
        self._last = self._segments[-1].last_chunk if self._segments else 0
        self._tail: list[Found] | None = None
        kept = before._open if before else {}
        self._open: dict[str, Any | None] = {
            one.name: kept[one.name] for one in self._segments if one.name in kept
        }

    @property
    def damaged(self) -> list[str]:
        return [name for name, index in self._open.items() if index is None]

    def search(
        self, query: NDArray[np.float32], count: int, among: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """Ids of the chunks with the greatest inner products, greatest first.

        Args:
            query: Shape (dimension,).
            count: At most so many ids; fewer if there are fewer.
            among: Ids of chunks to look among, if not all. Exact if they are few or the
                files flat; else all lists are looked into.
        """
        import numpy as np

        if among is not None and len(among) <= EXACT:
            ids, scores = _best(self._catalog.vectors_of(among.tolist()), query, count)
        else:
            proposed = [
                self._from_segment(n, query, count, among) for n in range(len(self._segments))
            ]
            tail = self._read_tail()
            if among is not None:
                tail = (_only(block, among) for block in tail)
            ids, scores = (
                np.concatenate(parts)
                for parts in zip(*proposed, _best(tail, query, count), strict=True)
            )
        order: NDArray[np.intp] = np.lexsort((ids, -scores))[:count]
        return ids[order]

    def _from_segment(
        self,
        place: int,
        query: NDArray[np.float32],
        count: int,
        among: NDArray[np.int64] | None,
    ) -> Found:
        """The best of a segment's range, with scores from the catalog."""

        from nmm.index.store import faiss_files

        segment = self._segments[place]
        index = self._index(segment)
        while index is not None:
            ids, scores = faiss_files.nearest(index, query, count, among)
            found, exact = _best(self._catalog.vectors_of(ids.tolist()), query, len(ids))
            if segment.form == "flat":
                said = dict(zip(ids.tolist(), scores.tolist(), strict=True))
                apart = [abs(said[n] - s) for n, s in zip(found.tolist(), exact, strict=True)]
                if apart and max(apart) > TOLERANCE:
                    # Its bytes have changed under an unchanged time and size.
                    index = self._open[segment.name] = None
                    break
            # Vectors that were removed since have taken the place of others.
            if len(found) >= count or len(ids) < count or len(ids) >= segment.total:
                return found[:count], exact[:count]
            count *= 4
        after = self._segments[place - 1].last_chunk if place else 0
        blocks = self._catalog.vectors(self._kind, after=after, upto=segment.last_chunk)
        if among is not None:
            blocks = (_only(block, among) for block in blocks)
        return _best(blocks, query, count)

    def _index(self, segment: Segment) -> Any | None:
        """The index in a segment's file; None if it is damaged."""
        from nmm.index.store import faiss_files

        if segment.name not in self._open:
            self._open[segment.name] = faiss_files.open_file(self._folder.vectors, segment)
        return self._open[segment.name]

    def _read_tail(self) -> Iterable[Found]:
        """Vectors that are in no segment; kept in memory for the next search, unless many."""
        if self._tail is not None:
            return self._tail
        count = self._catalog.vector_count(self._kind, after=self._last)
        blocks = self._catalog.vectors(self._kind, after=self._last)
        if count > KEPT:
            return blocks
        self._tail = list(blocks)
        return self._tail


def _only(block: Found, among: NDArray[np.int64]) -> Found:
    import numpy as np

    ids, vectors = block
    wanted = np.isin(ids, among)
    return ids[wanted], vectors[wanted]


def _best(blocks: Iterable[Found], query: NDArray[np.float32], count: int) -> Found:
    """The ids with the greatest products with a query, and these, of blocks of vectors."""
    import numpy as np

    best_ids, best_scores = np.empty(0, np.int64), np.empty(0, np.float32)
    for ids, vectors in blocks:
        best_ids = np.append(best_ids, ids)
        best_scores = np.append(best_scores, vectors @ query)
        best = np.lexsort((best_ids, -best_scores))[:count]
        best_ids, best_scores = best_ids[best], best_scores[best]
    return best_ids, best_scores
