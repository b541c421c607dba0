"""Write files atomically and durably: a file appears, or is replaced, once it is complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nmm.index.errors import OutputError, UsageError


@contextmanager
def replace_atomically(file: Path) -> Iterator[Path]:
    """Yield a temporary path beside `file`, which replaces `file` at the end.

    If the body fails, `file` stays as it was and the temporary file is deleted.

    Raises:
        UsageError: `file` is a folder or a device, which must not be replaced.
        OutputError: It cannot be written.
    """
    # A link is followed: its target is replaced.
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
    """Translate the system's errors of writing into :class:`~nmm.index.errors.OutputError`."""
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
    """Flush a file's content, or the names in a folder, to disk, to survive a power loss."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
