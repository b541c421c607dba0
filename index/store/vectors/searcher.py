"""Searches the segments of one kind and the tail, which no segment holds yet."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from nmm.index.store.catalog.connection import VECTORS_PER_BLOCK
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import Kind
from nmm.index.store.vectors.base import Candidates, PendingSearch
from nmm.index.store.vectors.exact import best_of, merge, restrict
from nmm.index.store.vectors.flat_scans import FlatScans, PendingScan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nmm.index.store.layout import IndexFolder
    from nmm.index.store.vectors.base import ChunkIds, Vector
    from nmm.index.store.vectors.exact import Block
    from nmm.index.store.vectors.segment_table import Segment

# The greatest difference between inner products of the same vectors, computed here and in FAISS.
TOLERANCE = 1e-3
# Candidates of flat files that are compared with the catalog. Damage elsewhere in a file is found
# by another query, and all scores that are shown come from the catalog in any case.
VERIFIED_CANDIDATES = 8
# A search among at most this many ids reads all their vectors from the catalog, because an
# inverted file can miss some. A hundred thousand take about a tenth of a second.
MAX_EXACT_SUBSET = 100_000
# A tail of more vectors is read again by each search, to save memory.
MAX_CACHED_TAIL = 4 * VECTORS_PER_BLOCK


class SegmentSearcher:
    """Nearest-neighbour search over one kind's vectors, for one generation of the index.

    Args:
        catalog: The index's catalog.
        folder: The index.
        kind: Which vectors to search.
        segments: The segments of that kind, in the order of their ranges.
        before: The searcher of an earlier generation, whose open files are reused.

    Attributes:
        damaged: Names of segment files that are missing or damaged. Their vectors are read from
            the catalog, with the same results.
    """

    def __init__(
        self,
        catalog: Catalog,
        folder: IndexFolder,
        kind: Kind,
        segments: Sequence[Segment],
        before: SegmentSearcher | None = None,
    ) -> None:
        self._catalog = catalog
        self._kind: Kind = kind
        self._folder = folder
        self._segments = segments
        self._last = self._segments[-1].last_chunk if self._segments else 0
        self._tail: list[Block] | None = None
        names = {segment.name for segment in self._segments}
        opened, codes = (before._open, before._scans.codes) if before else ({}, {})
        # Opened files by name; None for one that is damaged.
        self._open: dict[str, Any | None] = {
            name: index for name, index in opened.items() if name in names
        }
        self._scans: FlatScans = FlatScans(
            {name: made for name, made in codes.items() if name in names}
        )

    @property
    def damaged(self) -> list[str]:
        return [name for name, index in self._open.items() if index is None]

    def submit(self, queries: Sequence[Vector], limit: int) -> list[PendingScan]:
        """Begin to search flat files for queries that :meth:`search` will be called with.

        The first two are begun at once, and another with each search. Many queries are compared
        together, by codes: see :mod:`.quantized_scan`.

        Args:
            queries: In the order in which they will be searched with, each of shape (dimension,).
            limit: Candidates of each, as for :meth:`search`.

        Returns:
            A handle for each query, in order.
        """
        return self._scans.submit(self._flat_files(), queries, limit)

    def search(
        self, query: Vector | PendingSearch, count: int, among: ChunkIds | None = None
    ) -> Candidates:
        """Return the chunks with the greatest inner products, see :meth:`.VectorIndex.search`.

        Args:
            query: Shape (dimension,), or its handle from :meth:`submit`.
            count: Ids at most; fewer only if there are no more. Vectors that were removed since a
                flat file was written may be among them.
            among: Ids of the chunks to search, if not all. The result is exact if they are few or
                the files flat; otherwise all lists are probed.
        """
        import numpy as np

        pending = None
        if isinstance(query, PendingSearch):
            pending, query = query, query.query
            if isinstance(pending, PendingScan) and pending.following:
                self._scans.begin(self._flat_files(), pending.following)
        if among is not None and len(among) <= MAX_EXACT_SUBSET:
            return best_of(self._catalog.vectors_of(among.tolist()), query, count)
        tail = self._read_tail()
        if among is not None:
            tail = (restrict(block, among) for block in tail)
        parts = [best_of(tail, query, count), self._search_flat(query, count, among, pending)]
        for position, segment in enumerate(self._segments):
            if segment.form != "flat" or self._index(segment) is None:
                parts.append(self._search_segment(position, query, count, among))
        ids, scores = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return merge(ids, scores, count)

    def _flat_files(self) -> dict[str, Any]:
        """Return the opened flat files that are sound, by name."""
        return {
            segment.name: index
            for segment in self._segments
            if segment.form == "flat" and (index := self._index(segment)) is not None
        }

    def _search_flat(
        self,
        query: Vector,
        count: int,
        among: ChunkIds | None,
        pending: PendingSearch | None,
    ) -> Candidates:
        """Search all flat files, and compare the first candidates with the catalog.

        The inner product of the same vectors differs only in its last digits, by the order in
        which it is summed.
        """
        import numpy as np

        while True:
            files = self._flat_files()
            found = {
                name: self._search_file(name, index, query, count, among, pending)
                for name, index in files.items()
            }
            if not found:
                return Candidates(np.empty(0, np.int64), np.empty(0, np.float32))
            ids, scores = (np.concatenate(columns) for columns in zip(*found.values(), strict=True))
            order = np.lexsort((ids, -scores))[:count]
            differing = self._differing(query, Candidates(ids[order], scores[order]))
            if not differing:
                return Candidates(ids[order], scores[order])
            # The bytes of these files changed, although their time and size did not.
            for name, (proposed, _) in found.items():
                if not differing.isdisjoint(proposed.tolist()):
                    self._open[name] = None

    def _differing(self, query: Vector, candidates: Candidates) -> set[int]:
        """Return the ids among the first candidates whose scores are not the catalog's."""
        ids, scores = candidates
        score_of = dict(zip(ids.tolist(), scores.tolist(), strict=True))
        first = list(itertools.islice(score_of, VERIFIED_CANDIDATES))
        exact = best_of(self._catalog.vectors_of(first), query, VERIFIED_CANDIDATES)
        return {
            chunk
            for chunk, score in zip(exact.ids.tolist(), exact.scores.tolist(), strict=True)
            if not abs(score_of[chunk] - score) <= TOLERANCE  # NaN differs too
        }

    def _search_file(
        self,
        name: str,
        index: Any,
        query: Vector,
        count: int,
        among: ChunkIds | None,
        pending: PendingSearch | None,
    ) -> Candidates:
        """Return the best candidates of a flat file, with its own scores."""
        from nmm.index.store.vectors import faiss_search

        if (
            isinstance(pending, PendingScan)
            and among is None
            and (found := pending.candidates(name, count))
        ):
            return found
        return faiss_search.nearest(index, query, count, among)

    def _search_segment(
        self, position: int, query: Vector, count: int, among: ChunkIds | None
    ) -> Candidates:
        """Search the range of an inverted file, or of a damaged file by its catalog's vectors."""
        from nmm.index.store.vectors import faiss_search

        segment = self._segments[position]
        index = self._index(segment)
        while index is not None:
            ids, _ = faiss_search.nearest(index, query, count, among)
            found, exact = best_of(self._catalog.vectors_of(ids.tolist()), query, len(ids))
            # Vectors that were removed since may have displaced others.
            if len(found) >= count or len(ids) < count or len(ids) >= segment.total:
                return Candidates(found[:count], exact[:count])
            count *= 4
        after = self._segments[position - 1].last_chunk if position else 0
        blocks = self._catalog.vectors(self._kind, after=after, upto=segment.last_chunk)
        if among is not None:
            blocks = (restrict(block, among) for block in blocks)
        return best_of(blocks, query, count)

    def _index(self, segment: Segment) -> Any | None:
        """Return the opened index of a segment; None if its file is damaged."""
        from nmm.index.store.vectors import faiss_files

        if segment.name not in self._open:
            self._open[segment.name] = faiss_files.open_file(self._folder.vectors, segment)
        return self._open[segment.name]

    def _read_tail(self) -> Iterable[Block]:
        """Return the vectors that no segment holds; cached for the next search unless too many."""
        if self._tail is not None:
            return self._tail
        count = self._catalog.vector_count(self._kind, after=self._last)
        blocks = self._catalog.vectors(self._kind, after=self._last)
        if count > MAX_CACHED_TAIL:
            return blocks
        self._tail = list(blocks)
        return self._tail
