"""Searches flat files in other threads for queries that were submitted ahead of their search."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from nmm.index.store.vectors.base import Candidates, PendingSearch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future, ThreadPoolExecutor

    from nmm.index.store.vectors.base import Vector
    from nmm.index.store.vectors.quantized_scan import Codes

# Codes of flat files are made for at least this many queries: making them takes as long as a few
# dozen queries without.
MIN_QUERIES_FOR_CODES = 20
# Bytes of codes of a kind, at most. Files beyond are searched without codes.
MAX_CODE_BYTES = 1 << 26


@cache
def _scan_threads() -> ThreadPoolExecutor:
    """Return the threads that search flat files while SQLite is busy with another query."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(thread_name_prefix="nmm-scan")


@cache
def _code_thread() -> ThreadPoolExecutor:
    """Return the thread that makes and compares codes: several would wait for Python's lock."""
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


class FlatScans:
    """Begins scans of flat files, and makes the codes that speed up many of them.

    Args:
        codes: Codes of the files that were made before, by the names of the files.

    Attributes:
        codes: Codes of files that are made or being made; a result of None means that the file is
            damaged.
    """

    def __init__(self, codes: dict[str, Future[Codes | None]]) -> None:
        self.codes = codes

    def submit(
        self, files: Mapping[str, Any], queries: Sequence[Vector], limit: int
    ) -> list[PendingScan]:
        """Begin the scans of the first two queries, and the codes if there are many queries.

        Args:
            files: Opened flat files, by name.
            queries: In the order in which they will be searched with.
            limit: Candidates of each.

        Returns:
            A handle for each query, in order.
        """
        pending = [PendingScan(query, limit) for query in queries]
        for scan, following in itertools.pairwise(pending):
            scan.following = following
        self._encode(files, len(queries))
        for scan in pending[:2]:
            self.begin(files, scan)
        return pending

    def begin(self, files: Mapping[str, Any], pending: PendingScan) -> None:
        """Begin the scan of a query, unless it was begun.

        If there are codes, the scans of all queries after it are begun in the same batch.
        """
        if pending.batch is not None:
            return
        codes = self._finished_codes()
        scans = [pending]
        while codes and (following := scans[-1].following):
            scans.append(following)
        queries = [scan.query for scan in scans]
        batch = {}
        for name, index in files.items():
            # The threads are started here: an index without flat files needs none.
            threads = _code_thread() if codes else _scan_threads()
            batch[name] = threads.submit(_scan, codes.get(name), index, queries, pending.limit)
        for position, scan in enumerate(scans):
            scan.batch, scan.position = batch, position

    def _encode(self, files: Mapping[str, Any], query_count: int) -> None:
        """Begin to make the codes of flat files, if there are enough queries."""
        if query_count < MIN_QUERIES_FOR_CODES:
            return
        left = MAX_CODE_BYTES
        for name, index in files.items():
            left -= index.ntotal * index.d
            if name not in self.codes and left >= 0:
                self.codes[name] = _code_thread().submit(_make_codes, index)

    def _finished_codes(self) -> dict[str, Codes]:
        """Return the codes that are finished, by the names of the files."""
        return {
            name: codes
            for name, future in self.codes.items()
            if future.done() and (codes := future.result())
        }


def _make_codes(index: Any) -> Codes | None:
    from nmm.index.store.vectors.quantized_scan import encode

    return encode(index)


def _scan(
    codes: Codes | None, index: Any, queries: Sequence[Vector], limit: int
) -> list[Candidates]:
    """Return the best candidates in a flat file for each query."""
    import numpy as np

    from nmm.index.store.vectors import faiss_search

    if codes and len(queries) > 1:  # a single query is faster in the file, with all cores
        return codes.nearest(np.stack(queries), limit)
    return [faiss_search.nearest(index, query, limit) for query in queries]
