"""Cut lines of text into chunks that fit the context of a model.

A chunk ends, in order of preference, before a paragraph or heading, at a line end, at white space
in a long line, or inside a word. It ends after a heading only if there is no other way. The tokens
of lines are counted in batches, and lines are packed by their sums. Then the text of each chunk is
counted as a whole, because tokens may join across lines, and cut again if it is too long.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from nmm.index.errors import UsageError
from nmm.index.media.text.decode import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tokenizers import Tokenizer

_BATCH_CHARACTERS = 1 << 17  # characters counted at once
# A word of any length may be one unknown token: this bounds the size of such a chunk.
_CHARS_PER_TOKEN = 16

# How good a border is: higher is better.
_IN_WORD, _AFTER_HEADING, _WORD, _LINE, _PARAGRAPH = range(5)

_HASHES = re.compile(r"#{1,6}\s")  # Markdown; also a comment in many languages
_UNDERLINE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}\s*$")  # above and below headings in both

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of a document.

    Attributes:
        line_start: The line where the text begins, counted from 1.
        line_end: The line where it ends, inclusive.
        text: Without blank lines around it; several blank lines inside it are reduced to one.
    """

    line_start: int
    line_end: int
    text: str


class _Unit(NamedTuple):
    """A line, or a few words of a long one, which is never cut."""

    number: int
    gap: str  # the text between it and the unit before
    text: str
    border: int  # how good it is to cut before it
    tokens: int  # of the gap and the text


class _Window(NamedTuple):
    """The units of a chunk."""

    units: list[_Unit]
    repeats: int  # units at the beginning that the window before has too

    @property
    def tokens(self) -> int:
        return sum(unit.tokens for unit in self.units)

    @property
    def fresh(self) -> str:
        return "".join(unit.text for unit in self.units[self.repeats :])


def chunk_lines(
    lines: Iterable[Line], tokenizer: Tokenizer, *, size: int, overlap: int
) -> Iterator[Chunk]:
    """Cut a document into chunks, in constant memory.

    A chunk is at least half full if the next unit does not fit, and ends at the best border in its
    second half. Chunks overlap only if a paragraph is cut. Every character except white space is
    in a chunk, in order.

    Args:
        lines: The document; an empty line ends a paragraph.
        tokenizer: The model's own, with truncation and padding off.
        size: The most tokens in a chunk, without special tokens. Only a single character of more
            tokens makes a larger chunk.
        overlap: The most tokens that are repeated from the end of the chunk before, in whole
            lines or whole words of a long line.

    Raises:
        UsageError: `overlap` is negative or more than half of `size`, or `size` is not positive.
    """
    if size < 1 or not 0 <= overlap <= size // 2:
        raise UsageError(
            f"chunks of {size} tokens cannot overlap by {overlap}",
            code="chunk-overlap-invalid",
            hint="Choose an overlap of at most half a chunk.",
            size=size,
            overlap=overlap,
        )
    units = _units(_bordered(lines), tokenizer, size)
    windows = (window for window in _pack(units, size, overlap) if not window.fresh.isspace())
    for batch in _batches(windows, lambda window: len(window.fresh)):
        yield from _fitted(batch, tokenizer, size)


def _bordered(lines: Iterable[Line]) -> Iterator[_Unit]:
    """Drop blank lines, and rate the border before each other line."""
    gap, after_heading = "", False
    for line, following in pairwise(chain(lines, [Line(0, "")])):
        if not line.text or line.text.isspace():
            gap = "\n\n"
            continue
        hashes = _HASHES.match(line.text) is not None
        heading = hashes or bool(_UNDERLINE.match(line.text) or _UNDERLINE.match(following.text))
        if after_heading:
            # Consecutive lines with hashes are a comment.
            border = _LINE if hashes and gap == "\n" else _AFTER_HEADING
        else:
            border = _PARAGRAPH if heading or gap == "\n\n" else _LINE
        yield _Unit(line.number, gap, line.text, border, 0)
        gap, after_heading = "\n", heading


