"""Search a vector index, with its candidates scored again from the catalog."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import Kind
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors.base import Candidates, PendingSearch
from nmm.index.store.vectors.exact import best_of
from nmm.index.store.vectors.factory import open_vector_index
from nmm.index.store.vectors.searcher import SegmentSearcher
from nmm.index.store.vectors.segment_table import read_segments

if TYPE_CHECKING:
    from nmm.index.store.vectors.base import ChunkIds, Vector

Search = Callable[..., Candidates]


def open_searcher(
    catalog: Catalog, folder: IndexFolder, kind: Kind, before: SegmentSearcher | None = None
) -> SegmentSearcher:
    return SegmentSearcher(catalog, folder, kind, read_segments(catalog, kind), before)


def rescored(
    catalog: Catalog,
    search: Search,
    query: Vector | PendingSearch,
    count: int,
    among: ChunkIds | None = None,
) -> list[int]:
    """Return the best chunks in the catalog, from as many candidates as that takes."""
    vector = query.query if isinstance(query, PendingSearch) else query
    wanted = count
    while True:
        ids, _ = search(query, wanted, among)
        found: list[int] = best_of(catalog.vectors_of(ids.tolist()), vector, count).ids.tolist()
        # Removed chunks may have displaced others.
        if len(found) >= count or len(ids) < wanted:
            return found
        wanted *= 4


def nearest_chunks(
    catalog: Catalog,
    folder: IndexFolder,
    kind: Kind,
    query: Vector,
    count: int,
    among: ChunkIds | None = None,
) -> list[int]:
    """Return the nearest chunks in a newly opened index."""
    index = open_vector_index(folder, catalog)

    def search(
        query: Vector | PendingSearch, limit: int, among: ChunkIds | None = None
    ) -> Candidates:
        return index.search(query, limit, kind, among=among)

    return rescored(catalog, search, query, count, among)
