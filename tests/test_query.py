"""The grammar of queries: the meaning of a line, errors, and the way back to a line."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import SAMPLE_DATA

from nmm.cli.console.hints import lines_of
from nmm.cli.options.queries import read_queries
from nmm.index.errors import UsageError
from nmm.index.search import query_syntax as q
from nmm.index.search.image_files import find_image
from nmm.index.search.keyword_query import keywords_of
from nmm.index.search.query import Query, Term, check_query
from nmm.index.search.query_syntax import format_terms

# As a command line reads and writes them, with these image files on disk.
parse = partial(q.parse, find_image=find_image)
parse_term = partial(q.parse_term, find_image=find_image)
join = partial(format_terms, find_image=find_image)

CAT = SAMPLE_DATA / "photos" / "chelsea.jpg"


@pytest.mark.parametrize(
    ("line", "terms"),
    [
        ("horse + stripes", [(1, "horse"), (1, "stripes")]),
        ("2*beach - people", [(2, "beach"), (-1, "people")]),
        ("a red car - 0.5*red + night sky", [(1, "a red car"), (-0.5, "red"), (1, "night sky")]),
        ("- people", [(-1, "people")]),
        ("+ people", [(1, "people")]),
        ("-2*people", [(-2, "people")]),
        ("a - -2*b", [(1, "a"), (2, "b")]),
        (".5*a + 1e-2*b + 3.*c", [(0.5, "a"), (0.01, "b"), (3, "c")]),
        ("0*a + b", [(0, "a"), (1, "b")]),
        ("a\t+\nb", [(1, "a"), (1, "b")]),
        ('"rock + roll" - crowd', [(1, "rock + roll"), (-1, "crowd")]),
        ("'rock + roll' - crowd", [(1, "rock + roll"), (-1, "crowd")]),
        ('2*"rock + roll"', [(2, "rock + roll")]),
        ('"cat"', [(1, "cat")]),
        ("'it's - so'", [(1, "it's - so")]),
        (r'"say \"hi\" - now"', [(1, 'say "hi" - now')]),
        (r'"a - \\"', [(1, "a - \\")]),
        (r'"C:\new - \\server\x" + y', [(1, r"C:\new - \\server\x"), (1, "y")]),
        ("'80s music - 'tis", [(1, "'80s music"), (-1, "'tis")]),
        ('screen 6" - phone', [(1, 'screen 6"'), (-1, "phone")]),
        ("inf*dog + nan*bread", [(1, "inf*dog"), (1, "nan*bread")]),
    ],
)
def test_a_line_is_a_sum_of_terms(line: str, terms: list[tuple[float, str]]) -> None:
    assert parse(line) == Query(tuple(Term(weight, text) for weight, text in terms), line)


@pytest.mark.parametrize(
    "line",
    [
        "t-shirt",
        "C++",
        "C++ and C#",
        "black-and-white",
        "2023-05-01",
        "jean-luc+photos@example.com",
        "+49 512 507",
        "-people",
        "1+1=2",
        "5* hotel",
        "2 * 3",
        "a – dash",
        "rock 'n' roll",
        "the book 'war and peace' by tolstoy",
        '"hello" she said',
        '"hello',
        "'tis the season",
        "~",
        "~nobody-of-this-name/cat.jpg is a path",
        "and/or",
        "1/2 cup",
        "IMG_1234.jpg",
        "https://example.com/page",
        "see https://example.com/cat.jpg",
        "://",
        "http://[cat.jpg",
        "a\0b.jpg",
        "x" * 10_000,
        "😀",
    ],
)
def test_a_line_without_signs_is_one_text(line: str) -> None:
    assert parse(line) == Query((Term(text=line),), line)


def test_white_space_around_a_query_is_ignored() -> None:
    assert parse("  a  cat \n") == Query((Term(text="a  cat"),), "  a  cat \n")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("", "The query is empty."),
        (" \n\t", "The query is empty."),
        ("-", "Nothing follows the - at character 1 of: -"),
        ("+ ", "Nothing follows the + at character 1 of: + "),
        ("horse +", "Nothing follows the + at character 7 of: horse +"),
        ("a + - b", "Nothing follows the + at character 3 of: a + - b"),
        ('""', 'The term at character 1 of the query is empty: ""'),
        ("a - 2*' '", "The term at character 5 of the query is empty: a - 2*' '"),
        ('"rock + roll', 'The quote at character 1 is not closed, of: "rock + roll'),
        (
            '"rock + roll" concert',
            'Text follows the quote that ends at character 13, of: "rock + roll" concert',
        ),
        ("a + 1e999*b", "The weight 1e999 at character 5 is too large."),
    ],
)
def test_syntax_errors_are_reported_with_their_position(line: str, what: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(line)
    assert raised.value.what == what
    assert raised.value.hint


# Images


def test_the_path_of_an_image_that_is_there_is_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CAT.parent)
    monkeypatch.setenv("HOME", str(CAT.parent))
    monkeypatch.setenv("USERPROFILE", str(CAT.parent))
    assert parse("chelsea.jpg").terms == (Term(image=Path("chelsea.jpg")),)
    assert parse("~/chelsea.jpg").terms == (Term(image=CAT),)
    assert parse(f"2*{CAT} - at night").terms == (Term(2, image=CAT), Term(-1, "at night"))
    assert parse(CAT.as_uri()).terms == (Term(image=CAT),)
    assert parse('"chelsea.jpg"').terms == (Term(text="chelsea.jpg"),)
    assert parse("chelsea.jpg in the sun").terms == (Term(text="chelsea.jpg in the sun"),)


def test_the_content_makes_an_image_where_the_name_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cat").write_bytes(CAT.read_bytes())
    Path("dog").write_text("a dog")
    Path("bird.jpg").mkdir()
    assert parse("cat - dog").terms == (Term(image=Path("cat")), Term(-1, "dog"))
    assert parse("bird.jpg").terms == (Term(text="bird.jpg"),)


def test_a_path_with_spaces_and_signs_is_an_image(tmp_path: Path) -> None:
    spaced, signed = tmp_path / "new york.jpg", tmp_path / "tom - jerry.jpg"
    for path in (spaced, signed):
        path.write_bytes(CAT.read_bytes())
    assert parse(f"{spaced} + night").terms == (Term(image=spaced), Term(text="night"))
    assert parse_term(str(signed)) == parse(str(signed)).terms[0] == Term(image=signed)
    terms = (Term(image=signed), Term(-2, image=spaced))
    assert parse(join(terms)).terms == terms


def test_the_path_of_a_missing_image_is_an_error() -> None:
    with pytest.raises(UsageError) as raised:
        parse("night + 2*photos/missing.jpg")
    assert lines_of(raised.value) == [
        "There is no image file photos/missing.jpg",
        "Check its spelling. If it is meant as words, quote it: "
        "nmm search '\"photos/missing.jpg\"'",
    ]
    assert parse('night + 2*"photos/missing.jpg"').terms[1] == Term(2, "photos/missing.jpg")


@pytest.mark.parametrize(
    "url", ["https://example.com/cat.jpg", "HTTP://example.com/a/b.PNG?w=3", "file://far/cat.jpg"]
)
def test_nothing_is_fetched(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(f"{url} - dog")
    assert str(raised.value) == (
        f"The image {url} is not on this machine.\n"
        "nmm does not download images.\n"
        "Download it first, and give the name of the file."
    )


@pytest.mark.skipif(os.name != "posix", reason="names are Unicode elsewhere")
def test_a_path_that_is_no_unicode_is_written_and_read_again(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 + cat.jpg"))
    try:
        path.write_bytes(CAT.read_bytes())
    except OSError:
        pytest.skip("this file system has no such names")
    query = Query((Term(image=path), Term(-1, "dog")))
    assert parse(format_terms(query.terms)).terms == query.terms
    assert parse(format_terms(query.terms)).terms[0].image == path


# One term


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("rock + roll", Term(text="rock + roll")),
        (" - ", Term(text="-")),
        ("0.5*rock - roll", Term(0.5, "rock - roll")),
        ("'2*rock'", Term(text="2*rock")),
        ('"rock" + "roll"', Term(text='"rock" + "roll"')),
    ],
)
def test_in_one_term_signs_are_characters(text: str, term: Term) -> None:
    assert parse_term(text) == term


@pytest.mark.parametrize("text", ["", " ", "''"])
def test_an_empty_term_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_term(text)


# Queries that a program builds


def test_words_are_those_of_positive_terms() -> None:
    query = parse(f"a cat - 2*dog + 0*bird + 'black + white' + {CAT}")
    assert query.words == 'a cat "black + white"'


def test_quoted_words_are_a_phrase() -> None:
    query = parse('"wet August" + "so \\"wet\\""')
    assert query.words == '"wet August" "so  wet "'
    assert keywords_of(query.words) == ("wet August", "so  wet ")
    assert format_terms(query.terms) == r'"wet August" + "so \"wet\""'


@pytest.mark.parametrize("weight", [math.inf, -math.inf, math.nan])
def test_a_weight_is_a_finite_number(weight: float) -> None:
    with pytest.raises(UsageError):
        check_query(Query((Term(weight, "cat"),)))


@pytest.mark.parametrize("terms", [(), (Term(),), (Term(text=" "), Term(2, "\n"))])
def test_a_query_of_nothing_is_refused(terms: tuple[Term, ...]) -> None:
    with pytest.raises(UsageError):
        check_query(Query(terms))


# A command line and standard input


class Trickle(io.RawIOBase):
    """A pipe that delivers a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._rest, self._size = data, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._rest[: min(self._size, len(buffer))]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)


