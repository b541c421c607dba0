"""Writes a snapshot of a catalog to another file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from nmm.index.errors import NoIndexError, OutputError
from nmm.index.store.catalog import full_text
from nmm.index.store.catalog.connection import translated
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.tags import DROP_ORPHANED_TAGS
from nmm.index.store.catalog.types import Settings


def settings_of(catalog: Catalog) -> Settings:
    """Return the settings of a catalog.

    Raises:
        NoIndexError: Nothing was indexed yet.
    """
    settings = catalog.settings()
    if settings is None:
        raise NoIndexError(
            f"The index in {catalog.file.parent} is empty.",
            code="index-empty",
            path=catalog.file.parent,
        )
    return settings


def write_snapshot(catalog: Catalog, file: Path) -> int:
    """Write the committed state of a catalog to an empty file, even while another process writes.

    The copy has no derived data, and no traces of deleted rows.

    Returns:
        The version of its schema.

    Raises:
        OutputError: The disk is full.
        CatalogError: The catalog cannot be read, or the file cannot be written.
    """
    # VACUUM, because a backup would copy free pages, and deleted rows with them.
    whole = file.with_name(f"{file.name}-whole")
    try:
        whole.touch(exist_ok=False)
        _vacuum(catalog.connection.sqlite, catalog.file, whole)
        with translated(whole), closing(sqlite3.connect(whole)) as connection:
            schema = _strip(connection)
            _vacuum(connection, whole, file)
    finally:
        for name in (whole, whole.with_name(f"{whole.name}-journal")):
            name.unlink(missing_ok=True)
    return schema


def _vacuum(connection: sqlite3.Connection, of: Path, file: Path) -> None:
    with translated(of):
        try:
            connection.execute("VACUUM INTO ?", (str(file.absolute()),))
        except sqlite3.OperationalError as error:
            if "full" not in str(error):
                raise
            raise OutputError(
                f"There is not enough space in {file.parent}.",
                code="export-disk-full",
                why="An export also needs space for temporary copies of the catalog.",
                hint="Give a file on another disk.",
                path=file.parent,
            ) from error


def _strip(connection: sqlite3.Connection) -> int:
    """Remove derived data from a copy, and return the version of its schema."""
    with connection:
        full_text.drop(connection)
        if connection.execute("PRAGMA table_info(segments)").fetchone():
            connection.execute("DELETE FROM segments")
        if connection.execute("PRAGMA table_info(tags)").fetchone():
            connection.execute(DROP_ORPHANED_TAGS)
        # Statistics of ANALYZE, which compacting an index runs.
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE name GLOB 'sqlite_stat[0-9]'"
        ).fetchall():
            connection.execute(f"DROP TABLE {name}")  # of the pattern above
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    return int(schema)
