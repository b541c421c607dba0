"""HTML becomes lines of text with the line numbers of the source."""

from __future__ import annotations

import random
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from nmm.index.media.text.decode import Line
from nmm.index.media.text.html import html_lines, looks_like_html

if TYPE_CHECKING:
    from collections.abc import Iterator


def source_lines(markup: str) -> list[Line]:
    return [Line(number, text) for number, text in enumerate(markup.split("\n"), 1)]


def read(markup: str) -> list[tuple[int, str]]:
    return [(line.number, line.text) for line in html_lines(source_lines(markup))]


@pytest.mark.parametrize(
    ("head", "suffix", "expected"),
    [
        ("", ".HTML", True),
        ("", ".htm", True),
        ("", ".xhtml", True),
        ("<!DOCTYPE html>\n", "", True),
        ('\n<?xml version="1.0"?>\n<!-- a > b -->\n<html lang="en">', ".xml", True),
        ("\ufeff<html>", ".txt", True),
        ("<!doctype article>", ".sgml", False),
        ("<htmlish>", "", False),
        ("The <html> element", ".txt", False),
        ("<svg xmlns='http://www.w3.org/2000/svg'>", ".svg", False),
    ],
)
def test_a_document_is_known_by_its_suffix_or_beginning(
    head: str, suffix: str, expected: bool
) -> None:
    assert looks_like_html(head, suffix) is expected


def test_text_stands_on_the_lines_of_the_source() -> None:
    markup = """<!DOCTYPE html>
<html>
<head><title>Bees
and boats</title>
<script>if (a < b) { document.write("<p>no</p>"); }</script>
<style>p > a { color: red }</style>
</head>
<body>
<h1>Boats</h1>
<p>A boat on
a <em>lake</em>.</p>
</body></html>"""

    assert read(markup) == [
        (3, "Bees"),
        (4, "and boats"),
        (9, ""),
        (9, "Boats"),
        (10, ""),
        (10, "A boat on"),
        (11, "a lake."),
    ]


@pytest.mark.parametrize(
    ("markup", "lines"),
    [
        ("<p>one<p>two", ["one", "", "two"]),
        ("<div>one</div>two", ["one", "", "two"]),
        ("un<b>believ</b>able", ["unbelievable"]),
        ("one<br>two<br/>three", ["one", "two", "three"]),
        ("<ul><li>one<li>two</ul>after", ["one", "two", "", "after"]),
        ("<table><tr><td>a<td>b<tr><th>c</th><th>d</th></table>", ["a b", "c d"]),
        ("caf&eacute; &lt;b&gt; &#8364; &nosuch; AT&T", ["café <b> € &nosuch; AT&T"]),
        ("see <img src=x alt='a cat\non a mat'> there", ["see a cat on a mat there"]),
        ("<img src=x alt>", []),
        ("<pre>  a\n\n    b  </pre>", ["  a", "    b"]),
        ("  many \t  spaces  ", ["many spaces"]),
        ("a<!-- <p>no</p> -->b", ["ab"]),
        ("a<template><p>no</p></template><noscript>no</noscript>b", ["ab"]),
        ("<title>kept</title><p>text", ["kept", "", "text"]),
    ],
)
def test_elements_are_shown_as_a_browser_does(markup: str, lines: list[str]) -> None:
    assert [text for _, text in read(markup)] == lines


@pytest.mark.parametrize(
    ("markup", "lines"),
    [
        ("a <![if !x]>b<![endif]> c", ["a b c"]),
        ("a <![foo bar> b", ["a b"]),
        ("</p></script></pre>text", ["text"]),
        ("1 < 2 & 3 > 2", ["1 < 2 & 3 > 2"]),
        ("<p>text<script>never closed", ["text"]),
        ("<p title='a' title=b class>text</i></b>", ["text"]),
        ("&#xD800;&#99999999999;x", ["\ufffd\ufffdx"]),
    ],
)
def test_broken_markup_is_read_as_it_can_be(markup: str, lines: list[str]) -> None:
    assert [text for _, text in read(markup)] == lines


MARKUP = """< </ > <! <![ <!-- --> <? script p a= ' " & &# x41; td <p> </p> CDATA[ ]]> title / é
<![endif]> &#xD800; <!doctype [ ] <pre> <template>"""


def test_no_markup_raises() -> None:
    source, parts = random.Random(0), [*MARKUP.split(), " ", "\n"]
    for _ in range(5_000):
        markup = "".join(source.choices(parts, k=source.randrange(1, 30)))
        numbers = [number for number, _ in read(markup)]
        assert numbers == sorted(numbers), markup
        assert set(numbers) <= set(range(1, markup.count("\n") + 2)), markup


def test_pieces_of_a_long_line_are_put_together() -> None:
    pieces = [Line(7, "<p>be"), Line(7, "fore</"), Line(7, "p><p>after</p>"), Line(9, "last")]

    assert list(html_lines(pieces)) == [
        Line(7, "before"),
        Line(7, ""),
        Line(7, "after"),
        Line(9, ""),
        Line(9, "last"),
    ]


def test_numbers_hold_after_a_script_too_long_to_keep() -> None:
    script = "<script>\n" + "if (a > b) { f('<p>'); }\n" * 40_000 + "</script>\n<p>after</p>"

    assert read(script) == [(40_003, "after")]


def test_a_picture_inlined_in_an_attribute_is_no_text() -> None:
    picture = "QUJDREVG" * 250_000
    pieces = [picture[at : at + 65_536] for at in range(0, len(picture), 65_536)]
    lines = [Line(1, "<p>before <img src='data:image/png;base64,")]
    lines += [Line(1, piece) for piece in pieces]
    lines += [Line(1, "' alt='a bee'> after</p>")]

    assert list(html_lines(lines)) == [Line(1, "before a bee after")]


@pytest.mark.parametrize("opening", ["", "<script>", "<!--", "<img alt='", "<title>"])
def test_memory_does_not_grow_with_the_document(opening: str) -> None:
    def lines() -> Iterator[Line]:
        yield Line(1, opening)
        for number in range(2, 20_000):
            yield Line(number, "plain text of a hundred letters " * 3)

    tracemalloc.start()
    try:
        for _ in html_lines(lines()):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 3_000_000


@pytest.mark.parametrize("part", ["<a ", "<!--", "</a ", "<!", "<?", "<a b='", "&", "<![", "<"])
def test_unterminated_markup_takes_no_quadratic_time(part: str) -> None:
    repeated = part * (60_000 // len(part))
    began = time.process_time()

    for _ in html_lines([Line(number, repeated) for number in range(1, 21)]):
        pass

    # About 0.2 s; without the limit, the parser takes minutes for the worst of them.
    assert time.process_time() - began < 10


def test_many_comments_before_the_beginning_take_no_time() -> None:
    """A pattern that can end a comment in two places would take 2^200 steps here."""
    assert looks_like_html("<!-- a -->" * 200 + "<html>", ".txt")
    assert not looks_like_html("<!-- a -->" * 200 + "no markup", ".md")


def test_a_file_of_nothing_but_cells_and_blanks_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        lines = (Line(number, "<td> </td>" * 100) for number in range(1, 5000))
        assert list(html_lines(lines)) == []
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
