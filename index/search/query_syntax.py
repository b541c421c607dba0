r"""The syntax of queries as people write them.

A program builds a :class:`.Query` from terms. A person writes one, and :func:`parse` reads it::

    query  = image | [ sign space ] term { space sign space term } ;
    sign   = "+" | "-" ;
    term   = [ weight ] ( quoted | image | text ) ;
    weight = number "*" ;                   (* a term follows at once: 5* hotel is a text *)
    number = [ "+" | "-" ] digits [ "." digits ] [ "e" [ "+" | "-" ] digits ] ;
    quoted = '"' characters '"' | "'" characters "'" ;
    image  = ? the path of an existing image file, or its URL with the scheme file ? ;
    text   = ? anything else, up to the next sign between spaces, or the end ? ;

The syntax is that of rclip: ``horse + stripes``, ``2*beach - people``, ``house.jpg + at night``.
A + or - is a sign only if it is a separate word. So t-shirt, C++ and 2023-05-01 are texts, and so
is every query without signs, quotes or weights. Quotes make any term a text:
``"rock + roll" - crowd``. They surround a whole term, so a space or the end follows a closing
quote; elsewhere they are ordinary characters. A backslash escapes the quote, and before a quote
two backslashes mean one; elsewhere backslashes are ordinary characters.

Parsing does not read the disk. The caller passes a function that decides whether a text is the
path of an image file. The command line uses :func:`nmm.index.search.image_files.find_image`, which
looks for the file. By default, only URLs with the scheme file are images.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from nmm.index.errors import UsageError
from nmm.index.search.query import Query, Term, empty_query

_SIGN = re.compile(r"(?:(?<=\s)|^)[+-](?=\s|\Z)")
_WEIGHT = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)\*(?=\S)", re.IGNORECASE)
_SPACE = re.compile(r"\s*")
_URL = re.compile(r"[a-z][a-z0-9+.-]+://\S+", re.IGNORECASE)
_QUOTES = ("'", '"')
# Maximum number of characters of a query in an error.
_MAX_SHOWN = 80

ImageLookup = Callable[[str], Path | None]
"""Returns the image file that a text names, or None if it names none."""


def image_url(text: str) -> Path | None:
    """Return the image file that a text names by a URL with the scheme file, or None.

    Raises:
        UsageError: The text is the URL of an image elsewhere.
    """
    return _image_at(text) if is_url(text) else None


def is_url(text: str) -> bool:
    """Return whether a text is a URL and nothing else."""
    return bool(_URL.fullmatch(text))


def parse(text: str, find_image: ImageLookup = image_url) -> Query:
    """Parse a query; the module's docstring has the grammar.

    Args:
        text: The typed query.
        find_image: Returns the image file that a part of it names, see :data:`ImageLookup`.

    Raises:
        UsageError: It is empty or malformed; the error names the place. Or `find_image` refuses a
            term.
    """
    with suppress(UsageError):  # raised again below, with its position
        if image := find_image(text.strip()):
            return Query((Term(image=image),), text)
    return Query(_terms(text, find_image), text)


def parse_term(text: str, find_image: ImageLookup = image_url) -> Term:
    """Parse one term, in which signs are ordinary characters.

    Raises:
        UsageError: See :func:`parse`.
    """
    text = text.strip()
    weight, start = _read_weight(text, 0)
    closing = _closing_quote(text, start)
    if closing == len(text) - 1:
        term = Term(weight, _unquoted(text[start : closing + 1]), phrase=True)
    else:
        term = _plain(weight, text[start:], find_image)
    if not (term.text.strip() or term.image):
        raise UsageError(
            "The added or subtracted term is empty.",
            code="query-term-blank",
            hint="Give a text or an image.",
        )
    return term


def format_terms(terms: tuple[Term, ...], find_image: ImageLookup = image_url) -> str:
    """Return terms with their signs, as :func:`parse` reads them with the same lookup."""
    signs = ("- " if math.copysign(1, term.weight) < 0 else "+ " for term in terms)
    each = (format_term(term, find_image) for term in terms)
    return " ".join(map("".join, zip(signs, each, strict=True))).removeprefix("+ ")


def format_term(term: Term, find_image: ImageLookup = image_url) -> str:
    """Return a term without its sign, as :func:`parse` reads it with the same lookup.

    An image in memory is ``-``.
    """
    size = abs(term.weight)
    weight = "" if size == 1 else f"{repr(size).removesuffix('.0')}*"
    if term.file is not None:
        return weight + str(term.file)
    if isinstance(term.image, bytes):
        return weight + "-"
    meant = replace(term, weight=size)
    plain = term.text if term.image is None else str(term.image)
    with suppress(UsageError):
        # The next term could close a quote at the beginning of this one.
        is_plain = plain[:1] not in _QUOTES and not term.phrase
        if is_plain and _terms(weight + plain, find_image) == (meant,):
            return weight + plain
    if term.image is None:
        return weight + quoted(term.text)
    return weight + term.image.absolute().as_uri()


def quoted(text: str) -> str:
    """Return a text in quotes, as :func:`parse` reads it."""
    escaped = re.sub(r'(\\*)("|\Z)', lambda m: 2 * m[1] + ("\\" + m[2] if m[2] else ""), text)
    return f'"{escaped}"'


def shown(text: str) -> str:
    """Return a text for an error, shortened if it is long."""
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} …"


def _terms(text: str, find_image: ImageLookup) -> tuple[Term, ...]:
    terms: list[Term] = []
    at = _skip_space(text, 0)
    while at < len(text) or not terms:
        found = _SIGN.match(text, at)
        start = _skip_space(text, found.end()) if found else at
        if found and (start == len(text) or _SIGN.match(text, start)):
            sign, position, query = found[0], found.start() + 1, shown(text)
            raise UsageError(
                f"Nothing follows the {sign} at character {position} of: {query}",
                code="query-sign-without-term",
                hint="A + or - between spaces adds or subtracts.",
                sign=sign,
                position=position,
                query=query,
                quoted=quoted(shown(text.strip())),
            )
        term, at = _read_term(text, start, find_image)
        if not (term.text.strip() or term.image):
            if not text.strip():
                raise empty_query()
            position, query = start + 1, shown(text)
            raise UsageError(
                f"The term at character {position} of the query is empty: {query}",
                code="query-term-empty",
                hint="Give a text or an image.",
                position=position,
                query=query,
            )
        terms.append(replace(term, weight=-term.weight) if found and found[0] == "-" else term)
    return tuple(terms)


def _read_term(text: str, start: int, find_image: ImageLookup) -> tuple[Term, int]:
    """Return the term that begins at `start`, and the position of the next sign or the end."""
    weight, start = _read_weight(text, start)
    closing = _closing_quote(text, start)
    if closing is not None:
        end = _skip_space(text, closing + 1)
        if end == len(text) or _SIGN.match(text, end):
            return Term(weight, _unquoted(text[start : closing + 1]), phrase=True), end
    # An apostrophe may begin a word without closing; a quotation mark may not.
    elif text[start : start + 1] == "'":
        closing = start
    sign = _SIGN.search(text, start)
    end = sign.start() if sign else len(text)
    if sign and text[start] in _QUOTES and (closing is None or sign.start() < closing):
        problem = (
            f"The quote at character {start + 1} is not closed"
            if closing is None
            else f"Text follows the quote that ends at character {closing + 1}"
        )
        query = shown(text)
        raise UsageError(
            f"{problem}, of: {query}",
            code="query-quote-misplaced",
            why=f"So it is not clear what the {sign[0]} at character {sign.start() + 1} means.",
            hint="Put quotes around the whole text between two signs.",
            problem=problem,
            query=query,
        )
    return _plain(weight, text[start:end].rstrip(), find_image), end


def _read_weight(text: str, start: int) -> tuple[float, int]:
    """Return the weight at `start`, and where the rest of the term begins."""
    found = _WEIGHT.match(text, start)
    if found is None:
        return 1.0, start
    weight = float(found[1])
    if not math.isfinite(weight):
        number, position = shown(found[1]), start + 1
        raise UsageError(
            f"The weight {number} at character {position} is too large.",
            code="query-weight-too-large",
            hint="Weights are relative to each other, for example: 2*beach - people",
            number=number,
            position=position,
        )
    return weight, found.end()


def _closing_quote(text: str, start: int) -> int | None:
    """Return where the quote that begins at `start` ends; None if none begins or ends there."""
    quote = text[start : start + 1]
    if quote not in _QUOTES:
        return None
    for found in re.finditer(rf"(\\*){quote}(?=\s|\Z)", text[start + 1 :]):
        if len(found[1]) % 2 == 0:
            return start + found.end()
    return None


def _unquoted(quoted: str) -> str:
    quote = quoted[0]
    inner = re.sub(rf"(\\*){quote}", lambda m: m[1][: len(m[1]) // 2] + quote, quoted[1:])
    return inner[:-1]


def _plain(weight: float, text: str, find_image: ImageLookup) -> Term:
    """Return the term for a part without quotes: an image if it names one, else a text."""
    image = find_image(text)
    return Term(weight, text) if image is None else Term(weight, image=image)


def _image_at(url: str) -> Path | None:
    from urllib.parse import unquote_to_bytes, urlsplit
    from urllib.request import url2pathname

    from nmm.index.media.registry import is_image_name

    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if not is_image_name(Path(parts.path)) and parts.scheme != "file":
        return None  # a query may contain an address
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        name = shown(url)
        raise UsageError(
            f"The image {name} is not on this machine.",
            code="query-image-remote",
            why="nmm does not download images.",
            hint="Download it first, and give the name of the file.",
            name=name,
        )
    if os.name == "nt":
        return Path(url2pathname(parts.path))
    return Path(os.fsdecode(unquote_to_bytes(parts.path)))


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
