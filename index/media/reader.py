"""One file, read: what it is, what identifies its content, and what an encoder takes of it.

The content decides what a file is, not its name; but a file that is called an image and is
none is an error in the user's eyes, and is reported as one. Files are opened without
blocking, so that one that turned into a FIFO since the walk met it stops nothing, and are
looked at again after reading, so that no half-written content is kept under a hash.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nmm.index.common.hashing import BLOCK_SIZE, stream_sha256
from nmm.index.errors import MediaError, NotMediaError, UnreadableError
from nmm.index.media.image.decode import (
    IMAGE_SUFFIXES,
    DecodedImage,
    decode,
    details_of,
    looks_like_image,
)
from nmm.index.media.text.chunking import Chunk, chunk_lines
from nmm.index.media.text.decode import detect_encoding, read_lines
from nmm.index.media.text.html import OWN_PAGE, html_lines, looks_like_html

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from nmm.index.media.image.metadata import Details

HEAD = 4096
# An image is decoded from memory; there is none of more bytes under Pillow's pixel limit
# in any format but an uncompressed one of floats.
MAX_IMAGE_BYTES = 1 << 30
# A text of fewer bytes is read once and cut up at once, by the thread that read it; a longer one
# is read again and cut while it is embedded, so that it is never all in memory.
SMALL_TEXT = 1 << 20
# A chunk repeats up to this part of the one before it.
OVERLAP = 8

# Opened so, a FIFO does not block, and a terminal does not become this process's own.
FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


@dataclass(frozen=True)
class KnownMedia:
    """A file whose content needs no reading, for its hash is known."""

    hash: bytes


@dataclass(frozen=True)
class ImageMedia:
    """An image, decoded."""

    hash: bytes
    decoded: DecodedImage


@dataclass(frozen=True)
class TextMedia:
    """A text in chunks. They can be iterated over once; a large file is read meanwhile.

    Iterating raises MediaError if the file changes or cannot be read further.
    """

    hash: bytes
    chunks: Iterable[Chunk]


@dataclass(frozen=True)
class Chunking:
    """How texts are cut: by whose tokens, how many to a chunk, how many shared by two."""

    tokenizer: Tokenizer
    size: int
    overlap: int

    @classmethod
    def of(cls, tokenizer: Tokenizer, size: int) -> Chunking:
        """As an index cuts them: passages of `size` tokens."""
        return cls(tokenizer, size, size // OVERLAP)


def read_media(
    path: Path,
    *,
    chunking: Chunking,
    side: int,
    max_pixels: int,
    is_known: Callable[[bytes], bool],
) -> KnownMedia | ImageMedia | TextMedia:
    """Read a file. Called by several threads at once.

    Args:
        path: The file.
        chunking: How a text is cut up.
        side: The shortest side in pixels that is needed of an image.
        max_pixels: Of images with more, nothing is decoded.
        is_known: Asked with the content's SHA-256 before the costly part.

    Raises:
        NotMediaError: The file is neither an image nor a text.
        UnreadableError: It cannot be read now, whatever it is.
        MediaError: It cannot be read as what it should be; the reason is for a person.
    """
    with _open(path) as file:
        return _read(path, file, chunking, side, max_pixels, is_known)


def read_image(path: Path) -> bytes:
    """An image file's bytes. Unlike an indexing run, it waits for what a pipe delivers.

    Raises:
        MediaError: It has more bytes than an image has.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return read_image_stream(file)


def read_image_stream(stream: BinaryIO, head: bytes = b"") -> bytes:
    """An image's bytes to the end of a stream, after those that were read of it before.

    Raises:
        MediaError, OSError: As of :func:`read_image`.
    """
    data = bytearray(head)
    while block := stream.read(BLOCK_SIZE):
        data += block
        if len(data) > MAX_IMAGE_BYTES:
            raise MediaError(f"an image file of more than {MAX_IMAGE_BYTES >> 20} MiB")
    return bytes(data)


