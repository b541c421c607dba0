"""A catalog opened for writing: brought up to date first, and changed in whole batches."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.common.atomic_files import fsync_path
from nmm.index.errors import CatalogError
from nmm.index.store.catalog import full_text
from nmm.index.store.catalog.connection import CatalogConnection, translated
from nmm.index.store.catalog.reader import SCHEMA, checked_schema

if TYPE_CHECKING:
    from sqlite_utils import Database


class WriteConnection(CatalogConnection):
    """A connection whose changes are committed in whole batches.

    Attributes:
        database: The same connection as sqlite-utils has it.
    """

    def __init__(self, file: Path, database: Database) -> None:
        super().__init__(file, database.conn)
        self.database = database
        self._vectors_changed = False

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        """Execute a statement; SQLite's errors are for the batch around it to translate."""
        return self.sqlite.execute(sql, parameters)

    def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute a statement once for each row."""
        self.sqlite.executemany(sql, rows)

    def vectors_changed(self) -> None:
        """Make the present batch a new generation, because it adds or removes vectors."""
        self._vectors_changed = True

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Commit everything written inside together, or nothing.

        Raises:
            CatalogError: SQLite cannot write the file.
        """
        nested = self.sqlite.in_transaction
        with translated(self.file), self.database.atomic():
            yield
            if not nested:
                sys.audit("nmm.store", "batch written")
            if self._vectors_changed:
                self.execute(
                    "INSERT INTO settings VALUES ('generation', 1) "
                    "ON CONFLICT (key) DO UPDATE SET value = value + 1"
                )
        self._vectors_changed = False
        if not nested:
            sys.audit("nmm.store", "batch committed")


def connect_to_write(file: Path) -> WriteConnection:
    """Open a catalog for writing; make it, or bring its schema up to date, if need be.

    Only for the holder of the lock, see :mod:`nmm.index.store.lock`.

    Raises:
        CatalogError: It cannot be made, read, written or brought up to date.
    """
    from sqlite_utils import Database

    with translated(file):
        if not file.exists():
            _make(file)
        # Transactions begin where this module says, and nowhere else.
        sqlite = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        connection = WriteConnection(file, Database(sqlite))
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: WriteConnection) -> None:
    connection.database.enable_wal()
    # A committed batch survives a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA recursive_triggers = ON")
    version = checked_schema(connection)
    if 0 < version < SCHEMA:
        try:
            _back_up(connection, version)
        except OSError as error:
            raise CatalogError(
                f"The index in {connection.file.parent} cannot be migrated.",
                code="migration-backup-failed",
                why=f"The backup of its catalog cannot be written: {error}",
                hint="Free some space on that disk. The index is unchanged.",
                path=connection.file.parent,
            ) from error
    _bring_up_to_date(connection.database)
    sys.audit("nmm.store", "schema brought up to date")
    # The files that a walk has seen in this run: ids of their rows, and whether they are new.
    connection.execute("CREATE TEMP TABLE met (file_id INTEGER PRIMARY KEY, new INTEGER)")


def _back_up(connection: WriteConnection, version: int) -> None:
    """Keep a copy of the catalog as it is, because a schema is never changed back."""
    file = connection.file
    kept = file.with_name(f"{file.name}.schema-{version}")
    if kept.exists():  # from an earlier try: the catalog is unchanged since then
        return
    part = kept.with_name(f"{kept.name}.part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(part)) as copy:
        connection.sqlite.backup(copy)
    sys.audit("nmm.store", "schema to be backed up")
    fsync_path(part)
    part.replace(kept)
    sys.audit("nmm.store", "schema backed up")
    fsync_path(kept.parent)


def _bring_up_to_date(database: Database) -> None:
    """Apply the missing migrations and make the full-text tables, in one transaction."""
    from nmm.index.store.catalog.migrations import migrations

    with database.atomic():
        migrations.apply(database)
        if not full_text.are_current(database.conn):
            full_text.create(database.conn)


def _make(file: Path) -> None:
    """Make an empty catalog under another name, and rename it when it has all its tables.

    In its place, a reader could lock it, and the change to a write-ahead log would fail.
    """
    from sqlite_utils import Database

    new = file.with_name(f"{file.name}.new")
    try:
        for left in new.parent.glob(f"{new.name}*"):  # by a run that was killed here
            left.unlink()
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            database = Database(connection)
            database.execute("PRAGMA synchronous = FULL")
            _bring_up_to_date(database)
            database.enable_wal()
        fsync_path(new)
        new.replace(file)
        fsync_path(file.parent)
    except OSError as error:
        raise CatalogError(
            f"The catalog {file} cannot be created.",
            code="catalog-not-creatable",
            why=error.strerror or str(error),
            hint="Free some space on that disk, or choose another folder for the index with "
            "NMM_INDEX.",
            path=file,
        ) from error
