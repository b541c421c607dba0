"""A search result: a file that matches a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from nmm.index.media.base import Locator
from nmm.index.search import json_fields
from nmm.index.store.catalog.types import KINDS

if TYPE_CHECKING:
    from nmm.index.store.catalog.full_text_search import Span
    from nmm.index.store.catalog.types import Hit, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """A file that matches a query.

    Attributes:
        rank: 1 for the best.
        score: How well it matches, on one scale for images and texts: one in a thousand unrelated
            items reaches 1, and half of them reach 0, see :mod:`nmm.index.calibration`. Files
            found by keywords have such scores, too. In a ranking by keywords alone, the score is
            the proportion of the query's words that were found.
        path: Absolute.
        type: The medium.
        lines: For a text, the first and last line of its best passage, from 1.
        text: That passage; for an image, the text in it, if that matched.
        width, height: For an image, pixels, upright.
        spans: The positions of words of the query in `text`: the first character, and the one
            after the last.
        by_words: Whether a passage, the name or the text in the image contains all words of the
            query.
        weak: Whether its score is indistinguishable from the query's background level, see
            :mod:`nmm.index.search.relevance`.
        copies: Absolute paths of near-duplicates that were merged into this result.
        page: The page that fits best, of a medium with pages, from 1.
        time_ms: The place in a recording that fits best, in milliseconds from its beginning.
    """

    rank: int
    score: float
    path: str
    type: Kind
    lines: tuple[int, int] | None = None
    text: str | None = None
    width: int | None = None
    height: int | None = None
    spans: tuple[tuple[int, int], ...] = ()
    by_words: bool = False
    weak: bool = False
    copies: tuple[str, ...] = ()
    page: int | None = None
    time_ms: int | None = None

    @property
    def locator(self) -> Locator:
        """Where in the file the unit lies that fits best."""
        return Locator(page=self.page, time_ms=self.time_ms, lines=self.lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as values of JSON; fields that do not apply are left out.

        `spans` count Unicode code points of `text`.
        """
        named: dict[str, Any] = {
            "rank": self.rank,
            "score": self.score,
            "path": self.path,
            "type": self.type,
            "lines": None if self.lines is None else list(self.lines),
            "text": self.text,
            "width": self.width,
            "height": self.height,
            "spans": None if self.text is None else [list(span) for span in self.spans],
            "by_words": self.by_words,
            "weak": self.weak,
            "copies": list(self.copies),
            "page": self.page,
            "time_ms": self.time_ms,
        }
        return {name: value for name, value in named.items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], path: str = "result") -> SearchResult:
        """Read what :meth:`to_dict` returns.

        Raises:
            UsageError: A field is unknown, missing or has a value that makes no sense.
        """
        found = json_fields.read(data, path, _READERS)
        json_fields.require(found, path, "rank", "score", "path", "type")
        return cls(**found)


def _pair(value: Any, path: str) -> tuple[int, int]:
    found = json_fields.items(json_fields.integer)(value, path)
    if len(found) != 2:
        raise json_fields.invalid(path, "a list of two numbers")
    return found[0], found[1]


_READERS: Mapping[str, json_fields.Reader] = {
    "rank": json_fields.positive_integer,
    "score": json_fields.number,
    "path": json_fields.text,
    "type": json_fields.one_of(KINDS),
    "lines": _pair,
    "text": json_fields.text,
    "width": json_fields.integer,
    "height": json_fields.integer,
    "spans": json_fields.items(_pair),
    "by_words": json_fields.boolean,
    "weak": json_fields.boolean,
    "copies": json_fields.texts,
    "page": json_fields.integer,
    "time_ms": json_fields.integer,
}


class RankedFile(NamedTuple):
    """A file in the ranking.

    Attributes:
        score, by_words, weak: See :class:`SearchResult`.
        hit: The part of the file to show.
    """

    score: float
    hit: Hit
    by_words: bool
    weak: bool


def make_result(
    rank: int, ranked: RankedFile, copies: Sequence[str], text: str | None, spans: Sequence[Span]
) -> SearchResult:
    """Return the result for a ranked file.

    Args:
        rank: From 1.
        ranked: The file.
        copies: Paths of its near-duplicates.
        text: The text to show; that of the file's hit if it is None.
        spans: The positions of words of the query in `text`.
    """
    hit = ranked.hit
    lines = None
    if hit.line_start is not None and hit.line_end is not None:
        lines = hit.line_start, hit.line_end
    return SearchResult(
        rank=rank,
        score=ranked.score,
        path=hit.path,
        type=hit.kind,
        lines=lines,
        text=hit.text if text is None else text,
        width=hit.width,
        height=hit.height,
        spans=tuple(spans),
        by_words=ranked.by_words,
        weak=ranked.weak,
        copies=tuple(copies),
        page=hit.page,
        time_ms=hit.time_ms,
    )
