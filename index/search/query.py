r"""What is looked for: texts and images, each with a weight and a sign, that make one vector.

A program makes a :class:`Query` as it likes; a person writes one, and :func:`parse` reads it::

    query  = image | [ sign space ] term { space sign space term } ;
    sign   = "+" | "-" ;
    term   = [ weight ] ( quoted | image | text ) ;
    weight = number "*" ;                   (* a term follows at once: 5* hotel is a text *)
    number = [ "+" | "-" ] digits [ "." digits ] [ "e" [ "+" | "-" ] digits ] ;
    quoted = '"' characters '"' | "'" characters "'" ;
    image  = ? the path of an image file that is there, or its URL of the scheme file ? ;
    text   = ? anything else, up to the next sign between spaces, or the end ? ;

It is the manner of rclip: ``horse + stripes``, ``2*beach - people``, ``house.jpg + at night``.
A sign is one only as a word of its own, so that t-shirt, C++ and 2023-05-01 are texts as they
stand, and so is every query without signs, quotes or weights. What is in quotes is a text,
whatever is in it: ``"rock + roll" - crowd``. Quotes stand around a whole term, or are ordinary
characters: a closing one is followed by a space or the end. A backslash before the quote
makes it a character; before a quote, two backslashes are one; elsewhere they are what they are.
"""

from __future__ import annotations

import math
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path, PurePosixPath

from nmm.index.errors import UsageError

_SIGN = re.compile(r"(?:(?<=\s)|^)[+-](?=\s|\Z)")
_WEIGHT = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)\*(?=\S)", re.IGNORECASE)
_SPACE = re.compile(r"\s*")
_URL = re.compile(r"[a-z][a-z0-9+.-]+://\S+", re.IGNORECASE)
_QUOTES = ("'", '"')
# Of a query in an error, and of what a file name can have.
_SHOWN, _LONGEST_PATH = 80, 4096


