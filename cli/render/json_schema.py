"""A result by the names that scripts know it by, the same in every form of output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nmm.index.search.result import Result

# The shape of the JSON; grows when a name in it changes its meaning or goes away.
VERSION = 1


def fields(result: Result) -> dict[str, Any]:
    """A result by the names of the JSON; what it cannot have is left out.

    `spans` are pairs of the first character and the last but one, counted in Unicode code
    points of `text`.
    """
    named: dict[str, Any] = {
        "rank": result.rank,
        "score": round(result.score, 6),
        "path": result.path,
        "type": result.type,
        "lines": result.lines,
        "text": result.text,
        "width": result.width,
        "height": result.height,
        "spans": None if result.text is None else result.spans,
        "by_words": result.by_words,
        "weak": result.weak,
        "copies": result.copies,
    }
    return {name: value for name, value in named.items() if value is not None}
