"""A connection to a catalog that is only read, wherever it lies."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nmm.index.errors import CatalogError

# Tries to copy a catalog in a folder that cannot be written to, while it does not change.
COPIES = 3
# KiB of pages that are kept in memory once they were read: SQLite's own 2000 do not hold what
# the words of a hundred thousand passages are looked up in.
CACHE = 64 * 1024


def connect_to_read(file: Path) -> sqlite3.Connection:
    """A connection to a catalog that only reads, also in a folder that cannot be written to.

    Raises:
        sqlite3.Error: It cannot be opened, or not be read.
    """
    uri = file.absolute().as_uri()
    try:
        return _connect(f"{uri}?mode=ro")
    except sqlite3.OperationalError:
        # SQLite cannot make its shared memory in a folder that cannot be written to. As
        # long as nothing waits in the write-ahead log, the file may be read as it lies.
        wal = file.with_name(f"{file.name}-wal")
        if wal.exists() and wal.stat().st_size:
            effective = os.access in os.supports_effective_ids
            if os.access(file.parent, os.W_OK, effective_ids=effective):
                raise
            return _connect_to_copy(file, wal)
        return _connect(f"{uri}?mode=ro&immutable=1")


def _connect_to_copy(file: Path, wal: Path) -> sqlite3.Connection:
    """Connect to a temporary copy, where what waits in the write-ahead log can be applied.

    It is what there is in a snapshot of a disk, or where a writer was killed before the folder
    became read-only. The copy has no name once it is open, and is gone when it is closed.
    """
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="nmm-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder, file.name)
        try:
            for tries in range(COPIES):
                before = [(path.stat().st_size, path.stat().st_mtime_ns) for path in (file, wal)]
                for path in (file, wal):
                    shutil.copyfile(path, copy.with_name(path.name))
                after = [(path.stat().st_size, path.stat().st_mtime_ns) for path in (file, wal)]
                if before == after:
                    break
                if tries == COPIES - 1:
                    raise sqlite3.OperationalError("it is being written to from elsewhere")
        except OSError as error:
            raise sqlite3.OperationalError(f"it cannot be copied: {error}") from error
        return _connect(copy.as_uri())


def _connect(uri: str) -> sqlite3.Connection:
    """Connect, and read once: before that, SQLite does not look at the file."""
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA cache_size = {-CACHE}")
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def translated(file: Path) -> Iterator[None]:
    """Turn SQLite's errors into :class:`CatalogError`."""
    try:
        yield
    # What is damaged may ask for more memory than there is.
    except (sqlite3.Error, MemoryError) as error:
        raise CatalogError(
            f"The catalog {file} cannot be used.",
            code="catalog-unusable",
            why=f"SQLite says: {str(error) or 'out of memory'}",
            hint="Check that the disk works and has space.",
            path=file,
        ) from error
