"""The SHA-256 of a file, read in blocks. Python's own `hashlib.file_digest` is of 3.11."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

BLOCK_SIZE = 1 << 20


def stream_sha256(stream: BinaryIO, on_read: Callable[[int], None] = lambda _: None) -> bytes:
    """The SHA-256 of what is left in a stream; `on_read` is told of every block's bytes.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    while block := stream.read(BLOCK_SIZE):
        digest.update(block)
        on_read(len(block))
    return digest.digest()


def file_sha256(file: Path, on_read: Callable[[int], None] = lambda _: None) -> str:
    """The SHA-256 of a file, in hexadecimal; else as :func:`sha256_of_stream`."""
    with file.open("rb") as stream:
        return stream_sha256(stream, on_read).hex()
