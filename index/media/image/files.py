"""Read the bytes of image files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from nmm.index.common.hashing import BLOCK_SIZE
from nmm.index.errors import UnreadableError
from nmm.index.media.base import Metadata
from nmm.index.media.image.decode import MAX_IMAGE_BYTES, DecodedImage, decode, describe
from nmm.index.media.source import open_regular, too_large


def read_image(path: Path) -> bytes:
    """Return the bytes of an image file. Unlike an indexing run, wait for what a pipe delivers.

    Raises:
        MediaError: The file has more than :data:`MAX_IMAGE_BYTES` bytes.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return read_image_stream(file)


def read_image_stream(stream: BinaryIO, head: bytes = b"") -> bytes:
    """Return an image's bytes: `head`, which was read before, and the rest of the stream.

    Raises:
        MediaError, OSError: See :func:`read_image`.
    """
    data = bytearray(head)
    while block := stream.read(BLOCK_SIZE):
        data += block
        if len(data) > MAX_IMAGE_BYTES:
            raise too_large("image", MAX_IMAGE_BYTES)
    return bytes(data)


def read_image_bytes(path: Path) -> bytes:
    """Return the bytes of a regular file that is to be decoded as an image.

    Raises:
        MediaError: It is not there, is not a regular file, or is too large.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_IMAGE_BYTES:
            raise too_large("image", MAX_IMAGE_BYTES)
        return file.read(MAX_IMAGE_BYTES)


def read_metadata(path: Path, size: int, mtime_ns: int) -> Metadata:
    """Read the metadata of an image from its header, if the file has that size and time.

    Raises:
        UnreadableError: It has changed, or cannot be read now.
        MediaError: The file is not an image.
    """
    with open_regular(path) as file:
        found = os.fstat(file.fileno())
        if (found.st_size, found.st_mtime_ns) != (size, mtime_ns):
            raise UnreadableError("changed since it was indexed", code="file-changed-since-indexed")
        return describe(file).metadata


def decode_known(path: Path, digest: bytes, *, side: int, max_pixels: int) -> DecodedImage:
    """Decode an image that is in the index already. Several threads may call it at once.

    Args:
        path: The file.
        digest: The SHA-256 that its content must have.
        side, max_pixels: See :func:`.image.decode.decode`.

    Raises:
        UnreadableError: It cannot be read now, or its content has changed.
        MediaError: It cannot be decoded.
    """
    data = read_image_bytes(path)
    if hashlib.sha256(data).digest() != digest:
        raise UnreadableError(
            "changed while it was indexed; the next run takes it up",
            code="file-changed-while-indexed",
        )
    return decode(data, side=side, max_pixels=max_pixels)
