"""Searches in tests: a request in one line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nmm.index.search.engine import SearchEngine
from nmm.index.search.query import Query
from nmm.index.search.request import SearchRequest
from nmm.index.search.result import SearchResult
from nmm.index.store.catalog.types import KINDS, Kind


def request(
    query: str | Query, limit: int = 10, kinds: Iterable[Kind] = KINDS, **fields: Any
) -> SearchRequest:
    """Return a request in which a text is one term and near-duplicates are not merged."""
    asked = query if isinstance(query, Query) else Query.of_text(query)
    fields.setdefault("collapse_duplicates", False)
    return SearchRequest(query=asked, limit=limit, media=frozenset(kinds), **fields)


def find(
    engine: SearchEngine,
    query: str | Query,
    limit: int = 10,
    kinds: Iterable[Kind] = KINDS,
    **fields: Any,
) -> list[SearchResult]:
    """Return the results of a request, see :func:`request`."""
    return list(engine.search(request(query, limit, kinds, **fields)).results)
