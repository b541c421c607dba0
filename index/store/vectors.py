"""Nearest vectors: FAISS files that are derived from the catalog and can be lost.

Each kind has a file of its own. Images and texts are ranked apart and merged afterwards
(see :mod:`nmm.index.scale`), so that a search for one kind is exact without a filter.
A file is an exact flat index of halves, memory-mapped: opening it reads nothing. It knows
the chunks up to some id; newer ones are compared by brute force from the catalog, and ids
that were removed since are passed over when the catalog is asked what they are.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmm.index.errors import CatalogError
from nmm.index.store.catalog import KINDS, Catalog, Kind, VectorFile

FILE_NAME = re.compile(r"(image|text)-\d+-[0-9a-f]{8}\.faiss")

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.location import IndexFolder
    from nmm.index.store.writer import CatalogWriter


def refresh(writer: CatalogWriter, folder: IndexFolder, dimension: int) -> None:
    """Bring the derived files up to the catalog, and delete those of the past."""
    for kind in KINDS:
        known = writer.vector_file(kind)
        stale = known is None or known.generation != writer.generation()
        if stale or _open(folder.vectors, known) is None:
            writer.set_vector_file(kind, _write(writer, folder.vectors, kind, dimension))
    current = {known.name for kind in KINDS if (known := writer.vector_file(kind))}
    for path in folder.vectors.iterdir():
        # Only what this module wrote: the folder may be one that somebody had before.
        if FILE_NAME.fullmatch(path.name) and path.name not in current:
            # A search on Windows may hold it open; the next run tries again.
            _delete(path)


def move(source: IndexFolder, target: IndexFolder) -> None:
    """Move derived files beside those of another index, where their names are new."""
    for path in source.vectors.iterdir():
        if FILE_NAME.fullmatch(path.name):
            path.replace(target.vectors / path.name)


def _delete(path: Path) -> None:
    try:
        path.unlink()
    except OSError:
        return


def _is_whole(folder: Path, known: VectorFile | None) -> bool:
    try:
        return known is not None and (folder / known.name).stat().st_size == known.bytes
    except OSError:
        return False


def _write(catalog: Catalog, folder: Path, kind: Kind, dimension: int) -> VectorFile:
    """Write a file of all vectors of a kind, under a name never used before.

    Nothing that is in use is overwritten: the catalog names the new file once it is on
    disk, and until then readers go on with the old one.
    """
    import faiss

    generation = catalog.generation()
    flat = faiss.IndexScalarQuantizer(
        dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index = faiss.IndexIDMap(flat)
    last_chunk = 0
    for ids, vectors in catalog.vectors(kind):
        index.add_with_ids(vectors, ids)
        last_chunk = int(ids[-1])
    path = folder / f"{kind}-{generation}-{secrets.token_hex(4)}.faiss"
    try:
        faiss.write_index(index, str(path))
        with path.open("r+b") as written:
            os.fsync(written.fileno())
            size = os.fstat(written.fileno()).st_size
    except (RuntimeError, OSError) as error:  # RuntimeError: FAISS's own, when the disk is full
        _delete(path)
        raise CatalogError(
            f"The search file {path} cannot be written.",
            why=str(error).rpartition(": ")[2],
            hint="Make room on that disk and run nmm index again; nothing is lost.",
        ) from error
    return VectorFile(path.name, size, index.ntotal, last_chunk, generation)


class NearestVectors:
    """The vectors of one kind, ready to be searched.

    Attributes:
        derived: Whether the derived file could be used; if not, every search goes over
            the vectors in the catalog, and finds the same.
    """

    def __init__(self, catalog: Catalog, folder: IndexFolder, kind: Kind) -> None:
        self._catalog = catalog
        self._kind: Kind = kind
        known = catalog.vector_file(kind)
        self._index = _open(folder.vectors, known)
        self.derived = self._index is not None
        self._last_chunk = known.last_chunk if known and self.derived else 0
        self._up_to_date = (
            known is not None and self.derived and known.generation == catalog.generation()
        )

    def search(self, query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """Ids of the chunks with the greatest inner products, greatest first.

        `query` has shape (dimension,). At most `count` ids; fewer if there are fewer.
        """
        import numpy as np

        ids, scores = self._from_file(query, count)
        if not self._up_to_date:
            newer_ids, newer_scores = self._from_catalog(query, count)
            ids, scores = np.append(ids, newer_ids), np.append(scores, newer_scores)
        order: NDArray[np.intp] = np.lexsort((ids, -scores))[:count]
        return ids[order]

    def _from_file(
        self, query: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        import numpy as np

        if self._index is None or not self._index.ntotal:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        scores, ids = self._index.search(query[None], min(count, self._index.ntotal))
        found = ids[0] >= 0
        return ids[0][found], scores[0][found]

    def _from_catalog(
        self, query: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        import numpy as np

        best_ids, best_scores = np.empty(0, np.int64), np.empty(0, np.float32)
        for ids, vectors in self._catalog.vectors(self._kind, after=self._last_chunk):
            best_ids = np.append(best_ids, ids)
            best_scores = np.append(best_scores, vectors @ query)
            best = np.argsort(-best_scores, kind="stable")[:count]
            best_ids, best_scores = best_ids[best], best_scores[best]
        return best_ids, best_scores


def _open(folder: Path, known: VectorFile | None) -> Any | None:
    """The FAISS index in a file, or None if it is missing or not what was written."""
    if known is None or not _is_whole(folder, known):
        return None
    import faiss

    try:
        index = faiss.read_index(str(folder / known.name), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError:  # what FAISS raises for whatever it cannot read
        return None
    return index if index.ntotal == known.total else None
