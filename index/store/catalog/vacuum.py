"""Upkeep of a catalog: unused space, query plans, full-text tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.index.store.catalog import full_text
from nmm.index.store.catalog.connection import translated

if TYPE_CHECKING:
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.writer import CatalogWriter

# The file is rewritten without its free pages when one in this many pages is free.
PAGES_PER_FREE_PAGE = 10


def vacuum(writer: CatalogWriter) -> None:
    """Return unused space to the disk, and update the statistics that plan queries.

    Raises:
        CatalogError: SQLite cannot write the file.
    """
    connection = writer.connection
    with translated(writer.file):
        connection.execute("PRAGMA optimize")
        free = connection.scalar("PRAGMA freelist_count")
        if free and free * PAGES_PER_FREE_PAGE >= connection.scalar("PRAGMA page_count"):
            connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def optimize_fts(writer: CatalogWriter) -> None:
    """Merge the full-text tables into their smallest form, without deleted entries.

    Raises:
        CatalogError: SQLite cannot write the file.
    """
    with writer.batch():
        full_text.optimize(writer.connection.sqlite)


def rebuild_fts(writer: CatalogWriter) -> None:
    """Make the full-text tables again from the rows that they are derived from.

    Raises:
        CatalogError: SQLite cannot read or write the file.
    """
    with writer.batch():
        full_text.create(writer.connection.sqlite)


def fts_problem(catalog: Catalog) -> str:
    """Return how the full-text tables differ from their rows; empty if they do not.

    Raises:
        CatalogError: SQLite cannot read the file.
    """
    with catalog.snapshot(), translated(catalog.file):
        return full_text.find_problem(catalog.connection.sqlite)