def read_details(path: Path, size: int, mtime_ns: int) -> Details:
    """What an image says of itself, from its header, if it still has that size and time.

    Raises:
        UnreadableError: It has not, or it cannot be read now.
        MediaError: What is in it is no image.
    """
    with _open(path) as file:
        found = os.fstat(file.fileno())
        if (found.st_size, found.st_mtime_ns) != (size, mtime_ns):
            raise UnreadableError("changed since it was indexed")
        return details_of(file)


def read_image_bytes(path: Path) -> bytes:
    """The bytes of a file that is to be decoded as an image.

    Raises:
        MediaError: It is not there, is no regular file, or has too many.
    """
    with _open(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_IMAGE_BYTES:
            raise MediaError(f"an image file of more than {MAX_IMAGE_BYTES >> 20} MiB")
        return file.read(MAX_IMAGE_BYTES)


def read_again(path: Path, digest: bytes, *, side: int, max_pixels: int) -> DecodedImage:
    """Read an image that is known, to see more of it. Called by several threads at once.

    Args:
        path: The file.
        digest: The SHA-256 that its content has to have.
        side, max_pixels: As of :func:`.image.decode`.

    Raises:
        UnreadableError: It cannot be read now, or holds something else by now.
        MediaError: It cannot be decoded.
    """
    data = read_image_bytes(path)
    if hashlib.sha256(data).digest() != digest:
        raise UnreadableError("changed while it was indexed; the next run takes it up")
    return decode(data, side=side, max_pixels=max_pixels)


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file; what the system says against it becomes a MediaError."""
    try:
        with open(os.open(path, FLAGS), "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise MediaError("not a regular file any more")
            yield file
    except OSError as error:
        raise UnreadableError(f"not readable: {error.strerror}") from error


def _read(
    path: Path,
    file: BinaryIO,
    chunking: Chunking,
    side: int,
    max_pixels: int,
    is_known: Callable[[bytes], bool],
) -> KnownMedia | ImageMedia | TextMedia:
    before = os.fstat(file.fileno())
    head = file.read(HEAD)
    file.seek(0)
    if path.suffix.lower() in IMAGE_SUFFIXES or looks_like_image(head):
        if before.st_size > MAX_IMAGE_BYTES:
            raise MediaError(f"an image file of more than {MAX_IMAGE_BYTES >> 20} MiB")
        data = file.read(before.st_size + 1)
        _check_unchanged(file, before)
        digest = hashlib.sha256(data).digest()
        # What only its name calls an image may be known as the text that it is.
        if looks_like_image(head) and is_known(digest):
            return KnownMedia(digest)
        return ImageMedia(digest, decode(data, side=side, max_pixels=max_pixels))
    if OWN_PAGE in head:
        raise NotMediaError("a gallery that nmm wrote, of what other files say")
    is_small = before.st_size <= SMALL_TEXT
    text = BytesIO(file.read(SMALL_TEXT)) if is_small else file
    encoding = detect_encoding(text)
    text.seek(0)
    digest = stream_sha256(text)
    _check_unchanged(file, before)
    if is_known(digest):
        return KnownMedia(digest)
    suffix = path.suffix.lower()
    if is_small:
        return TextMedia(digest, list(_chunks(text, suffix, encoding, chunking)))
    return TextMedia(digest, _chunks_later(path, before, encoding, chunking))


def _chunks(text: BinaryIO, suffix: str, encoding: str, chunking: Chunking) -> Iterator[Chunk]:
    lines = read_lines(text, encoding)
    first = list(itertools.islice(lines, 20))
    lines = itertools.chain(first, lines)
    if looks_like_html("\n".join(line.text for line in first), suffix):
        lines = html_lines(lines)
    return chunk_lines(lines, chunking.tokenizer, size=chunking.size, overlap=chunking.overlap)


def _chunks_later(
    path: Path, before: os.stat_result, encoding: str, chunking: Chunking
) -> Iterator[Chunk]:
    """Open the file again, for chunks may be asked for long after it was first read."""
    with _open(path) as file:
        yield from _chunks(file, path.suffix.lower(), encoding, chunking)
        _check_unchanged(file, before)


def _check_unchanged(file: BinaryIO, before: os.stat_result) -> None:
    now = os.fstat(file.fileno())
    if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise UnreadableError("changed while it was read; the next run takes it up")
