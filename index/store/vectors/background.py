"""Writes segments in another thread while a catalog grows, so that its tail stays short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from nmm.index.errors import CatalogError
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS
from nmm.index.store.vectors import segments

if TYPE_CHECKING:
    from nmm.index.store.catalog.writer import CatalogWriter
    from nmm.index.store.layout import IndexFolder


@contextmanager
def write_in_background(
    writer: CatalogWriter, folder: IndexFolder, dimension: int
) -> Iterator[Callable[[int], None]]:
    """Write segments in a thread while an index grows.

    Yields a function to call between batches with the number of vectors that were added.
    """
    with Catalog.open(writer.file) as catalog:
        background = BackgroundWriter(writer, catalog, folder, dimension)
        try:
            yield background.poll
        finally:
            background.close()


class BackgroundWriter:
    """Writes segments in its thread, and records them in the thread that polls.

    Args:
        writer: Of the catalog.
        catalog: The same one, opened for the thread alone.
        folder: The index.
        dimension: Of its vectors.
    """

    def __init__(
        self, writer: CatalogWriter, catalog: Catalog, folder: IndexFolder, dimension: int
    ) -> None:
        self._writer = writer
        self._catalog = catalog
        self._folder = folder
        self._dimension = dimension
        self._pool = ThreadPoolExecutor(1, "nmm-segments")
        self._work: Future[list[segments.Change]] | None = None
        self._added = 0

    def poll(self, added: int) -> None:
        """Record the segments that are written, and begin new ones if the tail has grown."""
        self._added += added
        if self._work and self._work.done():
            self._record(self._work)
            self._work = None
        if not self._work and self._added >= 2 * segments.MIN_SEGMENT_SIZE:
            self._added = 0
            self._work = self._pool.submit(self._write)

    def close(self) -> None:
        """Wait for the segments that are being written, and record them."""
        self._pool.shutdown()
        if self._work:
            self._record(self._work)

    def _write(self) -> list[segments.Change]:
        made = (
            segments.write(self._catalog, self._folder, kind, self._dimension) for kind in KINDS
        )
        return [change for change in made if change]

    def _record(self, work: Future[list[segments.Change]]) -> None:
        # A file that cannot be written now is tried again at the end of the run, and reported then.
        with suppress(CatalogError):
            for change in work.result():
                segments.record(self._writer, self._folder, change)
