"""Identify and hash a file: the cheap half of reading it.

Whether the content is known is asked in between, by its hash; then :meth:`HashedFile.read` does
the costly half. A file that fits into its reader's buffer is read from disk once for both.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from nmm.index.common.hashing import stream_sha256
from nmm.index.errors import NotMediaError
from nmm.index.media import registry
from nmm.index.media.base import FileContent, MediaReader, UnitRequest
from nmm.index.media.registry import HEAD_BYTES, reader_for
from nmm.index.media.source import Source, check_unchanged, open_regular, too_large


@dataclass(frozen=True)
class HashedFile:
    """A file whose medium and content hash are known. It can be pickled.

    Attributes:
        digest: The SHA-256 of the content.
        kind: The medium.
        is_genuine: The content is of that medium, and not only the name.
        source: What its units are read from.
    """

    digest: bytes
    kind: str
    is_genuine: bool
    source: Source

    @property
    def reader(self) -> MediaReader:
        """The reader of the medium."""
        return next(reader for reader in registry.READERS if reader.kind == self.kind)

    def read(self, request: UnitRequest) -> FileContent:
        """Return the properties and the units; see :meth:`.base.MediaReader.read`."""
        return self.reader.read(self.source, request)


def hash_file(path: Path) -> HashedFile:
    """Identify and hash a file. Several threads may call it at once.

    Raises:
        NotMediaError: The file is of no medium.
        UnreadableError: It cannot be read now.
        MediaError: It is not a regular file, or is too large.
    """
    with open_regular(path) as file:
        before = os.fstat(file.fileno())
        size, mtime_ns = before.st_size, before.st_mtime_ns
        head = file.read(HEAD_BYTES)
        file.seek(0)
        reader = reader_for(head, path)
        if reader is None:
            raise NotMediaError("binary content", code="content-binary")
        if reader.max_bytes is not None and size > reader.max_bytes:
            raise too_large(reader.kind, reader.max_bytes)
        if size <= reader.buffered_bytes:
            # One byte more than the file has shows whether it has grown.
            data = file.read(size + 1)
            form = reader.inspect(BytesIO(data))
            digest = hashlib.sha256(data).digest()
        else:
            data = None
            form = reader.inspect(file)
            file.seek(0)
            digest = stream_sha256(file)
        check_unchanged(file, size, mtime_ns)
        source = Source(path, size, mtime_ns, form, data)
        return HashedFile(digest, reader.kind, reader.sniff(head), source)
