"""A rebuilt catalog takes the place of another."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.store.catalog import full_text
from nmm.index.store.catalog.connection import translated

if TYPE_CHECKING:
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.writer import CatalogWriter

# The tables that a rebuild fills again. Rows that refer to content hashes stay.
REBUILT_TABLES = (
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
    "loose",  # last, because changes to the others put rows into it
)
# All tables of a catalog but the record of its schema.
TABLES = ("tags", *REBUILT_TABLES)


def continue_from(new: CatalogWriter, old: Catalog) -> None:
    """Continue the ids and generations of a catalog that a new one will replace.

    So no id of a chunk and no generation is used twice.

    Raises:
        CatalogError: One cannot be read, or the other cannot be written.
    """
    connection = new.connection
    with new.batch():
        for table in ("contents", "chunks"):
            connection.execute(
                "INSERT INTO sqlite_sequence SELECT ?, 0 WHERE NOT EXISTS "
                "(SELECT 1 FROM sqlite_sequence WHERE name = ?)",
                (table, table),
            )
            connection.execute(
                "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?",
                (old.last_id(table), table),
            )
        connection.execute(
            "INSERT INTO settings VALUES ('generation', ?) "
            "ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
            (old.generation() + 1,),
        )
        connection.execute(
            "INSERT OR IGNORE INTO settings VALUES ('rebuild', ?)", (secrets.token_hex(8),)
        )


def replace_contents_with(writer: CatalogWriter, new: Path) -> None:
    """Replace everything in a catalog by the contents of another, in one transaction.

    A reader sees the old contents or the new ones. The files themselves cannot be exchanged:
    SQLite would apply the write-ahead log of the old one to the new one.

    Raises:
        CatalogError: One cannot be read, or the other cannot be written.
    """
    connection = writer.connection
    with translated(writer.file):
        connection.execute("ATTACH ? AS new", (str(new),))
        # Off, so that emptying a table does not look up references for each row.
        connection.execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.database.atomic():
                full_text.drop(connection.sqlite)
                for table in REBUILT_TABLES:
                    connection.execute(f"DELETE FROM main.{table}")
                    connection.execute(f"INSERT INTO main.{table} SELECT * FROM new.{table}")
                full_text.create(connection.sqlite)
                sys.audit("nmm.store", "rebuild copied")
        finally:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("DETACH new")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
