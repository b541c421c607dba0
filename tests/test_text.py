"""Decoding texts: the encoding, line ends, and dropped characters."""

from __future__ import annotations

import gzip
import io
import py_compile
import random
import sqlite3
import struct
import tracemalloc
import zipfile
from typing import TYPE_CHECKING

import pytest

from nmm.index.errors import NotMediaError
from nmm.index.media.text.decode import Line, detect_encoding, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FRENCH = (
    "Le café était fermé à midi ; les élèves ont déjeuné près du château, où l'été "
    "s'achevait. Ça sentait la forêt et le pain grillé. On a reçu des nouvelles de Noël."
)
CZECH = (
    "Příliš žluťoučký kůň úpěl ďábelské ódy. Všichni lidé rodí se svobodní a sobě rovní "
    "co do důstojnosti a práv. Jsou nadáni rozumem a svědomím a mají spolu jednat."
)
RUSSIAN = (
    "Все люди рождаются свободными и равными в своём достоинстве и правах. Они наделены "
    "разумом и совестью и должны поступать в отношении друг друга в духе братства."
)
GREEK = (
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. "
    "Είναι προικισμένοι με λογική και συνείδηση, και οφείλουν να συμπεριφέρονται."
)
TURKISH = (
    "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana "
    "sahiptirler ve birbirlerine karşı kardeşlik zihniyeti ile hareket etmelidirler."
)
HEBREW = (
    "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון, "
    "לפיכך חובה עליהם לנהוג איש ברעהו ברוח של אחווה."
)
JAPANESE = (
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。\n"
    "人間は、理性と良心とを授けられており、互いに同胞の精神をもって行動しなければならない。\n"
)
CHINESE = (
    "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。\n"
    "今天天气很好,我们去公园散步,看到了很多花和小动物。\n"
)
TAIWANESE = (
    "人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心,並應以兄弟關係的精神相對待。\n"
    "今天天氣很好,我們去公園散步,看到了很多花和小動物。\n"
)
KOREAN = (
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 "
    "이성과 양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다."
)


def lines_of(data: bytes) -> list[Line]:
    file = io.BytesIO(data)
    return list(read_lines(file, detect_encoding(file)))


def text_of(data: bytes) -> str:
    return "\n".join(line.text for line in lines_of(data))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *((FRENCH, name) for name in ("cp1252", "latin-1", "iso8859-15", "mac-roman", "cp850")),
        *((CZECH, name) for name in ("cp1250", "iso8859-2")),
        *((RUSSIAN, name) for name in ("koi8-r", "cp1251", "cp866", "iso8859-5")),
        *((GREEK, name) for name in ("cp1253", "iso8859-7")),
        *((TURKISH, name) for name in ("cp1254", "iso8859-9")),
        (HEBREW, "cp1255"),
        *((JAPANESE, name) for name in ("shift-jis", "euc-jp", "iso2022-jp", "utf-16-le")),
        *((CHINESE, name) for name in ("gb18030", "gbk", "utf-16-be")),
        (TAIWANESE, "big5"),
        *((KOREAN, name) for name in ("euc-kr", "cp949")),
        *((RUSSIAN, name) for name in ("utf-8", "utf-8-sig", "utf-16", "utf-32")),
        *((FRENCH, name) for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")),
    ],
)
def test_a_paragraph_is_read_in_its_encoding(text: str, encoding: str) -> None:
    assert text_of(text.encode(encoding)) == text.rstrip("\n")


