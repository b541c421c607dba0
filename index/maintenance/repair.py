"""What is derived, and a search met missing or damaged, made again after it has answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.index.errors import CatalogError, IndexLockedError, NoIndexError
from nmm.index.store.catalog.vacuum import fts_problem, rebuild_fts
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.vectors.factory import open_vector_index

if TYPE_CHECKING:
    from nmm.index.store.layout import IndexFolder


def repair(folder: IndexFolder) -> bool:
    """Write what is not sound of an index's search files and words again; whether that was done.

    It is not when another process is writing to the index, which then does it, or when the
    index cannot be written to: a search is answered from the catalog as long as that is so.
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
