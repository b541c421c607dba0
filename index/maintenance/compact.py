"""Compacts an index: one segment per kind, and no free pages in the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.store.catalog import tags
from nmm.index.store.catalog.removal import drop_orphans
from nmm.index.store.catalog.vacuum import optimize_fts, vacuum
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.vectors.factory import open_vector_index

if TYPE_CHECKING:
    from nmm.index.store.layout import IndexFolder


@dataclass(frozen=True, slots=True)
class CompactionResult:
    """Bytes that the index used on disk before and after."""

    before: int
    after: int


def compact(folder: IndexFolder) -> CompactionResult:
    """Write one segment for each kind, and return the free pages of the catalog to the disk.

    Raises:
        NoIndexError: There is no index.
        IndexLockedError: Another process is writing to it.
        CatalogError: The index cannot be read or written, or the disk is full; nothing is lost.
    """
    before = folder.existing().size()
    with open_for_writing(folder) as writer:
        drop_orphans(writer)
        tags.drop_orphaned_tags(writer)
        open_vector_index(folder, writer).sync(writer, compact=True)
        optimize_fts(writer)
        vacuum(writer)
    return CompactionResult(before, folder.size())
