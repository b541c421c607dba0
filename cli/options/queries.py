"""Queries from the command line and from standard input."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from nmm.cli.console.text import valid
from nmm.index.errors import MediaError, UsageError
from nmm.index.media.registry import SIGNATURE_BYTES, is_image
from nmm.index.search.image_files import find_image
from nmm.index.search.query import Query, Term
from nmm.index.search.query_syntax import (
    format_term,
    format_terms,
    parse,
    parse_term,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader

    from nmm.index.search.request import SearchRequest

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")
STDIN = "-"
# Maximum number of bytes of standard input that are read at once.
BLOCK_BYTES = 1 << 16
BOM = b"\xef\xbb\xbf"
# The beginning of an image, which may contain a line break, but not of a text.
BINARY = re.compile(rb"[\x89\xff\0]|.*\0", re.DOTALL)


def read_queries(
    words: Sequence[str],
    images: Sequence[Path],
    add: Sequence[str],
    minus: Sequence[str],
    like: Path | None = None,
) -> tuple[Iterable[Sequence[Query]], bool]:
    """Return the queries, and whether there may be several: the lines of stdin.

    Lines are read as they arrive. A batch has all lines that have arrived, so that none waits for
    another.

    Args:
        words: The arguments, which make one query. A single - reads stdin: lines, or one image.
        images: Image files, added to every query; - is an image on stdin.
        add, minus: Texts or image files, added to every query or subtracted from it.
        like: A file, added to every query and excluded from its results.

    Raises:
        UsageError: A query is invalid. For a line of stdin, the error is raised when it is reached.
    """
    from_stdin = [str(image) for image in images].count(STDIN) + (list(words) == [STDIN])
    if from_stdin > 1:
        raise UsageError("Standard input can be read only once.", hint="Name a file instead.")
    more = [Term(file=like)] if like else []
    more += [_image(path) for path in images]
    more += [_valid(parse_term(text, find_image)) for text in add]
    more += [_negative(_valid(parse_term(text, find_image))) for text in minus]
    without = _names(like) if like else ()

    def combined(query: Query) -> Query:
        terms = (*map(_valid, query.terms), *more)
        return Query(terms, format_terms(terms, find_image) if more else _label(query), without)

    if list(words) != [STDIN]:
        _refuse_images(words)
        line = " ".join(_word(word, len(words)) for word in words)
        return [
            [combined(parse(line, find_image) if line.strip() or not more else Query(()))]
        ], False
    head = _head()
    if is_image(head):
        return [[combined(Query((Term(image=_image_on_stdin(head)),), STDIN))]], False
    return _convert(_lines(head), lambda line: combined(parse(line, find_image))), True


def requests_from(
    batches: Iterable[Sequence[Query]], request: Callable[[Query], SearchRequest]
) -> Iterator[list[SearchRequest]]:
    """Yield the requests for batches of queries; those before a refused one come first.

    Args:
        batches: The queries.
        request: Returns the request for a query.

    Raises:
        UsageError: From `request`.
    """
    return _convert(batches, request)


def _convert(
    batches: Iterable[Sequence[_Item]], make: Callable[[_Item], _Made]
) -> Iterator[list[_Made]]:
    """Yield batches converted by `make`; items before a refused one come first."""
    for batch in batches:
        made = []
        try:
            for item in batch:
                made.append(make(item))  # noqa: PERF401 - items before an error are kept
        except UsageError:
            if made:
                yield made
            raise
        yield made


def _label(query: Query) -> str:
    """Return a query as it was typed. A path in it may have bytes that are not UTF-8."""
    label = query.label.strip()
    return label if any(term.image for term in query.terms) else valid(label)


def _refuse_images(words: Sequence[str]) -> None:
    """Refuse several images without signs: a shell expands *.jpg to them."""
    if len(words) > 1 and all(map(_image_file, words)):
        raise UsageError(
            f"{len(words)} images need + or - between them.",
            hint=f"Add them up, as in: nmm search {words[0]} + {words[1]}",
        )


def _word(word: str, count: int) -> str:
    """Return an argument as part of a query; a path that contains signs is kept whole."""
    image = _image_file(word) if count > 1 and re.search(r"\s[+-]\s", word) else None
    return format_term(Term(image=image), find_image) if image else word


def _image_file(word: str) -> Path | None:
    with suppress(UsageError):  # raised again when the whole query is parsed
        return find_image(word)
    return None


def _image(path: Path) -> Term:
    if str(path) == STDIN:
        return Term(image=_image_on_stdin(b""))
    with suppress(RuntimeError):  # the home folder of an unknown user
        path = path.expanduser()
    return Term(image=path)


def _negative(term: Term) -> Term:
    return replace(term, weight=-term.weight)


def _valid(term: Term) -> Term:
    return replace(term, text=valid(term.text))


def _names(file: Path) -> tuple[str, ...]:
    """Return the absolute paths under which an index may know a file."""
    return tuple(dict.fromkeys((os.path.abspath(file), os.path.realpath(file))))  # noqa: PTH100


def _head() -> bytes:
    """Return the beginning of stdin: enough to recognise an image, or whole lines of text."""
    stdin = cast("BufferedReader", sys.stdin.buffer)
    head = b""
    while len(head) < SIGNATURE_BYTES and (b"\n" not in head or BINARY.match(head)):
        block = stdin.read1(SIGNATURE_BYTES - len(head))
        if not block:
            break
        head += block
    return head


def _image_on_stdin(head: bytes) -> bytes:
    from nmm.index.media.image.files import read_image_stream

    try:
        return read_image_stream(sys.stdin.buffer, head)
    except MediaError as error:
        raise UsageError(f"The image on standard input cannot be read: {error.what}") from error


def _lines(head: bytes) -> Iterator[list[str]]:
    """Yield the lines of stdin that are not blank, in batches as they arrive."""
    stdin = cast("BufferedReader", sys.stdin.buffer)
    block, rest = head.removeprefix(BOM), bytearray()
    while True:
        first, *others = block.split(b"\n")
        rest += first
        if others:
            yield _texts([bytes(rest), *others[:-1]])
            rest = bytearray(others[-1])
        block = stdin.read1(BLOCK_BYTES)
        if not block:
            break
    if last := _texts([bytes(rest)]):
        yield last


def _texts(lines: Iterable[bytes]) -> list[str]:
    return [line.decode("utf-8", "surrogateescape").strip() for line in lines if line.strip()]