class Mode(str, Enum):
    """What ranks files: their vectors, the words in them, or both."""

    HYBRID = "hybrid"
    SEMANTIC = "semantic"
    KEYWORD = "keyword"


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that is looked for, or away from: one of a text, an image and a file.

    Attributes:
        weight: How much it counts; below 0, what is like it is worse. Finite.
        text: In words; empty if it is none.
        image: A file of an image, or its bytes; None if it is none.
        file: A file with all that is in it, image or text; None if it is none. A text is
            then looked for as a document, by the mean of its passages.
        phrase: Whether the text was quoted, and its words are looked for as they follow each
            other. To its vector it makes no difference.
    """

    weight: float = 1.0
    text: str = ""
    image: Path | bytes | None = None
    file: Path | None = None
    phrase: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        """As :func:`parse` reads it, after its sign; bytes are shown as ``-``."""
        size = abs(self.weight)
        weight = "" if size == 1 else f"{repr(size).removesuffix('.0')}*"
        if self.file is not None:
            return weight + str(self.file)
        if isinstance(self.image, bytes):
            return weight + "-"
        meant = replace(self, weight=size)
        plain = self.text if self.image is None else str(self.image)
        with suppress(UsageError):
            # A quote at its beginning could be closed in the next term.
            is_plain = plain[:1] not in _QUOTES and not self.phrase
            if is_plain and _terms(weight + plain) == (meant,):
                return weight + plain
        if self.image is None:
            return weight + _quoted(self.text)
        return weight + self.image.absolute().as_uri()


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for.

    Attributes:
        terms: At least one.
        label: How it is called in results.
        without: Absolute paths of files that are no results.
    """

    terms: tuple[Term, ...]
    label: str = ""
    without: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The words that are looked for as such: those of texts that count for something.

        A phrase stands in double quotes, see :mod:`nmm.index.search.keyword_query`.
        """
        counted = [term for term in self.terms if term.text and term.weight > 0]
        return " ".join(
            '"{}"'.format(term.text.replace('"', " ")) if term.phrase else term.text
            for term in counted
        )

    def __str__(self) -> str:
        """As :func:`parse` reads it."""
        return join(self.terms)


def join(terms: tuple[Term, ...]) -> str:
    """Terms with their signs, as :func:`parse` reads them."""
    signs = ("- " if math.copysign(1, term.weight) < 0 else "+ " for term in terms)
    return " ".join(map("".join, zip(signs, map(str, terms), strict=True))).removeprefix("+ ")


def check(query: Query) -> None:
    """Refuse a query that looks for nothing.

    Raises:
        UsageError: It has no term but blank ones, or a weight that is no finite number.
    """
    if not any(term.text.strip() or term.image or term.file for term in query.terms):
        raise UsageError("The query is empty.", hint='Say what to look for: nmm search "a cat"')
    for term in query.terms:
        if not math.isfinite(term.weight):
            raise UsageError(f"The weight {term.weight} is not a finite number.")


def parse(text: str) -> Query:
    """The query that a line says; the grammar is the module's docstring.

    Raises:
        UsageError: It is empty, or not of the grammar: what is wrong is said with its place.
            Or a term is the path of an image file that is not there, or the URL of one.
    """
    with suppress(UsageError):  # which is said again, with its place
        if image := image_file(text.strip()):
            return Query((Term(image=image),), text)
    return Query(_terms(text), text)


def _terms(text: str) -> tuple[Term, ...]:
    terms: list[Term] = []
    at = _skip_space(text, 0)
    while at < len(text) or not terms:
        found = _SIGN.match(text, at)
        start = _skip_space(text, found.end()) if found else at
        if found and (start == len(text) or _SIGN.match(text, start)):
            raise UsageError(
                f"Nothing is looked for after the {found[0]} at character {found.start() + 1} "
                f"of: {_shown(text)}",
                hint=f"A + or - between spaces adds or takes away. {_quote_hint(text)}",
            )
        term, at = _read_term(text, start)
        if not (term.text.strip() or term.image):
            raise UsageError(
                "The query is empty."
                if not text.strip()
                else f"The term at character {start + 1} is empty, of: {_shown(text)}",
                hint='Say what to look for: nmm search "a cat"',
            )
        terms.append(replace(term, weight=-term.weight) if found and found[0] == "-" else term)
    return tuple(terms)


def parse_term(text: str) -> Term:
    """One term, in which signs are characters like any other.

    Raises:
        UsageError: As of :func:`parse`.
    """
    text = text.strip()
    weight, start = _read_weight(text, 0)
    closing = _closing_quote(text, start)
    if closing == len(text) - 1:
        term = Term(weight, _unquoted(text[start : closing + 1]), phrase=True)
    else:
        term = _plain(weight, text[start:])
    if not (term.text.strip() or term.image):
        raise UsageError(
            "There is nothing to look for in an empty text.", hint="Give --add a text or an image."
        )
    return term


def _read_term(text: str, start: int) -> tuple[Term, int]:
    """The term that begins at a place, and where the sign after it stands, or the end."""
    weight, start = _read_weight(text, start)
    closing = _closing_quote(text, start)
    if closing is not None:
        end = _skip_space(text, closing + 1)
        if end == len(text) or _SIGN.match(text, end):
            return Term(weight, _unquoted(text[start : closing + 1]), phrase=True), end
    # An apostrophe may begin a word and close nothing, a quotation mark does not.
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
        raise UsageError(
            f"{problem}, of: {_shown(text)}",
            why=f"So it is not clear what the {sign[0]} at character {sign.start() + 1} means.",
            hint="Put quotes around all that stands between two signs.",
        )
    return _plain(weight, text[start:end].rstrip()), end


def _read_weight(text: str, start: int) -> tuple[float, int]:
    """The weight that stands at a place, and where the rest of the term begins."""
    found = _WEIGHT.match(text, start)
    if found is None:
        return 1.0, start
    weight = float(found[1])
    if not math.isfinite(weight):
        raise UsageError(
            f"The weight {_shown(found[1])} at character {start + 1} is too large.",
            hint="Weights count beside each other: 2*beach - people",
        )
    return weight, found.end()


def _closing_quote(text: str, start: int) -> int | None:
    """Where the quote ends that begins at a place; None if none does, or it does not end."""
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


def _quoted(text: str) -> str:
    escaped = re.sub(r'(\\*)("|\Z)', lambda m: 2 * m[1] + ("\\" + m[2] if m[2] else ""), text)
    return f'"{escaped}"'


def _plain(weight: float, text: str) -> Term:
    """What is not in quotes: an image if it is the path of one, else a text."""
    image = image_file(text)
    return Term(weight, text) if image is None else Term(weight, image=image)


def image_file(text: str) -> Path | None:
    """The image file that a text names; None if it names none, and is a text.

    A name alone that no file has may be what is looked for in file names; with the folder
    that it is in, it is meant for a path.

    Raises:
        UsageError: It is the path of an image file that is not there, or the URL of one.
    """
    from nmm.index.media.registry import is_image, is_image_name

    if _URL.fullmatch(text):
        return _image_at(text)
    if not text or len(text) > _LONGEST_PATH:
        return None
    is_name = PurePosixPath(text.replace(os.sep, "/")).name == text
    has_suffix = is_image_name(Path(text))
    try:
        path = Path(text).expanduser()
        if path.is_file():
            return path if has_suffix or is_image(_head(path)) else None
    except (OSError, ValueError, RuntimeError):
        pass  # too long, not readable, with a NUL, of a user that is not there: no path
    if has_suffix and not is_name and not re.search(r"\s/|/\s|://", text):
        raise UsageError(
            f"There is no image file {_shown(text)}",
            hint=f"Is it spelled right? If it is meant as words, quote it: "
            f"nmm search '{_quoted(text)}'",
        )
    return None


def _image_at(url: str) -> Path | None:
    from urllib.parse import unquote_to_bytes, urlsplit
    from urllib.request import url2pathname

    from nmm.index.media.registry import is_image_name

    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if not is_image_name(Path(parts.path)) and parts.scheme != "file":
        return None  # an address may stand in a text that is looked for
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise UsageError(
            f"The image {_shown(url)} is not on this machine.",
            why="nmm fetches nothing.",
            hint="Download it first, and give the name of the file.",
        )
    if os.name == "nt":
        return Path(url2pathname(parts.path))
    return Path(os.fsdecode(unquote_to_bytes(parts.path)))


def _head(path: Path) -> bytes:
    from nmm.index.media.registry import SIGNATURE_BYTES

    with path.open("rb") as file:
        return file.read(SIGNATURE_BYTES)


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"


def _quote_hint(text: str) -> str:
    return f"As a character of a text, quote it: nmm search '{_quoted(_shown(text.strip()))}'"
