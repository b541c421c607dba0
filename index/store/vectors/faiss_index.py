"""The vector index in FAISS files: segments that the catalog records."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from nmm.index.store.catalog.types import Kind
from nmm.index.store.vectors.base import Candidates, PendingSearch, Verification
from nmm.index.store.vectors.searcher import SegmentSearcher
from nmm.index.store.vectors.segment_table import Segment, read_segments, segment_names

if TYPE_CHECKING:
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.writer import CatalogWriter
    from nmm.index.store.layout import IndexFolder
    from nmm.index.store.vectors.base import ChunkIds, Vector, VectorIndex


class FaissIndex:
    """A :class:`.VectorIndex` of FAISS files beside the catalog.

    A search is exact, but for inverted files, which can miss a vector. See :mod:`.segments` for
    which files there are, and :mod:`.searcher` for how they are searched.

    Args:
        folder, catalog, version: See :func:`.open_vector_index`.
    """

    def __init__(
        self, folder: IndexFolder, catalog: Catalog, version: Callable[[], int] | None = None
    ) -> None:
        self._folder = folder
        self._catalog = catalog
        self._version = version
        # By kind: the version of the catalog, its generation and segments, and their searcher.
        self._searchers: dict[
            Kind, tuple[int | None, tuple[int, list[Segment]], SegmentSearcher]
        ] = {}

    def search(
        self,
        query: Vector | PendingSearch,
        limit: int,
        kind: Kind,
        *,
        among: ChunkIds | None = None,
    ) -> Candidates:
        return self._searcher(kind).search(query, limit, among)

    def submit(self, queries: Sequence[Vector], limit: int, kind: Kind) -> Sequence[PendingSearch]:
        return self._searcher(kind).submit(queries, limit)

    def damaged(self) -> list[str]:
        met = {name for *_, searcher in self._searchers.values() for name in searcher.damaged}
        # A file that was replaced meanwhile was only deleted.
        return sorted(met & segment_names(self._catalog)) if met else []

    def sync(self, writer: CatalogWriter, *, compact: bool = False) -> None:
        from nmm.index.store.vectors import segments

        if settings := writer.settings():
            segments.refresh(writer, self._folder, settings.dimension, compact=compact)

    def background(self, writer: CatalogWriter) -> AbstractContextManager[Callable[[int], None]]:
        from nmm.index.store.vectors.background import write_in_background

        settings = writer.settings()
        if settings is None:
            return nullcontext(lambda _: None)
        return write_in_background(writer, self._folder, settings.dimension)

    def verify(self, catalog: Catalog) -> Verification:
        from nmm.index.store.vectors import verify

        return Verification(len(segment_names(catalog)), verify.problems(catalog, self._folder))

    def leftovers(self, catalog: Catalog) -> list[str]:
        from nmm.index.store.vectors import segments

        return [path.name for path in segments.leftovers(catalog, self._folder)]

    def repair(self, writer: CatalogWriter, problems: Collection[str] = ()) -> None:
        from nmm.index.store.vectors import segments

        segments.drop_invalid(writer, self._folder, problems)
        self.sync(writer)

    def adopt(self, rebuilt: IndexFolder) -> None:
        from nmm.index.store.vectors import segments

        segments.move_files(rebuilt, self._folder)

    def drop(self, writer: CatalogWriter) -> None:
        from nmm.index.store.vectors import segments

        segments.drop_all(writer, self._folder)

    def _searcher(self, kind: Kind) -> SegmentSearcher:
        """Return the searcher of a kind; a new one, with its open files, if the catalog changed."""
        version = self._version() if self._version else None
        last, state, searcher = self._searchers.get(kind, (None, None, None))
        if searcher is not None and version is not None and version == last:
            return searcher
        now = self._catalog.generation(), read_segments(self._catalog, kind)
        if searcher is None or now != state:
            searcher = SegmentSearcher(self._catalog, self._folder, kind, now[1], searcher)
        self._searchers[kind] = version, now, searcher
        return searcher


if TYPE_CHECKING:  # mypy compares the signatures
    _: type[VectorIndex] = FaissIndex
