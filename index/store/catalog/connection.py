"""Access to the rows of an open catalog, and opening one for reading wherever it lies."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmm.index.errors import CatalogError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Blocks = Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]

# A vector on disk: little-endian float16. A unit vector keeps three digits of every component
# and six of a cosine, in half the space of float32.
VECTOR_DTYPE = "<f2"
VECTORS_PER_BLOCK = 4096
# Tries to copy a catalog in a folder that cannot be written to, while it does not change.
COPIES = 3
# KiB of pages cached in memory: SQLite's own 2000 do not hold the full-text index of a hundred
# thousand passages.
CACHE = 64 * 1024


class CatalogConnection:
    """A connection to a catalog: SQL in, rows out.

    Attributes:
        file: The catalog.
        sqlite: The connection that everything goes through.

    Raises:
        CatalogError: From every method, if SQLite cannot read the file.
    """

    def __init__(self, file: Path, sqlite: sqlite3.Connection) -> None:
        self.file = file
        self.sqlite = sqlite

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query."""
        with translated(self.file), closing(self.sqlite.execute(sql, parameters)) as cursor:
            yield from cursor

    def first(self, sql: str, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """Return the first row of a query; None if there is none."""
        return next(self.rows(sql, parameters), None)

    def scalar(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Return the number in the first column of the first row, which must be there."""
        return int(next(self.rows(sql, parameters))[0])

    def json_rows(
        self, columns: str, sql: str, parameters: Sequence[object] = ()
    ) -> list[list[Any]]:
        """Return some columns of all rows of a query at once; none of them may be a blob.

        SQLite releases and takes Python's lock again for every row, and other threads may hold it
        for a while. So all rows are read as one value.

        Args:
            columns: Their names in the query, with commas.
            sql: The query.
            parameters: For the question marks in it.
        """
        one = f"SELECT json_group_array(json_array({columns})) FROM ({sql})"
        found = self.first(one, parameters)
        rows: list[list[Any]] = json.loads(found[0]) if found else []
        return rows

    def raw_blocks(
        self, sql: str, parameters: Sequence[object] = ()
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a query in lists of at most :data:`VECTORS_PER_BLOCK`."""
        with translated(self.file), closing(self.sqlite.execute(sql, parameters)) as cursor:
            while rows := cursor.fetchmany(VECTORS_PER_BLOCK):
                yield rows

    def blocks(self, sql: str, parameters: Sequence[object] = ()) -> Blocks:
        """Yield the rows of a query of an id and a vector as ids (n,) and vectors (n, dimension).

        Raises:
            CatalogError: The vectors have different lengths.
        """
        import numpy as np

        for rows in self.raw_blocks(sql, parameters):
            ids, blobs = zip(*rows, strict=True)
            try:
                matrix = np.frombuffer(b"".join(blobs), VECTOR_DTYPE).reshape(len(ids), -1)
            except ValueError as error:
                raise CatalogError(
                    f"The catalog {self.file} contains vectors of different dimensions.",
                    code="catalog-vectors-damaged",
                    path=self.file,
                ) from error
            yield np.array(ids, np.int64), matrix.astype(np.float32)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read everything inside as of one moment, whatever a writer does meanwhile."""
        with translated(self.file):
            self.sqlite.execute("BEGIN")
        try:
            yield
        finally:
            self.sqlite.rollback()

    def close(self) -> None:
        """Close the connection."""
        self.sqlite.close()


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
