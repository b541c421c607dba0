"""Compute the SHA-256 of a file in blocks. Python's `hashlib.file_digest` needs 3.11."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

BLOCK_SIZE = 1 << 20


def stream_sha256(stream: BinaryIO, on_read: Callable[[int], None] = lambda _: None) -> bytes:
    """Return the SHA-256 of the rest of a stream. `on_read` gets the size of each block.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    while block := stream.read(BLOCK_SIZE):
        digest.update(block)
        on_read(len(block))
    return digest.digest()


def file_sha256(file: Path, on_read: Callable[[int], None] = lambda _: None) -> str:
    """Return the SHA-256 of a file, in hexadecimal; see :func:`stream_sha256`."""
    with file.open("rb") as stream:
        return stream_sha256(stream, on_read).hex()
