"""What a search finds: files, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nmm.index.store.catalog.full_text_search import Span
    from nmm.index.store.catalog.types import Hit, Kind


@dataclass(frozen=True, slots=True)
class Result:
    """A file that fits a query.

    Attributes:
        rank: 1 for the best.
        score: How well it fits, on one scale for images and texts: 1 is what one in a
            thousand items reaches that have nothing to do with the query, and 0 what half
            of them reach, see :mod:`nmm.index.calibration`. So it is with what was found by its
            words. Where words alone rank, it is the share of them that are there.
        path: Absolute.
        type: What it is.
        lines: Of a text, the first and last line of the passage that fits, from 1.
        text: That passage; of an image, what it says, if it was found by that.
        width, height: Of an image, in pixels, upright.
        spans: Where words of the query stand in `text`, if it was found by them there: the
            first character, and the one after the last.
        by_words: Whether all words of the query are in one of its passages, in its name or in
            what it says as a picture.
        weak: Whether nothing tells it from what this query fits anyway, see
            :mod:`nmm.index.search.relevance`.
        copies: Absolute paths of files that are nearly the same, and folded into this one.
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


class Placed(NamedTuple):
    """A file in its place among those that were found.

    Attributes:
        score, by_words, weak: As of its :class:`Result`.
        hit: Its place that is shown.
    """

    score: float
    hit: Hit
    by_words: bool
    weak: bool


def result(
    rank: int, placed: Placed, copies: Sequence[str], text: str | None, spans: Sequence[Span]
) -> Result:
    """The result of a file; without a text, that of its place."""
    hit = placed.hit
    lines = None
    if hit.line_start is not None and hit.line_end is not None:
        lines = hit.line_start, hit.line_end
    return Result(
        rank,
        placed.score,
        hit.path,
        hit.kind,
        lines,
        hit.text if text is None else text,
        hit.width,
        hit.height,
        tuple(spans),
        placed.by_words,
        placed.weak,
        tuple(copies),
    )
