"""The catalog, written: one writer at a time."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.errors import OutdatedCatalogError
from nmm.index.store.catalog.connection import translated
from nmm.index.store.catalog.reader import VECTOR_DTYPE, Catalog
from nmm.index.store.catalog.root_writer import RootWriter
from nmm.index.store.catalog.types import FileRow, Kind, Root, Scale, Segment, relative_to
from nmm.index.store.lock import Wait, locked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.layout import IndexFolder

# What is read of a content's file, as a number that grows with it: 1 for the place, the camera
# and the caption of an image.
DETAILS = 1


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, known by its hash, and what it says of itself.

    Sizes in pixels, degrees of latitude and longitude, camera and caption are of an image;
    `details` is :data:`DETAILS`, or less if an older nmm read the file, and `fingerprint` is
    that of :mod:`nmm.index.media.image.fingerprint`.
    """

    hash: bytes
    kind: Kind
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
CONTENT_PLACES = ", ".join("?" for _ in fields(Content))


class ChunkRow(NamedTuple):
    """One vector's worth of a content; the fields are empty for an image."""

    line_start: int | None = None
    line_end: int | None = None
    text: str | None = None


class Changes(NamedTuple):
    """What became of the files that a walk did not meet again."""

    moved: int
    removed: int


@contextmanager
def open_for_writing(folder: IndexFolder, wait: Wait | None = None) -> Iterator[CatalogWriter]:
    """The catalog of an index, made if it is not there, for this process alone.

    Raises:
        IndexLockedError: Another process is writing to it, and is not to be waited for.
        StoppedError: `wait.stop` was set while waiting.
        CatalogError: It cannot be made, read, written or brought up to date.
    """
    with locked(folder, wait), CatalogWriter.create(folder.catalog) as writer:
        yield writer


def open_for_reading(folder: IndexFolder) -> Catalog:
    """The catalog of an index; one that an older nmm made is brought up to date first.

    Raises:
        NoIndexError: There is none, or it was never finished.
        IndexLockedError: It is an older one's, and another process is writing to it.
        CatalogError: It cannot be read, or not be brought up to date.
    """
    file = folder.existing().catalog
    try:
        return Catalog.open(file)
    except OutdatedCatalogError:
        with open_for_writing(folder):
            return Catalog.open(file)


