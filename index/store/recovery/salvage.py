"""Salvages the readable rows of a damaged catalog into a new one.

Rows are read in the order of their ids. Where a page cannot be read, the rest of the range is
halved until only the ids of that page are lost. A lost header is copied from the new catalog,
whose first page begins the same way.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from nmm.index.common.atomic_files import fsync_path
from nmm.index.store.catalog.connection import translated
from nmm.index.store.catalog.replacement import TABLES
from nmm.index.store.catalog.transactions import connect_to_write
from nmm.index.store.catalog.types import Settings
from nmm.index.store.layout import IndexFolder

# Tables that are read. `segments` and `loose` are derived from them.
READ_TABLES = tuple(table for table in TABLES if table not in ("segments", "loose"))
# Tables that are useful even if the model of the vectors is unknown.
WITHOUT_MODEL = ("tags", "roots", "mounts")
# Columns that schema 5 renamed, by their table: the new name and the old one.
RENAMED = {"chunks": ("modality", "kind"), "contents": ("medium", "kind")}
# Read errors of a table after which it is given up. Ranges of unused ids are tried too.
MAX_READ_ERRORS = 1_000_000
ROWS_PER_PAGE = 1000
HEADER_SIZE = 100
PAGE_SIZE = 4096
# The bytes of the header with the number of pages, and the free pages.
PAGE_COUNT = slice(28, 40)


@dataclass(frozen=True)
class SalvageResult:
    """What was salvaged.

    Attributes:
        rows: The number of rows that were read, by table.
        broken: Tables that could not be read completely.
        kept: The damaged file, under its new name.
    """

    rows: dict[str, int] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    kept: Path = Path()


def salvage(folder: IndexFolder) -> SalvageResult | None:
    """Replace a damaged catalog by a new one with all readable rows.

    The damaged file is kept beside it. The caller holds the lock of the index.

    Returns:
        What was salvaged; None if nothing can be read, and then nothing is changed.

    Raises:
        CatalogError: The new catalog cannot be written.
        OSError: The damaged file cannot be read or renamed.
    """
    new = folder.catalog.with_name(f"{folder.catalog.name}.salvaged")
    patched = folder.catalog.with_name(f"{folder.catalog.name}.patched")
    try:
        _delete(new)
        connect_to_write(new).close()
        source = _open(folder.catalog, patched, new)
        if source is None:
            return None
        with closing(source):
            rows, broken = _copy(source, new)
        if not rows.get("roots"):
            return None
        return SalvageResult(rows, broken, _exchange(folder.catalog, new))
    finally:
        _delete(new)
        _delete(patched)


def _open(damaged: Path, patched: Path, new: Path) -> sqlite3.Connection | None:
    """Open the damaged catalog, or a copy of it with a new header; None if neither opens."""
    if connection := _connect(damaged):
        return connection
    fresh = new.read_bytes()[:PAGE_SIZE]
    for length in (HEADER_SIZE, PAGE_SIZE):
        _delete(patched)
        shutil.copyfile(damaged, patched)
        with suppress(FileNotFoundError):
            shutil.copyfile(_beside(damaged, "-wal"), _beside(patched, "-wal"))
        beginning = bytearray(fresh[:length])
        beginning[PAGE_COUNT] = (patched.stat().st_size // PAGE_SIZE).to_bytes(4, "big") + bytes(8)
        with patched.open("r+b") as file:
            file.write(beginning)
        if connection := _connect(patched):
            return connection
    return None


def _connect(file: Path) -> sqlite3.Connection | None:
    """Open a catalog for reading; None if its tables cannot be found."""
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA cell_size_check = ON")
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'roots'").fetchone():
            connection.execute("SELECT 1 FROM roots").fetchone()
            return connection
    connection.close()
    return None


def _copy(source: sqlite3.Connection, new: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Copy the readable rows; return their number by table, and the incomplete tables."""
    rows: dict[str, int] = {}
    broken = []
    with (
        translated(new),
        closing(sqlite3.connect(new, isolation_level=None)) as target,
    ):
        target.execute("BEGIN")
        for table in READ_TABLES:
            if table not in WITHOUT_MODEL and "settings" in rows and not _has_model(target):
                rows[table] = 0
                broken.append(table)
                continue
            reading = _DamagedTable(source, target, table)
            rows[table] = sum(_insert(target, table, *row) for row in reading)
            if reading.read_errors or reading.error:
                broken.append(table)
        target.execute("DELETE FROM loose")
        target.execute(
            "INSERT INTO loose SELECT id FROM contents "
            "WHERE id NOT IN (SELECT content_id FROM files WHERE content_id NOT NULL)"
        )
        target.execute(
            "INSERT INTO settings VALUES ('generation', 1) "
            "ON CONFLICT (key) DO UPDATE SET value = value + 1"
        )
        target.execute("COMMIT")
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return rows, tuple(broken)


def _has_model(target: sqlite3.Connection) -> bool:
    found = dict(target.execute("SELECT key, value FROM settings"))
    return set(Settings._fields) <= set(found) and isinstance(found["dimension"], int)


