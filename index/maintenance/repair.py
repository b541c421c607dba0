"""Rebuilds derived data that a search found missing or damaged, after it has answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.index.errors import CatalogError, IndexLockedError, NoIndexError
from nmm.index.store.catalog.vacuum import fts_problem, rebuild_fts
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.vectors.factory import open_vector_index

if TYPE_CHECKING:
    from nmm.index.store.layout import IndexFolder


def repair(folder: IndexFolder) -> bool:
    """Rebuild damaged search files and full-text tables of an index.

    Nothing happens if another process is writing to the index, which then repairs it, or if the
    index cannot be written to. Until then searches are answered from the catalog.

    Returns:
        Whether the index was repaired.
    """
    try:
        with open_for_writing(folder.existing()) as writer:
            if writer.settings() is None:
                return False
            if fts_problem(writer):
                rebuild_fts(writer)
            open_vector_index(folder, writer).repair(writer)
    except (NoIndexError, IndexLockedError, CatalogError, OSError):
        return False
    return True
