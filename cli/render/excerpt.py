"""Excerpts of passages: the part around the matching words, or the beginning."""

from __future__ import annotations

from collections.abc import Sequence

from nmm.cli.console.text import printable

Span = tuple[int, int]


def excerpt(text: str, spans: Sequence[Span], room: int) -> tuple[str, list[Span]]:
    """Return a passage on one line, safe to print, of at most `room` characters.

    Args:
        text: The passage.
        spans: The positions of the words of the query; the first decides what is shown.
        room: Maximum number of characters, including ellipses; 8 or more.

    Returns:
        The excerpt, and the positions of those words in it.
    """
    line, at = _on_one_line(text)
    marks = sorted((at[max(start, 0)], at[end]) for start, end in spans if start < end <= len(text))
    begin = 0
    if len(line) > room and marks and marks[0][1] > room - 2:
        # A third of the room is for the text before the word.
        begin = min(max(marks[0][0] - room // 3, 0), len(line) - room + 4)
        begin = _next_word(line, begin, marks[0][0])
    lead = "… " if begin else ""
    end = len(line)
    if end - begin > room - len(lead):
        end = begin + room - len(lead) - 2
        space = line.rfind(" ", begin, end + 1)
        end = space if space > begin + room // 2 else end
    shown = lead + line[begin:end] + (" …" if end < len(line) else "")
    moved = (
        (max(start, begin) - begin + len(lead), min(stop, end) - begin + len(lead))
        for start, stop in marks
    )
    return shown, [(start, stop) for start, stop in moved if start < stop]


def _on_one_line(text: str) -> tuple[str, list[int]]:
    """Return text without line breaks and control characters, and each character's new position."""
    pieces: list[str] = []
    at = []
    length = 0
    for character in text:
        at.append(length)
        piece = " " if character.isspace() else printable(character)
        if piece == " " and (not pieces or pieces[-1] == " "):
            continue
        pieces.append(piece)
        length += len(piece)
    line = "".join(pieces).rstrip(" ")
    at.append(length)
    return line, [min(place, len(line)) for place in at]


def _next_word(line: str, begin: int, limit: int) -> int:
    """Return the first beginning of a word from `begin` to `limit`."""
    space = line.find(" ", max(begin - 1, 0), limit)
    return space + 1 if begin and space >= 0 else begin