def asked(
    monkeypatch: pytest.MonkeyPatch, *words: str, stdin: bytes = b"", size: int = 4096, **more: Any
) -> list[Query]:
    """A function that returns the queries of a command line."""
    reader = io.BufferedReader(Trickle(stdin, size))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(reader))
    given = {"images": [], "add": [], "minus": [], **more}
    queries, several = read_queries(words, **given)
    found = [query for batch in queries for query in batch]
    assert several or len(found) == 1
    return found


@pytest.mark.parametrize("words", [["a", "cat"], ["a/no.jpg", "cat"], [str(CAT), "cat"]])
def test_arguments_without_signs_are_one_text(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = " ".join(words)
    assert asked(monkeypatch, *words) == [Query((Term(text=line),), line)]


@pytest.mark.parametrize("size", [1, 6, 4096])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "GIF", "WEBP", "PPM", "TIFF", "ICO"])
def test_an_image_on_stdin_is_told_by_its_beginning(
    form: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", (10, 10)).save(data, form)
    if form == "PPM":
        size = max(size, 64)  # its first line alone could be a query
    (query,) = asked(monkeypatch, "-", stdin=data.getvalue(), size=size)
    assert query == Query((Term(image=data.getvalue()),), "-")


@pytest.mark.parametrize("size", [1, 3, 64, 4096])
@pytest.mark.parametrize(
    ("stdin", "lines"),
    [
        (b"", []),
        (b"\n \r\n", []),
        (b"cat", ["cat"]),
        (b"\xef\xbb\xbfcat\r\n\r\n dog \r\n", ["cat", "dog"]),
        (b"P6\n" + b"d" * 70 + b"\nlast", ["P6", "d" * 70, "last"]),
        ("é\U0001f600".encode() * 40, ["é\U0001f600" * 40]),
        (b"caf\xe9\n", ["caf?"]),
    ],
)
def test_lines_on_stdin_are_queries(
    stdin: bytes, lines: list[str], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = asked(monkeypatch, "-", stdin=stdin, size=size)
    assert found == [Query((Term(text=line),), line) for line in lines]


def test_options_are_terms_of_every_query(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"images": [CAT], "add": ["2*rock + roll", '"0.5*x"'], "minus": ["dog", str(CAT)]}
    terms = (
        Term(image=CAT),
        Term(2, "rock + roll"),
        Term(1, "0.5*x"),
        Term(-1, "dog"),
        Term(-1, image=CAT),
    )
    rest = f'{CAT} + 2*"rock + roll" + "0.5*x" - dog - {CAT}'
    first, second = asked(monkeypatch, "-", stdin=b"- a\nb\n", **more)
    assert first == Query((Term(-1, "a"), *terms), f"- a + {rest}")
    assert second == Query((Term(1, "b"), *terms), f"b + {rest}")
    assert asked(monkeypatch, **more) == [Query(terms, rest)]
    assert parse(rest).terms == terms


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege elsewhere")
def test_the_query_file_is_excluded_under_all_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("a")
    link.symlink_to(real)
    monkeypatch.chdir(tmp_path)
    (query,) = asked(monkeypatch, like=Path("link.txt"))
    assert query.terms == (Term(file=Path("link.txt")),)
    assert query.exclude == (str(link), str(real.resolve()))


@pytest.mark.parametrize(
    ("words", "more", "what"),
    [
        ([], {}, "The query is empty."),
        (["-"], {"images": [Path("-")]}, "Standard input can be read only once."),
        (["cat"], {"images": [Path("-")] * 2}, "Standard input can be read only once."),
        ([str(CAT)] * 3, {}, "3 images need + or - between them."),
        (["cat"], {"add": [" "]}, "The added or subtracted term is empty."),
        ([str(CAT), "+", "a/no.jpg"], {}, "There is no image file a/no.jpg"),
        (["cat"], {"minus": ["a/no.jpg"]}, "There is no image file a/no.jpg"),
    ],
)
def test_an_invalid_command_line_is_refused(
    words: list[str], more: dict[str, Any], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError) as raised:
        asked(monkeypatch, *words, **more)
    assert raised.value.what == what


# Any line, any terms

ALPHABET = st.sampled_from([*"ab 2.5*+-e\"'\\/~:.\n\t", "- ", " + ", ".jpg", "é", "😀"])
LINES = st.one_of(st.text(), st.lists(ALPHABET).map("".join))
TERMS = st.builds(
    Term,
    st.one_of(st.sampled_from([1.0, -1.0, 2.0]), st.floats(allow_nan=False, allow_infinity=False)),
    LINES.filter(lambda text: bool(text.strip())),
)


def refusal(read: Callable[[str], object], text: str) -> str | None:
    """Return the hint of the error that a text is refused with."""
    try:
        read(text)
    except UsageError as error:
        return error.hint
    return None


@given(LINES)
def test_a_line_is_refused_with_a_hint_or_a_query_that_can_be_written(line: str) -> None:
    hint = refusal(parse, line)
    if hint is None:
        query = parse(line)
        check_query(query)
        assert query.label == line
        assert parse(format_terms(query.terms)).terms == query.terms
    assert hint != ""


@given(st.lists(TERMS, min_size=1, max_size=4).map(tuple))
def test_a_written_query_is_read_unchanged(terms: tuple[Term, ...]) -> None:
    assert parse(join(terms)).terms == terms


@given(LINES)
def test_a_term_is_refused_with_a_hint_or_can_be_written(text: str) -> None:
    hint = refusal(parse_term, text)
    if hint is None:
        term = parse_term(text)
        assert parse(join((term,))).terms == (term,)
    assert hint != ""
