"""Detect the encoding of a text file, and read its lines in constant memory.

Unicode is recognised by its byte order mark, by being valid UTF-8, or by the positions of the NUL
bytes of UTF-16 and UTF-32. Other encodings are guessed by charset-normalizer from the letter
frequencies of a sample, unless a line declares one. A guess needs a paragraph: with fewer than
about 60 letters outside ASCII, one single-byte alphabet may be taken for another. Between similar
encodings rare letters are wrong: Hungarian in ISO 8859-2 is read as cp1252. Not recognised are Mac
Cyrillic, cp855, cp1258, Johab, EUC-TW, UTF-7, EBCDIC, and UTF-16 without a mark and almost without
ASCII. Fewer than about 50 random bytes may be taken for text.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.errors import NotMediaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_BLOCK_SIZE = 1 << 18  # bytes read at a time
_HEAD_SIZE = 1 << 16  # bytes in which binary content is recognised
_SAMPLE_SIZE = 1 << 14  # bytes or characters that a guess is based on
_MAX_PIECE = 1 << 16  # the most characters of a line that are yielded at once

# Formats whose first kilobytes may look like text. Others have an early NUL byte.
_BINARY = re.compile(
    rb"%PDF-|\x1f\x8b\x08|BZh[1-9]1AY&SY|\xfd7zXZ|\x28\xb5\x2f\xfd|bplist\d\d|!<arch>\n"
)
# Tab, line ends, form feed, backspace (overstrike), escape (colours), ^Z (end of a DOS file).
_TEXT_CONTROLS = b"\t\n\r\f\b\x1b\x1a"
_CONTROLS = bytes(set(range(0x20)) - set(_TEXT_CONTROLS) | {0x7F})

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_UNMARKED = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")

# If several encodings fit the sample equally well, the first is taken: the more common one, and ISO
# 8859-2 before cp1250, because text in cp1250 nearly always has a byte that ISO 8859-2 lacks.
_LEGACY = (
    *("cp1252", "cp932", "euc_jp", "gb18030", "big5", "cp949", "cp1251", "koi8_r", "koi8_u"),
    *("cp866", "iso8859_2", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256", "cp874"),
    *("iso8859_5", "iso8859_6", "mac_roman", "cp850"),
)

_DECLARED = re.compile(rb"(?i)(?:charset|coding) *[:=]")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
# ECMA-48: control sequences, control strings, other escapes; then overstrike as `man` prints it.
_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)"
    r"|\x1b[ -/]*[0-~]"
    r"|[^\n]\x08"
)


class Line(NamedTuple):
    """A line of a file, or a piece of one that is very long.

    Attributes:
        number: Counted from 1, as `sed -n` and editors do.
        text: Without the line end.
    """

    number: int
    text: str


def may_be_text(head: bytes, *, is_whole: bool) -> bool:
    """Return False only if :func:`detect_encoding` is sure to refuse a file that begins so.

    Args:
        head: The beginning of the file.
        is_whole: It is the whole file.
    """
    if _BINARY.match(head):
        return False
    if any(head.startswith(mark) for mark in _MARKS):
        return True
    if b"\0" not in head:
        return not is_whole or _controls(head) * 10 <= len(head)
    if not is_whole:
        return any(_may_be_wide(head, encoding) for encoding in _UNMARKED)
    try:
        _unmarked_wide(head)
    except NotMediaError:
        return False
    return True


def detect_encoding(file: BinaryIO) -> str:
    """Name the encoding of the text in a seekable binary file.

    Reads the whole file once if it is UTF-8. A file that is UTF-8 but for a few broken
    bytes is still UTF-8.

    Returns:
        The name of a Python codec, for :func:`read_lines`.

    Raises:
        NotMediaError: The content is binary, or there is nothing but white space in it.
    """
    file.seek(0)
    head = file.read(_HEAD_SIZE)
    if _BINARY.match(head):
        raise NotMediaError("binary content", code="content-binary")
    if encoding := next((_MARKS[mark] for mark in _MARKS if head.startswith(mark)), ""):
        if not _is_readable(head[:_SAMPLE_SIZE].decode(encoding, "replace")):
            raise NotMediaError("binary content", code="content-binary")
    elif b"\0" in head:
        encoding = _unmarked_wide(head)
    else:
        encoding = _utf8_or_legacy(file, head)
    if not any(line.text.strip() for line in read_lines(file, encoding)):
        raise NotMediaError("no text in it", code="text-empty")
    return encoding


def read_lines(file: BinaryIO, encoding: str) -> Iterator[Line]:
    r"""Yield the lines of a seekable binary file, in constant memory.

    Lines end in ``\n`` or ``\r\n``; in ``\r`` where the file's beginning has that alone.
    A form feed or U+2028 ends no line. A line of more than 65,536 characters comes in
    pieces of the same number, cut after white space where possible. Terminal escape
    sequences are dropped, other control characters but tab become spaces, and bytes that
    the encoding does not know become U+FFFD.
    """
    number, rest = 1, ""
    for text in _decoded(file, encoding):
        lines, newline, rest = (rest + text).rpartition("\n")
        if newline:
            for line in _without_controls(lines).split("\n"):
                if len(line) <= _MAX_PIECE:
                    yield Line(number, line)
                else:
                    yield from (Line(number, piece) for piece in _pieces(line))
                number += 1
        *pieces, rest = _pieces(rest)
        yield from (Line(number, _without_controls(piece)) for piece in pieces)
    if rest:
        yield Line(number, _without_controls(rest))


def _decoded(file: BinaryIO, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    file.seek(0)
    only_returns = None
    while block := file.read(_BLOCK_SIZE):
        text = decoder.decode(block)
        if only_returns is None:
            # A return at the very end may be half of a line end.
            only_returns = "\n" not in text and "\r" in text[:-1]
        yield text.replace("\r", "\n") if only_returns else text
    yield decoder.decode(b"", final=True)


def _pieces(text: str) -> Iterator[str]:
    """Cut a long line; the last piece is never empty unless the line is."""
    while len(text) > _MAX_PIECE:
        space = max(text.rfind(white, _MAX_PIECE // 2, _MAX_PIECE) for white in " \t")
        cut = space + 1 or _MAX_PIECE
        yield text[:cut]
        text = text[cut:]
    yield text


def _without_controls(text: str) -> str:
    text = text.replace("\r\n", "\n").removesuffix("\r")
    if not _CONTROL.search(text):
        return text
    return _CONTROL.sub(" ", _ESCAPE.sub("", text))


def _unmarked_wide(head: bytes) -> str:
    """Name the UTF-16 or UTF-32 that a head with NUL bytes is in."""
    for encoding in _UNMARKED if len(head) % 2 == 0 else ():
        text = head[:_SAMPLE_SIZE].decode(encoding, "replace")
        # In the wrong byte order ASCII reads as ideographs; so do tables of small numbers.
        if _is_readable(text) and sum(map(str.isascii, text)) * 100 >= len(text):
            return encoding
    raise NotMediaError("binary content", code="content-binary")


def _may_be_wide(head: bytes, encoding: str) -> bool:
    """Return whether a longer sample that begins with `head` may be readable."""
    return _count_unreadable(head.decode(encoding, "replace")) * 100 <= _SAMPLE_SIZE // 2


def _is_readable(text: str) -> bool:
    return _count_unreadable(text) * 100 <= len(text)


def _count_unreadable(text: str) -> int:
    """Count the characters that no text has."""
    return sum(
        char == "\ufffd" or unicodedata.category(char) in {"Cc", "Cn", "Co"}
        for char in text
        if char not in "\t\n\r\f\x1b"
    )


def _utf8_or_legacy(file: BinaryIO, head: bytes) -> str:
    if _controls(head) * 10 > len(head):
        raise NotMediaError("binary content", code="content-binary")
    utf8 = "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"
    broken = _broken_block(file)
    if broken is None:
        return _iso2022(head) or utf8
    text = broken.decode("utf-8", "replace")
    faults = text.count("\ufffd")
    # Sequences of several bytes are hardly ever well formed by chance.
    if faults * 2 <= len(broken) - len(text):
        return utf8
    if _controls(broken) * 100 > len(broken):
        raise NotMediaError("binary content", code="content-binary")
    if legacy := _guess_legacy(broken):
        return legacy
    # What is mostly ASCII can be found by that part of it.
    if faults * 4 > len(broken):
        raise NotMediaError("binary content", code="content-binary")
    return utf8


def _controls(data: bytes) -> int:
    return len(data) - len(data.translate(None, _CONTROLS))


def _broken_block(file: BinaryIO) -> bytes | None:
    """Return the first block that is not UTF-8, in whole words, or None."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    try:
        while block := file.read(_BLOCK_SIZE):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        begin = max(0, file.tell() - _BLOCK_SIZE)
        file.seek(begin)
        block = file.read(_BLOCK_SIZE)
        return block if begin == 0 and len(block) < _BLOCK_SIZE else _whole_words(block)
    return None