def _insert(target: sqlite3.Connection, table: str, columns: str, row: tuple[Any, ...]) -> int:
    """Insert a row, and return 1; 0 if the table does not accept it."""
    places = ", ".join("?" * len(row))
    try:
        done = target.execute(
            f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})",
            row,
        )
    except sqlite3.Error:  # a constraint that OR IGNORE does not cover
        return 0
    return done.rowcount


class _DamagedTable:
    """Iterates over the readable rows of a damaged table, each with the names of its columns."""

    def __init__(self, source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
        self._source = source
        self._table = table
        self.read_errors = 0
        self.error = False
        wanted = [row[1] for row in target.execute(f"PRAGMA table_info({table})")]
        try:
            there = {row[1] for row in source.execute(f"PRAGMA table_info({table})")}
        except sqlite3.Error:
            there = set()
            self.error = True
        # A catalog of an older schema lacks some columns.
        self._columns = ", ".join(column for column in wanted if column in there)
        self._read = self._columns
        if renamed := RENAMED.get(table):
            new, old = renamed
            if new not in there and old in there:
                self._columns = ", ".join(c for c in wanted if c in there or c == new)
                self._read = ", ".join(
                    old if c == new else c for c in wanted if c in there or c == new
                )

    def __iter__(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        if not self._columns:
            return
        if self._table in {"settings", "mounts", "boxes", "tags"}:  # they have no ids
            for row in self._from_both_ends():
                yield self._columns, row
            return
        ranges = [(0, self._greatest())]
        while ranges and self.read_errors < MAX_READ_ERRORS:
            first, last = ranges.pop()
            try:
                for row in self._between(first, last):
                    if row[0] < first:
                        raise sqlite3.DatabaseError("ids out of order")
                    first = row[0] + 1
                    yield self._columns, row[1:]
            except sqlite3.Error:
                self.read_errors += 1
                if first < last:
                    middle = (first + last) // 2
                    ranges += [(middle + 1, last), (first, middle)]

    def _between(self, first: int, last: int) -> Iterator[tuple[Any, ...]]:
        # A single id is queried as such: a range would also read the next row.
        condition, ids = (
            ("rowid BETWEEN ? AND ? ORDER BY rowid", (first, last))
            if first < last
            else ("rowid = ?", (first,))
        )
        sql = f"SELECT rowid, {self._read} FROM {self._table} WHERE {condition}"
        with closing(self._source.execute(sql, ids)) as cursor:
            yield from cursor

    def _from_both_ends(self) -> Iterator[tuple[Any, ...]]:
        for order in ("ASC", "DESC"):
            sql = f"SELECT {self._read} FROM {self._table} ORDER BY 1 {order}"
            try:
                with closing(self._source.execute(sql)) as cursor:
                    yield from cursor
            except sqlite3.Error:
                self.error = True
            else:
                return

    def _greatest(self) -> int:
        """Return an upper bound of the ids of the table, from whatever can be read."""
        counter = "chunks" if self._table == "vectors" else self._table
        indexes = []
        with suppress(sqlite3.Error):
            indexes = [row[1] for row in self._source.execute(f"PRAGMA index_list({self._table})")]
        queries = [
            f"SELECT max(rowid) FROM {self._table}",
            f"SELECT seq FROM sqlite_sequence WHERE name = '{counter}'",
            *(f"SELECT max(rowid) FROM {self._table} INDEXED BY {index}" for index in indexes),
        ]
        found = []
        for sql in queries:
            with suppress(sqlite3.Error):
                found += [row[0] for row in self._source.execute(sql) if isinstance(row[0], int)]
        if found:
            return max(found)
        with suppress(sqlite3.Error):
            return ROWS_PER_PAGE * int(self._source.execute("PRAGMA page_count").fetchone()[0])
        return 0


def _exchange(damaged: Path, new: Path) -> Path:
    """Replace the damaged catalog by the new one, and return the new path of the damaged one.

    The write-ahead log is moved first: SQLite would apply it to the new catalog.
    """
    date = datetime.now(timezone.utc).date().isoformat()
    kept = damaged.with_name(f"{damaged.name}.damaged-{date}")
    number = 1
    while kept.exists():
        number += 1
        kept = damaged.with_name(f"{damaged.name}.damaged-{date}-{number}")
    try:
        kept.hardlink_to(damaged)
    except OSError:  # a file system without links
        shutil.copyfile(damaged, kept)
    fsync_path(new)
    log = _beside(damaged, "-wal")
    if log.exists() and log.stat().st_size:
        log.replace(_beside(kept, "-wal"))
    log.unlink(missing_ok=True)
    _beside(damaged, "-shm").unlink(missing_ok=True)
    new.replace(damaged)
    fsync_path(damaged.parent)
    return kept


def _delete(file: Path) -> None:
    for path in (file, _beside(file, "-wal"), _beside(file, "-shm")):
        path.unlink(missing_ok=True)


def _beside(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)
