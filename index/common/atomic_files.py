"""Write files atomically and durably: a file appears, or is replaced, once it is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nmm.index.errors import OutputError, UsageError


@contextmanager
def replace_atomically(file: Path) -> Iterator[Path]:
    """A path beside `file` to write to, which takes its place at the end.

    Whatever goes wrong inside, what is at `file` stays as it is, and the other is deleted.

    Raises:
        UsageError: There is a folder or a device at `file`, which must not be replaced.
        OutputError: It cannot be written.
    """
    # Through a link, for what it leads to is meant.
    target = Path(os.path.realpath(file.expanduser()))
    with translate_write_errors(file):
        is_other = target.exists() and not target.is_file()
    if is_other:
        raise UsageError(
            f"{file} cannot be written.",
            code="file-not-replaceable",
            why="It is not a file." if not target.is_dir() else "It is a folder.",
            hint="Give the name of a file in it." if target.is_dir() else "Give another name.",
            path=file,
        )
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with translate_write_errors(file):
        try:
            yield part
            fsync_path(part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        fsync_path(target.parent)


@contextmanager
def translate_write_errors(file: Path) -> Iterator[None]:
    """Turn the system's errors of writing into :class:`OutputError`."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{file} cannot be written.",
            code="file-not-writable",
            why=error.strerror or str(error),
            hint="Check that its folder exists and is writable, and that its disk has space.",
            path=file,
        ) from error


def fsync_path(path: Path) -> None:
    """Have a file's content, or the names in a folder, survive a loss of power."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