def _whole_words(block: bytes) -> bytes:
    """Trim a block to bytes below 0x30, which are part of no longer sequence in any encoding."""
    match = re.search(rb"[\0-/].*[\0-/]", block, re.DOTALL)
    return match[0] if match else block


def _guess_legacy(block: bytes) -> str | None:
    """Guess the encoding of text that is not Unicode; None if it looks like none."""
    from charset_normalizer import from_bytes

    # ASCII lines say nothing, unless they declare the encoding.
    lines = [line for line in block.splitlines() if not line.isascii() or _DECLARED.search(line)]
    sample = b"\n".join(lines)
    if len(sample) > _SAMPLE_SIZE:
        sample = _whole_words(sample[:_SAMPLE_SIZE])
    matches = from_bytes(sample, cp_isolation=list(_LEGACY))
    # Differences smaller than these are noise in a paragraph.
    best = min(
        matches,
        key=lambda match: (
            round(match.chaos, 2),
            -round(match.coherence * 20),
            _LEGACY.index(match.encoding),
        ),
        default=None,
    )
    return best.encoding if best else None


def _iso2022(head: bytes) -> str | None:
    """Recognise the 7-bit encoding of Japanese mail, which is valid UTF-8 too."""
    if b"\x1b$" not in head:
        return None
    try:
        codecs.getincrementaldecoder("iso2022_jp")().decode(head)
    except UnicodeDecodeError:
        return None
    return "iso2022_jp"
