"""Opens the vector index of a catalog."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nmm.index.store.vectors.faiss_index import FaissIndex

if TYPE_CHECKING:
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.layout import IndexFolder
    from nmm.index.store.vectors.base import VectorIndex


def open_vector_index(
    folder: IndexFolder, catalog: Catalog, *, version: Callable[[], int] | None = None
) -> VectorIndex:
    """Return the vector index of a catalog; nothing is read before it is needed.

    Args:
        folder: The index.
        catalog: Its catalog, which searches read.
        version: Returns another number whenever the catalog may have changed since the last
            search. By default the catalog is read at every search.
    """
    return FaissIndex(folder, catalog, version)
