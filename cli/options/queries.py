"""What a command line and standard input look for, as queries."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from nmm.cli.console.text import valid
from nmm.index.errors import MediaError, UsageError
from nmm.index.media.registry import SIGNATURE_BYTES, is_image
from nmm.index.search.query import Query, Term, image_file, join, parse, parse_term

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader

STDIN = "-"
# Bytes of standard input that are read at once, if they are there.
BLOCK = 1 << 16
BOM = b"\xef\xbb\xbf"
# How an image begins whose first bytes may hold the end of a line, and no text does.
BINARY = re.compile(rb"[\x89\xff\0]|.*\0", re.DOTALL)


def read_queries(
    words: Sequence[str],
    images: Sequence[Path],
    add: Sequence[str],
    minus: Sequence[str],
    like: Path | None = None,
) -> tuple[Iterable[Sequence[Query]], bool]:
    """The queries, and whether they are several: lines of stdin, which are read as they come.

    They are in batches of those that have come, so that none waits for another to come.

    Args:
        words: The arguments, which make one query; - is stdin: lines, or one image.
        images: Files of images, added to every query; - is an image on stdin.
        add, minus: Texts or image files, added to every query or taken away.
        like: A file, added to every query, and left out of its results.

    Raises:
        UsageError: A query makes no sense; of lines of stdin, when one is met.
    """
    from_stdin = [str(image) for image in images].count(STDIN) + (list(words) == [STDIN])
    if from_stdin > 1:
        raise UsageError("Standard input can be read once only.", hint="Name a file instead.")
    more = [Term(file=like)] if like else []
    more += [_image(path) for path in images]
    more += [_valid(parse_term(text)) for text in add]
    more += [_negative(_valid(parse_term(text))) for text in minus]
    without = _names(like) if like else ()

    def combined(query: Query) -> Query:
        terms = (*map(_valid, query.terms), *more)
        return Query(terms, join(terms) if more else _label(query), without)

    if list(words) != [STDIN]:
        _refuse_images(words)
        line = " ".join(_word(word, len(words)) for word in words)
        return [[combined(parse(line) if line.strip() or not more else Query(()))]], False
    head = _head()
    if is_image(head):
        return [[combined(Query((Term(image=_image_on_stdin(head)),), STDIN))]], False
    return _parsed(_lines(head), combined), True


def _parsed(
    batches: Iterable[Sequence[str]], combined: Callable[[Query], Query]
) -> Iterator[list[Query]]:
    """The queries in batches of lines; those before one that makes no sense come first."""
    for lines in batches:
        queries = []
        try:
            for line in lines:
                queries.append(combined(parse(line)))  # noqa: PERF401
        except UsageError:
            if queries:
                yield queries
            raise
        yield queries


def _label(query: Query) -> str:
    """A query as it was typed; a path in it stays as it is, whatever it is made of."""
    label = query.label.strip()
    return label if any(term.image for term in query.terms) else valid(label)


def _refuse_images(words: Sequence[str]) -> None:
    """Refuse what a shell makes of *.jpg: several images without a sign are no text."""
    if len(words) > 1 and all(map(_image_file, words)):
        raise UsageError(
            f"{len(words)} images without a sign are no query.",
            hint=f"Add them up, as in: nmm search {words[0]} + {words[1]}",
        )


def _word(word: str, count: int) -> str:
    """An argument as it stands in a query: a path with signs in it is not to fall apart."""
    image = _image_file(word) if count > 1 and re.search(r"\s[+-]\s", word) else None
    return str(Term(image=image)) if image else word


def _image_file(word: str) -> Path | None:
    with suppress(UsageError):  # which is said of the whole query, if it is meant
        return image_file(word)
    return None


def _image(path: Path) -> Term:
    if str(path) == STDIN:
        return Term(image=_image_on_stdin(b""))
    with suppress(RuntimeError):  # a user that is not there
        path = path.expanduser()
    return Term(image=path)


def _negative(term: Term) -> Term:
    return replace(term, weight=-term.weight)


def _valid(term: Term) -> Term:
    return replace(term, text=valid(term.text))


def _names(file: Path) -> tuple[str, ...]:
    """The absolute paths that an index may know a file by."""
    return tuple(dict.fromkeys((os.path.abspath(file), os.path.realpath(file))))  # noqa: PTH100


def _head() -> bytes:
    """The beginning of stdin: as much as tells an image, or whole lines that are none."""
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
        raise UsageError(
            f"The image on standard input cannot be looked for: {error.what}"
        ) from error


def _lines(head: bytes) -> Iterator[list[str]]:
    """The lines of stdin that are not blank, in UTF-8, in batches of those that have come."""
    stdin = cast("BufferedReader", sys.stdin.buffer)
    block, rest = head.removeprefix(BOM), bytearray()
    while True:
        first, *others = block.split(b"\n")
        rest += first
        if others:
            yield _texts([bytes(rest), *others[:-1]])
            rest = bytearray(others[-1])
        block = stdin.read1(BLOCK)
        if not block:
            break
    if last := _texts([bytes(rest)]):
        yield last


def _texts(lines: Iterable[bytes]) -> list[str]:
    return [line.decode("utf-8", "surrogateescape").strip() for line in lines if line.strip()]
