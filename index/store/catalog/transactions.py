"""A catalog, opened to be written: brought up to date first, and written in whole batches."""

from __future__ import annotations

import secrets
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.common.atomic_files import fsync_path
from nmm.index.errors import CatalogError
from nmm.index.store.catalog import full_text
from nmm.index.store.catalog.connection import translated
from nmm.index.store.catalog.reader import SCHEMA, Catalog
from nmm.index.store.catalog.types import Settings

if TYPE_CHECKING:
    from sqlite_utils import Database
    from typing_extensions import Self

# What a rebuild makes again. What hangs on hashes is not of it, and stays.
MADE_AGAIN = (
    "settings",
    "roots",
    "mounts",
    "contents",
    "boxes",
    "files",
    "chunks",
    "vectors",
    "scales",
    "segments",
    "loose",  # the last: what is done to the others puts rows into it
)
# All that a catalog holds but the record of its schema.
TABLES = ("tags", *MADE_AGAIN)
# A catalog is written anew without its free pages when one in so many of all is free.
FREE = 10


class BatchWriter(Catalog):
    """An open catalog whose changes are committed in whole batches.

    `_vectors_changed` is set by whoever adds or removes vectors: the batch is then a generation.
    """

    def __init__(self, file: Path, database: Database) -> None:
        super().__init__(file, database.conn)
        self._database = database
        self._vectors_changed = False

    @classmethod
    def create(cls, file: Path) -> Self:
        """Open a catalog for writing, making it or bringing its schema up to date."""
        from sqlite_utils import Database

        with translated(file):
            if not file.exists():
                _make(file)
            # Transactions begin where this module says, and nowhere else.
            connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
            writer = cls(file, Database(connection))
            try:
                writer._prepare()
            except BaseException:
                writer.close()
                raise
        return writer

    def _prepare(self) -> None:
        self._database.enable_wal()
        # A committed batch outlives a power cut.
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("PRAGMA foreign_keys = ON")
        self._database.execute("PRAGMA recursive_triggers = ON")
        self._check_schema()
        if 0 < self._schema() < SCHEMA:
            try:
                self._back_up()
            except OSError as error:
                raise CatalogError(
                    f"The index in {self.file.parent} cannot be migrated.",
                    code="migration-backup-failed",
                    why=f"The backup of its catalog cannot be written: {error}",
                    hint="Free some space on that disk. The index is unchanged.",
                    path=self.file.parent,
                ) from error
        _bring_up_to_date(self._database)
        sys.audit("nmm.store", "schema brought up to date")
        # What a walk has met in this run: ids of file rows, and whether they are new.
        self._database.execute("CREATE TEMP TABLE met (file_id INTEGER PRIMARY KEY, new INTEGER)")

    def _back_up(self) -> None:
        """Keep a copy of the catalog as it is, for a schema is never changed back."""
        kept = self.file.with_name(f"{self.file.name}.schema-{self._schema()}")
        if kept.exists():  # of an earlier try: the catalog is still what it was then
            return
        part = kept.with_name(f"{kept.name}.part")
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(part)) as copy:
            self._connection.backup(copy)
        sys.audit("nmm.store", "schema to be backed up")
        fsync_path(part)
        part.replace(kept)
        sys.audit("nmm.store", "schema backed up")
        fsync_path(kept.parent)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """All that is written inside is committed together, or not at all."""
        nested = self._connection.in_transaction
        with translated(self.file), self._database.atomic():
            yield
            if not nested:
                sys.audit("nmm.store", "batch written")
            if self._vectors_changed:
                self._database.execute(
                    "INSERT INTO settings VALUES ('generation', 1) "
                    "ON CONFLICT (key) DO UPDATE SET value = value + 1"
                )
        self._vectors_changed = False
        if not nested:
            sys.audit("nmm.store", "batch committed")

    def continue_from(self, old: Catalog) -> None:
        """Count on from a catalog that this one will replace: ids and generations stay unique."""
        with self.batch():
            for table in ("contents", "chunks"):
                self._database.execute(
                    "INSERT INTO sqlite_sequence SELECT ?, 0 WHERE NOT EXISTS "
                    "(SELECT 1 FROM sqlite_sequence WHERE name = ?)",
                    (table, table),
                )
                self._database.execute(
                    "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?",
                    (old.last_id(table), table),
                )
            self._database.execute(
                "INSERT INTO settings VALUES ('generation', ?) "
                "ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
                (old.generation() + 1,),
            )
            self._database.execute(
                "INSERT OR IGNORE INTO settings VALUES ('rebuild', ?)", (secrets.token_hex(8),)
            )

    def become(self, new: Path) -> None:
        """Take over all that another catalog holds, in place of what is here, all at once.

        Whoever reads sees the one or the other. The files themselves cannot be exchanged:
        the write-ahead log of the old one would be applied to the new one.
        """
        with translated(self.file):
            self._database.execute("ATTACH ? AS new", (str(new),))
            # Off, so that emptying a table does not look at each of its rows.
            self._database.execute("PRAGMA foreign_keys = OFF")
            try:
                with self._database.atomic():
                    full_text.drop(self._connection)
                    for table in MADE_AGAIN:
                        self._database.execute(f"DELETE FROM main.{table}")  # noqa: S608
                        self._database.execute(
                            f"INSERT INTO main.{table} SELECT * FROM new.{table}"  # noqa: S608
                        )
                    full_text.make(self._connection)
                    sys.audit("nmm.store", "rebuild copied")
            finally:
                self._database.execute("PRAGMA foreign_keys = ON")
                self._database.execute("DETACH new")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def make_words(self) -> None:
        """Make the tables of words again from the rows that they are derived from."""
        with self.batch():
            full_text.make(self._connection)

    def set_settings(self, settings: Settings) -> None:
        """Say what the index is made with."""
        with self.batch():
            for key, value in settings._asdict().items():
                self._database.table("settings").upsert({"key": key, "value": value}, pk="key")

    def tidy(self) -> None:
        """Give back what the catalog does not need on disk, and keep its queries planned well."""
        with translated(self.file):
            self._database.execute("PRAGMA optimize")
            free = self._number("PRAGMA freelist_count")
            if free and free * FREE >= self._number("PRAGMA page_count"):
                self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def tidy_words(self) -> None:
        """Keep nothing in the tables of words of what was removed, and make them fast to read."""
        with self.batch():
            full_text.optimize(self._connection)


def _bring_up_to_date(database: Database) -> None:
    """Take the steps of the schema that are not taken, and make the tables of words, at once."""
    from nmm.index.store.catalog.migrations import migrations

    with database.atomic():
        migrations.apply(database)
        if not full_text.are_made(database.conn):
            full_text.make(database.conn)


def _make(file: Path) -> None:
    """Make an empty catalog beside its name, and give it that when it has all its tables.

    Made in its place, it would be locked by whoever tries to read it, and be in the way of
    changing it to a write-ahead log.
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
