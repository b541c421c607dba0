"""A regular file, opened so that nothing that takes its place can block or mislead a reader."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from nmm.index.errors import MediaError, UnreadableError

# A FIFO does not block, and a terminal does not become this process's controlling terminal.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


@dataclass(frozen=True)
class Source:
    """A file as it was when it was hashed. It can be pickled.

    Attributes:
        path: Where it lies.
        size, mtime_ns: Its size in bytes and the time of its last change.
        form: What its reader's `inspect` returned.
        data: Its bytes, if they were read into memory; else it is opened again.
    """

    path: Path
    size: int
    mtime_ns: int
    form: str = ""
    data: bytes | None = None

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the file at its beginning, and check at the end that it is still the same.

        Raises:
            UnreadableError: It cannot be read, or has changed since it was hashed.
        """
        if self.data is not None:
            yield BytesIO(self.data)
            return
        with open_regular(self.path) as file:
            yield file
            check_unchanged(file, self.size, self.mtime_ns)


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file without blocking.

    Raises:
        UnreadableError: The system refuses to open or read it.
        MediaError: It is not a regular file.
    """
    try:
        with open(os.open(path, _FLAGS), "rb") as file:  # noqa: PTH123 - it takes no flags
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise MediaError("not a regular file any more", code="file-not-regular")
            yield file
    except OSError as error:
        raise UnreadableError(f"not readable: {error.strerror}", code="file-unreadable") from error


def check_unchanged(file: BinaryIO, size: int, mtime_ns: int) -> None:
    """Check the size and time of an open file, so that no half-written content gets a hash.

    Raises:
        UnreadableError: They have changed.
    """
    now = os.fstat(file.fileno())
    if (now.st_size, now.st_mtime_ns) != (size, mtime_ns):
        raise UnreadableError(
            "changed while it was read; the next run takes it up", code="file-changed-while-read"
        )


def too_large(kind: str, max_bytes: int) -> MediaError:
    """Return the error for a file with more bytes than its medium may have."""
    article = "an" if kind[0] in "aeiou" else "a"
    return MediaError(
        f"{article} {kind} file of more than {max_bytes >> 20} MiB",
        code="file-too-large",
        max_bytes=max_bytes,
    )
