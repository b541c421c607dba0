"""The printed JSON of a result, the same in every output format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nmm.index.search.result import SearchResult

# The version of the printed JSON. It is raised when a name changes its meaning or is removed.
VERSION = 1


def fields(result: SearchResult) -> dict[str, Any]:
    """Return a result as values of JSON, with its score rounded to six digits."""
    named = result.to_dict()
    named["score"] = round(result.score, 6)
    return named