@pytest.mark.parametrize("text", [RUSSIAN, JAPANESE])
@pytest.mark.parametrize("bom", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_no_text(text: str, bom: str) -> None:
    assert not text_of(text.encode(bom)).startswith("\ufeff")


@pytest.mark.parametrize(
    ("declaration", "encoding"),
    [
        ("# -*- coding: koi8-r -*-", "koi8-r"),
        ('<meta charset="windows-1251">', "cp1251"),
        ('<?xml version="1.0" encoding="windows-1255"?>', "cp1255"),
    ],
)
def test_a_declared_encoding_needs_no_paragraph(declaration: str, encoding: str) -> None:
    word = "שלום" if encoding == "cp1255" else "Привет"

    assert text_of(f"{declaration}\n{word}\n".encode(encoding)) == f"{declaration}\n{word}"


def test_a_legacy_comment_deep_in_ascii_code_is_read() -> None:
    code = b"int answer = 42; /* plain */\n" * 40_000
    data = code + f"/* {RUSSIAN} */\n".encode("koi8-r") + code

    assert lines_of(data)[40_000] == Line(40_001, f"/* {RUSSIAN} */")


def test_a_legacy_file_without_line_ends_is_cut_between_its_characters() -> None:
    data = ("x" + CHINESE.replace("\n", "") * 3_000).encode("gb18030")

    assert detect_encoding(io.BytesIO(data)) == "gb18030"


def test_a_few_broken_bytes_at_the_end_leave_a_long_file_utf8() -> None:
    good = "Grüße aus München, 12 °C\n" * 30_000

    lines = lines_of(good.encode() + b"broken \xff\xc3 line\n")

    assert lines[0].text == "Grüße aus München, 12 °C"
    assert lines[-1] == Line(30_001, "broken \ufffd\ufffd line")


def test_a_multibyte_character_cut_off_at_the_end_leaves_utf8() -> None:
    assert text_of(f"{RUSSIAN} 日".encode()[:-1]) == f"{RUSSIAN} \ufffd"


def pyc(folder: Path) -> bytes:
    source, compiled = folder / "module.py", folder / "module.pyc"
    source.write_text("def answer():\n    return 'the answer', 42\n")
    py_compile.compile(str(source), str(compiled))
    return compiled.read_bytes()


def zipped(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("a.txt", "only text in here\n" * 20)
    return (folder / "a.zip").read_bytes()


def sqlite(folder: Path) -> bytes:
    connection = sqlite3.connect(folder / "a.db")
    connection.execute("create table notes (text)")
    connection.commit()
    connection.close()
    return (folder / "a.db").read_bytes()


def mp3(_: Path) -> bytes:
    frame = b"\xff\xfb\x90\x64" + random.Random(3).randbytes(413)
    return b"ID3\x04\0\0\0\0\0\x0aTIT2\0\0\0\0\0\0" + frame * 40


def java_class(_: Path) -> bytes:
    pool = b"\x0a\0\x02\0\x03\x07\0\x04\x0c\0\x05\0\x06\x01\0\x10java/lang/Object"
    return b"\xca\xfe\xba\xbe\0\0\0\x41\0\x0d" + pool


def wasm(_: Path) -> bytes:
    return (
        b"\0asm\x01\0\0\0\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x03\x02\x01\0\x07\x07\x01\x03add\0\0"
    )


def pdf(_: Path) -> bytes:
    return b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n%%EOF\n"


def floats(_: Path) -> bytes:
    source = random.Random(4)
    return struct.pack("<500f", *(source.gauss(0, 1) for _ in range(500)))


@pytest.mark.parametrize("make", [pyc, zipped, sqlite, mp3, java_class, wasm, pdf, floats])
def test_binary_formats_are_no_text(make: Callable[[Path], bytes], tmp_path: Path) -> None:
    with pytest.raises(NotMediaError, match=r"^binary content$"):
        detect_encoding(io.BytesIO(make(tmp_path)))


@pytest.mark.parametrize("size", [48, 100, 256, 1_000, 10_000, 300_000])
def test_random_bytes_are_no_text(size: int) -> None:
    for seed in range(20 if size < 10_000 else 2):
        with pytest.raises(NotMediaError, match=r"^binary content$"):
            detect_encoding(io.BytesIO(random.Random(seed).randbytes(size)))


def test_gzip_is_no_text_even_where_it_holds_no_nul() -> None:
    data = gzip.compress(b"text " * 100, mtime=0x01010101).replace(b"\0", b"\1")

    with pytest.raises(NotMediaError, match=r"^binary content$"):
        detect_encoding(io.BytesIO(data))


@pytest.mark.parametrize(
    "data", [b"", b" \n\t\r\n", b"\xef\xbb\xbf", "\n \n".encode("utf-16"), b"\x1b[0m\n"]
)
def test_white_space_alone_is_nothing_to_find(data: bytes) -> None:
    with pytest.raises(NotMediaError, match=r"^no text in it$"):
        detect_encoding(io.BytesIO(data))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_end_as_the_file_has_it(end: str, last: bool) -> None:
    data = end.join(["one", "", "three"]) + end * last

    assert lines_of(data.encode()) == [Line(1, "one"), Line(2, ""), Line(3, "three")]


def test_lines_are_counted_as_sed_does() -> None:
    text = "10%\r20%\rdone\nform\ffeed\nline\u2028separator\u0085next\nend"

    assert lines_of(text.encode()) == [
        Line(1, "10% 20% done"),
        Line(2, "form feed"),
        Line(3, "line separator next"),
        Line(4, "end"),
    ]


def test_line_ends_across_block_borders_count_once() -> None:
    for size in range((1 << 18) - 3, (1 << 18) + 2):
        data = b"a\r\n" + b"x" * (size - 4) + b"\r\nlast\r\n"
        lines = lines_of(data)
        assert lines[-1] == Line(3, "last"), size
        assert {line.number for line in lines} == {1, 2, 3}


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;31mERROR\x1b[0m disk full", "ERROR disk full"),
        ("\x1b]0;window title\x07prompt", "prompt"),
        ("\x1b]8;;http://a.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b(Bplain\x1b=", "plain"),
        ("N\bNA\bAM\bME\bE", "NAME"),
        ("col\tumn", "col\tumn"),
        ("bell\x07here", "bell here"),
    ],
)
def test_terminal_codes_are_dropped(raw: str, shown: str) -> None:
    assert (
        text_of(f"{raw} and enough text around it".encode()) == f"{shown} and enough text around it"
    )


def test_surrogates_never_come_out() -> None:
    lonely = b"\xff\xfe" + "letters ".encode("utf-16-le") * 60 + b"\x00\xd8a\x00"

    assert text_of(lonely) == "letters " * 60 + "\ufffda"


def test_a_long_line_comes_in_pieces_of_one_number_cut_at_white_space() -> None:
    long = "twelve chars " * 20_000

    lines = lines_of(f"first\n{long}\nlast\n".encode())

    pieces = [line.text for line in lines if line.number == 2]
    assert "".join(pieces) == long
    assert max(map(len, pieces)) <= 65_536
    assert all(piece.endswith(" ") for piece in pieces)
    assert lines[-1] == Line(3, "last")


class Endless(io.BytesIO):
    """A file of one repeated block, which takes no memory."""

    def __init__(self, block: bytes, size: int) -> None:
        super().__init__()
        self._block, self._size, self._at = block, size, 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        size = min(size, self._size - self._at)
        start = self._at % len(self._block)
        self._at += size
        return (self._block * (size // len(self._block) + 2))[start : start + size]


@pytest.mark.parametrize("block", [b'{"key":123456789},', b'2024-01-01 12:00 "GET /" 200\n'])
def test_memory_does_not_grow_with_the_file(block: bytes) -> None:
    file = Endless(block, 50_000_000)

    tracemalloc.start()
    try:
        encoding = detect_encoding(file)
        length = sum(len(line.text) for line in read_lines(file, encoding))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert length == 50_000_000 - 50_000_000 // len(block) * block.count(b"\n")
    assert peak < 4_000_000
