"""Extract the text of an HTML document, with the line numbers of the source."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from nmm.index.media.text.decode import Line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OWN_PAGE = b'<meta name="generator" content="nmm gallery">'
"""A marker in the head of every page of results that nmm writes."""

_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
_OPENING = re.compile(
    # A comment can end in one place only: with `.*?` there would be 2^n ways to match n comments.
    r"(?:\ufeff|\s|<\?xml[^>]*>|<!--(?:(?!-->).)*-->)*<(?:!doctype\s+html|html)\b",
    re.IGNORECASE | re.DOTALL,
)

_SKIPPED = frozenset({"script", "style", "template", "noscript"})
_PARAGRAPHS = frozenset(
    "address article aside blockquote body caption center details dialog div dl fieldset "  # noqa: SIM905
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hr html legend main nav ol p "
    "pre section summary table textarea title ul".split()
)
_LINES = frozenset({"br", "dd", "dt", "li", "option", "tr"})
_CELLS = frozenset({"td", "th"})

_FEED_SIZE = 1 << 16  # characters given to the parser at once
_MAX_LINE = 1 << 16  # characters of text kept without a line end
_MAX_UNFINISHED = 1 << 18  # characters kept of an unfinished tag, comment or script
_KEPT_AT_EITHER_END = 1 << 10  # characters kept at either end of a longer one


def looks_like_html(head: str, suffix: str) -> bool:
    """Return whether a document is HTML, by the suffix of its name or by its beginning.

    Args:
        head: The first characters of the document; a few hundred are enough.
        suffix: The file name's suffix with its dot, in any case.
    """
    return suffix.lower() in _SUFFIXES or _OPENING.match(head) is not None


def html_lines(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the text of an HTML document, with the numbers of the source's lines.

    Block elements are separated by an empty line. List items, table rows and ``br`` begin a line.
    Several lines may come from one line of the source, and then have the same number. White space
    is collapsed outside ``pre``. The text of ``alt`` is in the place of the image. Scripts,
    styles, templates, ``noscript`` and comments are left out. Broken markup never raises.
    """
    parser = _TextParser()
    source: list[str] = []
    size, number = 0, 1
    for line in lines:
        # Pieces of a long line have the same number and are joined again.
        source.append("\n" * (line.number - number) + line.text)
        number = line.number
        size += len(line.text) + 1
        # The parser reads unfinished markup again: with growing pieces that does not take n² time.
        if size >= max(_FEED_SIZE, len(parser.rawdata)):
            parser.feed("".join(source))
            source, size = [], 0
            parser.shorten_unfinished(_MAX_UNFINISHED)
            yield from parser.take_lines()
    parser.feed("".join(source))
    # The rest will never be finished, and the parser would take n² time to find that out.
    parser.shorten_unfinished(2 * _KEPT_AT_EITHER_END)
    parser.close()
    parser.end_line()
    yield from parser.take_lines()


class _TextParser(HTMLParser):
    """Collects lines of text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[Line] = []
        self._text: list[str] = []
        self._size = 0
        self._number = 0  # of the source line where the current text begins
        self._skipped = 0  # depth of elements whose text is not part of the document
        self._verbatim = 0  # depth of elements that keep white space
        self._border = False  # a paragraph ends before the current text
        self._started = False

    def take_lines(self) -> list[Line]:
        lines, self._lines = self._lines, []
        return lines

    def end_line(self) -> None:
        text = "".join(self._text)
        text = text.rstrip() if self._verbatim else " ".join(text.split())
        self._text, self._size = [], 0
        if not text:
            return
        if self._border and self._started:
            self._lines.append(Line(self._number, ""))
        self._lines.append(Line(self._number, text))
        self._border, self._started = False, True

    def shorten_unfinished(self, longest: int) -> None:
        """Drop the middle of a very long attribute, comment or script: it has no text."""
        if len(self.rawdata) > longest:
            self.updatepos(_KEPT_AT_EITHER_END, len(self.rawdata) - _KEPT_AT_EITHER_END)
            self.rawdata = self.rawdata[:_KEPT_AT_EITHER_END] + self.rawdata[-_KEPT_AT_EITHER_END:]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SKIPPED:
            self._skipped += 1
        elif not self._skipped:
            self._separate(tag)
            self._verbatim += tag == "pre"
            alt = dict(attrs).get("alt")
            if alt:
                self._add(f" {alt} ".replace("\n", " "), self.getpos()[0])

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            self._skipped = max(0, self._skipped - 1)
        elif not self._skipped:
            self._separate(tag)
            self._verbatim = max(0, self._verbatim - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if self._skipped:
            return
        first, *others = data.split("\n")
        number = self.getpos()[0]
        self._add(first, number)
        for below, text in enumerate(others, 1):
            self.end_line()
            self._add(text, number + below)

    def parse_marked_section(self, i: int, report: int = 1) -> int:  # noqa: ARG002
        """Skip ``<![...>``, a bogus comment in HTML; the inherited method raises."""
        end = self.rawdata.find(">", i)
        return end + 1 if end >= 0 else -1

    def _separate(self, tag: str) -> None:
        if tag in _CELLS:
            self._add(" ", self._number)
        elif tag in _LINES:
            self.end_line()
        elif tag in _PARAGRAPHS:
            self.end_line()
            self._border = True

    def _add(self, text: str, number: int) -> None:
        if not self._size:
            if not text.strip():
                # Indentation counts only in a verbatim line, and only if text follows it.
                if self._verbatim:
                    self._text = ["".join((*self._text, text))[-_MAX_LINE:]]
                return
            self._number = number
        self._text.append(text)
        self._size += len(text)
        if self._size > _MAX_LINE:
            self.end_line()