class CatalogWriter(RootWriter):
    """An open catalog that can be written to; see :func:`open_for_writing`."""

    def add_content(self, content: Content) -> int:
        """Add a content without chunks; its id."""
        cursor = self._database.execute(
            f"INSERT INTO contents ({CONTENT_COLUMNS}) VALUES ({CONTENT_PLACES})",  # noqa: S608
            astuple(content),
        )
        assert cursor.lastrowid is not None, "a row was inserted"
        return cursor.lastrowid

    def add_chunk(
        self, content_id: int, kind: Kind, chunk: ChunkRow, vector: NDArray[np.float32]
    ) -> None:
        """Add a chunk and its vector, of shape (dimension,), to a content."""
        chunk_id = self._database.execute(
            "INSERT INTO chunks (content_id, kind, line_start, line_end, text) "
            "VALUES (?, ?, ?, ?, ?)",
            (content_id, kind, *chunk),
        ).lastrowid
        blob = vector.astype(VECTOR_DTYPE).tobytes()
        self._database.execute("INSERT INTO vectors VALUES (?, ?)", (chunk_id, blob))
        self._vectors_changed = True

    def drop_content(self, digest: bytes) -> None:
        """Remove a content that no file holds yet, if it is there."""
        with self.batch():
            self._database.table("contents").delete_where("hash = ?", [digest])
            self._vectors_changed = True

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
        """Add a file, or replace what is known of it, and take it as met.

        `is_new` says whether the catalog has no row of the file; None if that is to be looked up.
        """
        if is_new is None:
            is_new = self.file_row(root, path) is None
        row = (size, mtime_ns, status, reason, content_id, root.id, path)
        self._database.execute(
            "INSERT INTO files (size, mtime_ns, status, reason, content_id, root_id, path) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (root_id, path) DO UPDATE SET "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, status = excluded.status, "
            "reason = excluded.reason, content_id = excluded.content_id",
            row,
        )
        self._database.execute(
            "INSERT OR REPLACE INTO met SELECT id, ? FROM files WHERE root_id = ? AND path = ?",
            (is_new, root.id, path),
        )

    def meet(self, files: Iterable[FileRow]) -> None:
        """Take files as met, unchanged."""
        with translated(self.file):
            self._connection.executemany(
                "INSERT OR IGNORE INTO met VALUES (?, 0)", [(file.id,) for file in files]
            )

    def forget_unmet(
        self, scopes: Sequence[tuple[Root, str]], unseen: Collection[tuple[Root, str]]
    ) -> Changes:
        """Remove the files that this run has not met below its scopes.

        A scope is a root and a path below it, as is a folder in `unseen`, which could not
        be read: files below that are kept. A file that is gone while its content was met
        at a new path has moved.
        """
        kept: dict[Root, set[str]] = {}
        for root, folder in unseen:
            kept.setdefault(root, set()).add(folder)
        unmet: dict[int, int | None] = {}
        for root, start in scopes:
            condition, parameters = _at_or_below(root, start)
            rows = self._rows(
                f"SELECT id, path, content_id FROM files WHERE {condition} "  # noqa: S608
                "AND id NOT IN (SELECT file_id FROM met)",
                parameters,
            )
            unmet |= {
                row: content
                for row, path, content in rows
                if not at_and_above(path) & kept.get(root, set())
            }
        moved = removed = 0
        if not unmet:
            return Changes(moved, removed)
        new = Counter(
            content
            for (content,) in self._rows(
                "SELECT content_id FROM files JOIN met ON file_id = id "
                "WHERE new AND content_id IS NOT NULL"
            )
        )
        for content in unmet.values():
            if new[content] > 0:
                new[content] -= 1
                moved += 1
            elif content is not None:
                removed += 1
        with self.batch():
            self._delete_files(unmet)
        return Changes(moved, removed)

    def _delete_files(self, rows: Iterable[int]) -> None:
        self._connection.executemany("DELETE FROM files WHERE id = ?", [(row,) for row in rows])

    def holds(self, path: Path) -> bool:
        """Whether there is a root or a file at an absolute path, or below it."""
        return any(
            root.path.is_relative_to(path)
            or (path.is_relative_to(root.path) and bool(self._below(root, path)))
            for root in self.roots()
        )

    def forget(self, path: Path) -> int:
        """Remove a file, or all below a folder or root, from the catalog.

        Returns how many files could be found before, and cannot now.
        """
        removed = 0
        with self.batch():
            for root in self.roots():
                if root.path.is_relative_to(path):
                    removed += sum(content is not None for _, content in self._below(root))
                    self._database.table("roots").delete(root.id)
                elif path.is_relative_to(root.path):
                    below = dict(self._below(root, path))
                    self._delete_files(below)
                    removed += sum(content is not None for content in below.values())
        return removed

    def empty(self, root: Root) -> int:
        """Remove all files of a root, which stays; returns as :meth:`forget` does."""
        below = self._below(root)
        with self.batch():
            self._delete_files(row for row, _ in below)
        return sum(content is not None for _, content in below)

    def holds_below(self, root: Root, path: str) -> bool:
        """Whether there is a file at a path relative to a root, or below it."""
        condition, parameters = _at_or_below(root, path)
        sql = f"SELECT EXISTS (SELECT 1 FROM files WHERE {condition})"  # noqa: S608
        return bool(self._number(sql, parameters))

    def _below(self, root: Root, path: Path | None = None) -> list[tuple[int, int | None]]:
        """Rows of a root's files at or below a path, each with its content."""
        start = relative_to(path or root.path, root)
        condition, parameters = _at_or_below(root, start)
        sql = f"SELECT id, content_id FROM files WHERE {condition}"  # noqa: S608
        return list(self._rows(sql, parameters))

    def drop_orphans(self) -> None:
        """Remove contents that no file holds, with their chunks and vectors."""
        if not self._number("SELECT EXISTS (SELECT 1 FROM loose)"):
            return
        unheld = (
            "id IN (SELECT content_id FROM loose) "
            "AND NOT EXISTS (SELECT 1 FROM files WHERE content_id = contents.id)"
        )
        with self.batch():
            if self._number(f"SELECT EXISTS (SELECT 1 FROM contents WHERE {unheld})"):  # noqa: S608
                self._database.table("contents").delete_where(unheld)
                self._vectors_changed = True
            self._database.execute("DELETE FROM loose")

    def set_scale(self, kind: Kind, scale: Scale) -> None:
        """Keep the scale of a kind's cosines."""
        row = {
            "kind": kind,
            **scale._asdict(),
            "generation": self.generation(),
            "vectors": self.vector_count(kind),
        }
        with translated(self.file):
            self._database.table("scales").upsert(row, pk="kind")

    def replace_segments(
        self, kind: Kind, gone: Sequence[Segment], new: Segment | None = None
    ) -> None:
        """Keep which derived files hold a kind's vectors: one in place of some others."""
        with self.batch():
            for segment in gone:
                self._database.table("segments").delete(segment.name)
            if new:
                self._database.table("segments").insert({"kind": kind, **new._asdict()})
            sys.audit("nmm.store", "segments to be named")


def at_and_above(path: str) -> set[str]:
    """A path in the catalog and all folders that it is in, the root among them."""
    return {"", path, *(str(folder) for folder in PurePosixPath(path).parents)}


def _at_or_below(root: Root, start: str) -> tuple[str, tuple[object, ...]]:
    """A condition on files, and its parameters: those of a root at a path or below it."""
    if not start:
        return "root_id = ?", (root.id,)
    # What begins with the path and a slash comes before the path and a 0, the next character:
    # of this range the rest is looked at, and not all files of the root.
    return (
        "root_id = ? AND path >= ? AND path < ? || '0' AND (path = ? OR path GLOB ? || '/*')",
        (root.id, start, start, start, _glob_escaped(start)),
    )


def _glob_escaped(text: str) -> str:
    """Text for SQLite's GLOB, standing for itself."""
    return re.sub(r"[*?\[]", r"[\g<0>]", text)
