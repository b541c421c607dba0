"""An index brought into its smallest and fastest form."""

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
class Compacted:
    """What it came to: bytes that the index took on disk, and takes now."""

    before: int
    after: int


def compact(folder: IndexFolder) -> Compacted:
    """Make one search file of each kind's vectors, and give back what is free in the catalog.

    Raises:
        NoIndexError: There is no index.
        IndexLockedError: Another process is writing to it.
        CatalogError: It cannot be read or written, or the disk is full; nothing is lost.
    """
    before = folder.existing().size()
    with open_for_writing(folder) as writer:
        drop_orphans(writer)
        tags.drop_unheld(writer)
        open_vector_index(folder, writer).sync(writer, compact=True)
        optimize_fts(writer)
        vacuum(writer)
    return Compacted(before, folder.size())
