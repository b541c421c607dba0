"""Writes the catalog; one process at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.errors import OutdatedCatalogError
from nmm.index.store.catalog.connection import VECTOR_DTYPE, translated
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.transactions import WriteConnection, connect_to_write
from nmm.index.store.catalog.types import Calibration, FileRow, Kind, Root, Settings
from nmm.index.store.lock import Wait, locked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.layout import IndexFolder

# The version of the metadata that is read from a file. 1: coordinates, camera and caption of an
# image.
DETAILS = 1


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file, identified by its hash, and its metadata.

    `medium` is the kind of the reader that read it.

    Width and height in pixels, latitude and longitude in degrees, camera and caption belong to an
    image. `details` is :data:`DETAILS`, or less if an older nmm read the file. `fingerprint` is
    described in :mod:`nmm.index.media.image.fingerprint`.
    """

    hash: bytes
    medium: str
    width: int | None = None
    height: int | None = None
    taken_at: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    camera: str | None = None
    caption: str | None = None
    details: int = DETAILS
    fingerprint: bytes | None = None


CONTENT_COLUMNS = ", ".join(column.name for column in fields(Content))
CONTENT_MARKS = ", ".join("?" for _ in fields(Content))


class ChunkRow(NamedTuple):
    """A unit of a content, which has one vector: its text, if it is one, and its locator."""

    line_start: int | None = None
    line_end: int | None = None
    text: str | None = None
    page: int | None = None
    time_ms: int | None = None


@contextmanager
def open_for_writing(folder: IndexFolder, wait: Wait | None = None) -> Iterator[CatalogWriter]:
    """Open the catalog of an index for this process alone; create it if it does not exist.

    Raises:
        IndexLockedError: Another process is writing to the index, and `wait` is not given.
        StoppedError: `wait.stop` was set while waiting.
        CatalogError: The catalog cannot be created, read, written or migrated.
    """
    with locked(folder, wait), CatalogWriter(connect_to_write(folder.catalog)) as writer:
        yield writer


def open_for_reading(folder: IndexFolder) -> Catalog:
    """Open the catalog of an index for reading; one of an older schema is migrated first.

    Raises:
        NoIndexError: There is no index, or it was never finished.
        IndexLockedError: It needs a migration, and another process is writing to it.
        CatalogError: The catalog cannot be read or migrated.
    """
    file = folder.existing().catalog
    try:
        return Catalog.open(file)
    except OutdatedCatalogError:
        with open_for_writing(folder):
            return Catalog.open(file)


class CatalogWriter(Catalog):
    """An open catalog that can be written to; see :func:`open_for_writing`.

    Attributes:
        connection: For statements without a method here; run them inside :meth:`batch`.

    Raises:
        CatalogError: From every method, if SQLite cannot read or write the file.
    """

    connection: WriteConnection

    def __init__(self, connection: WriteConnection) -> None:
        super().__init__(connection)

    def batch(self) -> AbstractContextManager[None]:
        """Commit everything that is written inside at once, or nothing."""
        return self.connection.batch()

    def set_settings(self, settings: Settings) -> None:
        """Record the model that the index is made with."""
        with self.batch():
            self.connection.execute_many(
                "INSERT INTO settings VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                list(settings._asdict().items()),
            )

    def add_content(self, content: Content) -> int:
        """Add a content without chunks, and return its id."""
        cursor = self.connection.execute(
            f"INSERT INTO contents ({CONTENT_COLUMNS}) VALUES ({CONTENT_MARKS})",
            astuple(content),
        )
        assert cursor.lastrowid is not None, "a row was inserted"
        return cursor.lastrowid

    def add_chunk(
        self, content_id: int, kind: Kind, chunk: ChunkRow, vector: NDArray[np.float32]
    ) -> None:
        """Add a chunk and its vector, shape (dimension,), to a content."""
        chunk_id = self.connection.execute(
            "INSERT INTO chunks "
            "(content_id, modality, line_start, line_end, text, page, time_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (content_id, kind, *chunk),
        ).lastrowid
        blob = vector.astype(VECTOR_DTYPE).tobytes()
        self.connection.execute("INSERT INTO vectors VALUES (?, ?)", (chunk_id, blob))
        self.connection.vectors_changed()

    def drop_content(self, digest: bytes) -> None:
        """Remove a content that no file holds yet, if it exists."""
        with self.batch():
            self.connection.execute("DELETE FROM contents WHERE hash = ?", (digest,))
            self.connection.vectors_changed()

    def put_file(
        self,
        root: Root,
        path: str,
        size: int | None,
        mtime_ns: int | None,
        *,
        status: str,
        content_id: int | None = None,
        reason: str | None = None,
        is_new: bool | None = None,
    ) -> None:
        """Add a file or replace its row, and mark it as seen.

        `is_new` tells whether the catalog has no row of the file; None looks it up.
        """
        if is_new is None:
            is_new = self.file_row(root, path) is None
        row = (size, mtime_ns, status, reason, content_id, root.id, path)
        if is_new:
            self.connection.execute(
                "INSERT INTO files (size, mtime_ns, status, reason, content_id, root_id, path) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        else:
            # An upsert would fail for the second of two copies that change in one run: its conflict
            # handling overrides that of the trigger, which ignores conflicts.
            self.connection.execute(
                "UPDATE files SET size = ?, mtime_ns = ?, status = ?, reason = ?, content_id = ? "
                "WHERE root_id = ? AND path = ?",
                row,
            )
        self.connection.execute(
            "INSERT OR REPLACE INTO met SELECT id, ? FROM files WHERE root_id = ? AND path = ?",
            (is_new, root.id, path),
        )

    def mark_seen(self, files: Iterable[FileRow]) -> None:
        """Mark unchanged files as seen in this run, for :func:`.removal.delete_unseen`."""
        with translated(self.file):
            self.connection.execute_many(
                "INSERT OR IGNORE INTO met VALUES (?, 0)", [(file.id,) for file in files]
            )

    def set_calibration(self, kind: Kind, calibration: Calibration) -> None:
        """Store the calibration of a kind's cosines."""
        row = (kind, *calibration, self.generation(), self.vector_count(kind))
        with translated(self.file):
            self.connection.execute(
                "INSERT OR REPLACE INTO scales (kind, centre, unit, generation, vectors) "
                "VALUES (?, ?, ?, ?, ?)",
                row,
            )