def _units(lines: Iterable[_Unit], tokenizer: Tokenizer, size: int) -> Iterator[_Unit]:
    """Count the tokens of lines, and cut lines of more than half a chunk."""
    gap_tokens = _gap_tokens(tokenizer)
    for batch in _batches(lines, lambda line: len(line.text)):
        # A line that has too many characters is cut, and counted then.
        texts = [line.text if _min_tokens(len(line.text)) <= size // 2 else "" for line in batch]
        for line, tokens in zip(batch, _count(texts, tokenizer), strict=True):
            room = max(tokens, _min_tokens(len(line.text))) + gap_tokens
            if room <= size // 2:
                yield line._replace(tokens=room)
            else:
                yield from _cut(line, tokenizer, max(1, size // 16), gap_tokens)


def _cut(line: _Unit, tokenizer: Tokenizer, grain: int, gap_tokens: int) -> Iterator[_Unit]:
    """Cut a long line into units of at most `grain` tokens, after white space if possible."""
    text = line.text
    starts = [start for start, _ in tokenizer.encode(text, add_special_tokens=False).offsets]
    begin, token = 0, 0  # the start of the next unit, and its first token
    gap, border = line.gap, line.border
    while begin < len(text):
        end = starts[token + grain] if token + grain < len(starts) else len(text)
        # Several tokens may be parts of one character.
        end = max(begin + 1, min(end, begin + grain * _CHARS_PER_TOKEN))
        if end < len(text):
            end = next((i for i in range(end, begin, -1) if text[i - 1].isspace()), end)
        following = bisect_left(starts, end, token)
        # One more, because the unit may begin with the rest of a token.
        room = max(following - token + (border == _IN_WORD), _min_tokens(end - begin))
        yield _Unit(line.number, gap, text[begin:end], border, room + gap_tokens * bool(gap))
        begin, token = end, following
        gap, border = "", _border_in_line(text, end)


def _min_tokens(characters: int) -> int:
    return -(-characters // _CHARS_PER_TOKEN)


def _border_in_line(text: str, at: int) -> int:
    """Rate a cut before a character of a line; ideographs and kana are words by themselves."""
    left, right = text[at - 1 : at], text[at : at + 1]
    in_word = left.isalnum() and right.isalnum() and not "\u2e80" <= right < "\ua4d0"
    return _IN_WORD if in_word else _WORD


def _pack(units: Iterable[_Unit], size: int, overlap: int) -> Iterator[_Window]:
    """Fill windows of at most `size` tokens."""
    held: _Window | None = None  # the last full window: the remainder may be tiny
    window, tokens = _Window([], 0), 0
    for unit in units:
        while tokens + unit.tokens > size and len(window.units) > window.repeats:
            if held:
                yield held
            window.units.append(unit)
            held, window = _divide(window, size // 2, size, overlap)
            window.units.pop()
            tokens = window.tokens
        if tokens + unit.tokens > size:
            window, tokens = _Window([], 0), 0
        window.units.append(unit)
        tokens += unit.tokens
    rest = _Window(window.units[window.repeats :], 0)
    if held and rest.tokens < size // 8:
        both = _Window(held.units + rest.units, held.repeats)
        third = both.tokens // 3
        # Two thirds and a quarter of a size fit together.
        held, window = _divide(both, third, 2 * third, min(overlap, size // 4))
    if held:
        yield held
    if window.units:
        yield window


def _divide(window: _Window, low: int, high: int, overlap: int) -> tuple[_Window, _Window]:
    """Cut before the best unit, the later of two, with `low` to `high` tokens before it."""
    units, repeats = window
    before = list(accumulate(unit.tokens for unit in units))
    fresh = range(repeats + 1, len(units))
    cut = max(
        [at for at in fresh if before[at - 1] <= high] or fresh,
        key=lambda at: (
            before[at - 1] >= low and units[at].border > _AFTER_HEADING,
            before[at - 1] >= low // 4,
            units[at].border,
            at,
        ),
    )
    tail = [] if units[cut].border == _PARAGRAPH else _tail(units[:cut], overlap)
    return _Window(units[:cut], repeats), _Window(tail + units[cut:], len(tail))


def _tail(units: list[_Unit], overlap: int) -> list[_Unit]:
    """Take the last units of at most `overlap` tokens, in whole words, of one paragraph."""
    first, tokens = len(units), 0
    for at in range(len(units) - 1, 0, -1):
        tokens += units[at].tokens
        if tokens > overlap:
            break
        if units[at].border != _IN_WORD:
            first = at
        if units[at].border == _PARAGRAPH:
            break
    return units[first:]


def _fitted(windows: list[_Window], tokenizer: Tokenizer, size: int) -> Iterator[Chunk]:
    """Make chunks of windows; cut again those whose whole text has too many tokens."""
    chunks = [_chunk(window.units) for window in windows]
    counts = _count([chunk.text for chunk in chunks], tokenizer)
    for window, chunk, tokens in zip(windows, chunks, counts, strict=True):
        if tokens > size and len(chunk.text) > 1:
            yield from _fitted(_smaller(window), tokenizer, size)
        elif chunk.text:  # halves of mostly white space may be empty
            yield chunk


def _chunk(units: list[_Unit]) -> Chunk:
    first, *others = units
    text = first.text + "".join(unit.gap + unit.text for unit in others)
    return Chunk(first.number, units[-1].number, text.rstrip())


def _smaller(window: _Window) -> list[_Window]:
    """Remove the repeated units; without any, halve the window."""
    units, repeats = window
    if repeats:
        return [_Window(units[repeats:], 0)]
    if len(units) > 1:
        middle = len(units) // 2
        return [_Window(units[:middle], 0), _Window(units[middle:], 0)]
    text = units[0].text.rstrip()
    middle = len(text) // 2
    halves = (text[:middle], text[middle:])
    return [_Window([units[0]._replace(text=half)], 0) for half in halves]


def _count(texts: list[str], tokenizer: Tokenizer) -> list[int]:
    return [len(one) for one in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def _gap_tokens(tokenizer: Tokenizer) -> int:
    """Count the tokens of a blank line: none in WordPiece, one or two in byte-level BPE."""
    alone, joined = _count(["a", "a\n\na"], tokenizer)
    return max(0, joined - 2 * alone)


def _batches(items: Iterable[_T], length: Callable[[_T], int]) -> Iterator[list[_T]]:
    """Gather items up to about `_BATCH_CHARACTERS` characters."""
    batch: list[_T] = []
    total = 0
    for item in items:
        batch.append(item)
        # The cost of an item besides its characters.
        total += length(item) + 64
        if total >= _BATCH_CHARACTERS:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch
