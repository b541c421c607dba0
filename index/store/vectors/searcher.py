"""Nearest vectors: what the derived files propose, compared as it stands in the catalog."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from nmm.index.store.catalog.connection import VECTORS_PER_BLOCK
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import Kind
from nmm.index.store.vectors.base import Candidates, PendingSearch
from nmm.index.store.vectors.exact import best_of, merge, restrict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from concurrent.futures import Future, ThreadPoolExecutor

    from nmm.index.store.layout import IndexFolder
    from nmm.index.store.vectors.base import ChunkIds, Vector
    from nmm.index.store.vectors.exact import Block
    from nmm.index.store.vectors.quantized_scan import Codes
    from nmm.index.store.vectors.segment_table import Segment

# What a product of the same halves may differ by, computed here and in FAISS.
TOLERANCE = 1e-3
# Of what a flat file proposes, so many are compared with the catalog. What is damaged elsewhere is
# met by another query, and what is shown has its score from the catalog in any case.
CHECKED = 8
# Ids within which a search reads every vector from the catalog, rather than ask an inverted
# file, which can miss some. A hundred thousand take about a tenth of a second.
EXACT = 100_000
# Queries that wait, from which on codes of flat files are made, which takes as long as some dozens
# of them without; and bytes of codes at most of a kind: what is more is looked through without.
MANY, CODED = 20, 1 << 26
# A tail of more vectors is read again at each search, for memory's sake.
KEPT = 4 * VECTORS_PER_BLOCK


@cache
def _scanners() -> ThreadPoolExecutor:
    """Threads in which flat files are looked through while SQLite is asked for something else."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(thread_name_prefix="nmm-scan")


@cache
def _coder() -> ThreadPoolExecutor:
    """A thread in which codes are made and compared: several would wait for Python's lock."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1, thread_name_prefix="nmm-codes")


@dataclass(eq=False)
class PendingScan(PendingSearch):
    """A query that was submitted, and the scans of flat files that were begun for it.

    Attributes:
        following: The query that was submitted after this one.
        batch: The candidates from each flat file, by its name, for all queries of a batch; None
            if no scan was begun.
        position: Of this query in its batch.
    """

    following: PendingScan | None = None
    batch: Mapping[str, Future[list[Candidates]]] | None = None
    position: int = 0

    def candidates(self, file: str, limit: int) -> Candidates | None:
        """Return the best candidates of a flat file; None if that many were not searched for."""
        if limit > self.limit or not self.batch or file not in self.batch:
            return None
        ids, scores = self.batch[file].result()[self.position]
        return Candidates(ids[:limit], scores[:limit])


class SegmentSearcher:
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
        segments: Sequence[Segment],
        before: SegmentSearcher | None = None,
    ) -> None:
        self._catalog = catalog
        self._kind: Kind = kind
        self._folder = folder
        self._segments = segments
        self._last = self._segments[-1].last_chunk if self._segments else 0
        self._tail: list[Block] | None = None
        names = {one.name for one in self._segments}
        opened, coded = (before._open, before._codes) if before else ({}, {})
        self._open: dict[str, Any | None] = {
            name: index for name, index in opened.items() if name in names
        }
        self._codes: dict[str, Future[Codes | None]] = {
            name: codes for name, codes in coded.items() if name in names
        }

    @property
    def damaged(self) -> list[str]:
        return [name for name, index in self._open.items() if index is None]

    def submit(self, queries: Sequence[Vector], limit: int) -> list[PendingScan]:
        """Begin to look through flat files for queries that will be searched for next.

        The first two are begun at once, and another whenever one is asked for. Many queries are
        compared together, by codes: see :mod:`.quantized_scan`.

        Args:
            queries: In the order in which they will be asked for, each of shape (dimension,).
            limit: Candidates of each, as of :meth:`search`.

        Returns:
            A handle for each query, in order.
        """
        pending = [PendingScan(query, limit) for query in queries]
        for one, following in itertools.pairwise(pending):
            one.following = following
        self._encode_files(len(queries))
        for one in pending[:2]:
            self._begin(one)
        return pending

    def _begin(self, pending: PendingScan) -> None:
        """Begin the search of a query, unless it was begun; with codes, of all that follow, too."""
        if pending.batch is not None:
            return
        codes = self._ready_codes()
        together = [pending]
        while codes and (following := together[-1].following):
            together.append(following)
        queries = [one.query for one in together]
        threads = _coder if codes else _scanners  # which an index without flat files need not have
        batch = {
            one.name: threads().submit(
                _look_through, codes.get(one.name), self._index(one), queries, pending.limit
            )
            for one in self._flat()
        }
        for position, one in enumerate(together):
            one.batch, one.position = batch, position

    def _encode_files(self, queries: int) -> None:
        """Begin to make the codes of flat files, if so many queries are worth it."""
        if queries < MANY:
            return
        left = CODED
        for segment in self._flat():
            index: Any = self._index(segment)
            left -= index.ntotal * index.d
            if segment.name not in self._codes and left >= 0:
                self._codes[segment.name] = _coder().submit(_encode, index)

    def _ready_codes(self) -> dict[str, Codes]:
        """Return the codes of flat files that are made, by the names of the files."""
        return {
            name: codes
            for name, made in self._codes.items()
            if made.done() and (codes := made.result())
        }

    def _flat(self) -> list[Segment]:
        """The flat files that are sound."""
        return [
            segment
            for segment in self._segments
            if segment.form == "flat" and self._index(segment) is not None
        ]

    def search(
        self, query: Vector | PendingSearch, count: int, among: ChunkIds | None = None
    ) -> Candidates:
        """Return the chunks with the greatest inner products, see :meth:`.VectorIndex.search`.

        Args:
            query: Shape (dimension,), or what :meth:`submit` returned for it.
            count: At most so many ids; fewer if there are fewer. Of vectors that were removed
                since a flat file was written, some may be among them.
            among: Ids of chunks to look among, if not all. Exact if they are few or the
                files flat; else all lists are looked into.
        """
        import numpy as np

        pending = None
        if isinstance(query, PendingSearch):
            pending, query = query, query.query
            if isinstance(pending, PendingScan) and pending.following:
                self._begin(pending.following)
        if among is not None and len(among) <= EXACT:
            return best_of(self._catalog.vectors_of(among.tolist()), query, count)
        tail = self._read_tail()
        if among is not None:
            tail = (restrict(block, among) for block in tail)
        parts = [best_of(tail, query, count), self._from_flat(query, count, among, pending)]
        for place, segment in enumerate(self._segments):
            if segment.form != "flat" or self._index(segment) is None:
                parts.append(self._from_segment(place, query, count, among))
        ids, scores = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return merge(ids, scores, count)

    def _from_flat(
        self,
        query: Vector,
        count: int,
        among: ChunkIds | None,
        pending: PendingSearch | None,
    ) -> Candidates:
        """The best in all flat files, by what these say: the first are compared with the catalog.

        A product of the same halves is the same, however it is added up, but for the last digits.
        """
        import numpy as np

        while True:
            flat = self._flat()
            each = [self._propose(segment, query, count, among, pending) for segment in flat]
            if not each:
                return Candidates(np.empty(0, np.int64), np.empty(0, np.float32))
            ids, said = (np.concatenate(columns) for columns in zip(*each, strict=True))
            order = np.lexsort((ids, -said))[:count]
            said_of = dict(zip(ids[order].tolist(), said[order].tolist(), strict=True))
            first = list(itertools.islice(said_of, CHECKED))
            true = best_of(self._catalog.vectors_of(first), query, CHECKED)
            changed = {
                number
                for number, score in zip(*(column.tolist() for column in true), strict=True)
                if not abs(said_of[number] - score) <= TOLERANCE  # nor is NaN
            }
            if not changed:
                return Candidates(ids[order], said[order])
            # Their bytes have changed under an unchanged time and size.
            for segment, (proposed, _) in zip(flat, each, strict=True):
                if not changed.isdisjoint(proposed.tolist()):
                    self._open[segment.name] = None

    def _propose(
        self,
        segment: Segment,
        query: Vector,
        count: int,
        among: ChunkIds | None,
        pending: PendingSearch | None,
    ) -> Candidates:
        """The best in a flat file, with scores from there."""
        from nmm.index.store.vectors import faiss_files

        if (
            isinstance(pending, PendingScan)
            and among is None
            and (found := pending.candidates(segment.name, count))
        ):
            return found
        return faiss_files.nearest(self._index(segment), query, count, among)

    def _from_segment(
        self, place: int, query: Vector, count: int, among: ChunkIds | None
    ) -> Candidates:
        """The best of the range of an inverted file, or of one that is damaged."""
        from nmm.index.store.vectors import faiss_files

        segment = self._segments[place]
        index = self._index(segment)
        while index is not None:
            ids, _ = faiss_files.nearest(index, query, count, among)
            found, exact = best_of(self._catalog.vectors_of(ids.tolist()), query, len(ids))
            # Vectors that were removed since have taken the place of others.
            if len(found) >= count or len(ids) < count or len(ids) >= segment.total:
                return Candidates(found[:count], exact[:count])
            count *= 4
        after = self._segments[place - 1].last_chunk if place else 0
        blocks = self._catalog.vectors(self._kind, after=after, upto=segment.last_chunk)
        if among is not None:
            blocks = (restrict(block, among) for block in blocks)
        return best_of(blocks, query, count)

    def _index(self, segment: Segment) -> Any | None:
        """The index in a segment's file; None if it is damaged."""
        from nmm.index.store.vectors import faiss_files

        if segment.name not in self._open:
            self._open[segment.name] = faiss_files.open_file(self._folder.vectors, segment)
        return self._open[segment.name]

    def _read_tail(self) -> Iterable[Block]:
        """Vectors that are in no segment; kept in memory for the next search, unless many."""
        if self._tail is not None:
            return self._tail
        count = self._catalog.vector_count(self._kind, after=self._last)
        blocks = self._catalog.vectors(self._kind, after=self._last)
        if count > KEPT:
            return blocks
        self._tail = list(blocks)
        return self._tail


def _encode(index: Any) -> Codes | None:
    from nmm.index.store.vectors.quantized_scan import encode

    return encode(index)


def _look_through(
    codes: Codes | None, index: Any, queries: Sequence[Vector], count: int
) -> list[Candidates]:
    """The best in a flat file for each of some queries."""
    import numpy as np

    from nmm.index.store.vectors import faiss_files

    if codes and len(queries) > 1:  # one is found sooner in the file, by all cores
        return codes.nearest(np.stack(queries), count)
    return [faiss_files.nearest(index, query, count) for query in queries]
