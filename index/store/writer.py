"""The catalog, written: one writer at a time, in whole batches."""

from __future__ import annotations

import json
import os
import re
import secrets
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.errors import CatalogError, OutdatedCatalogError
from nmm.index.store import words
from nmm.index.store.catalog import (
    SCHEMA,
    VECTOR_DTYPE,
    Catalog,
    FileRow,
    Kind,
    Root,
    Scale,
    Segment,
    Settings,
    translated,
)
from nmm.index.store.lock import Wait, locked
from nmm.index.sync import sync

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sqlite_utils import Database
    from typing_extensions import Self

    from nmm.index.store.location import IndexFolder


# All that a catalog holds but the record of its schema.
TABLES = (
    "settings",
    "roots",
    "mounts",
    "contents",
    "boxes",
    "files",
    "chunks",
    "vectors",
    "scales",
    "segments",
    "loose",  # the last: what is done to the others puts rows into it
)
# What is read of a content's file, as a number that grows with it: 1 for the place, the camera
# and the caption of an image.
DETAILS = 1
# A catalog is written anew without its free pages when one in so many of all is free.
FREE = 10


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, known by its hash, and what it says of itself.

    Sizes in pixels, degrees of latitude and longitude, camera and caption are of an image;
    `details` is :data:`DETAILS`, or less if an older nmm read the file, and `fingerprint` is
    that of :mod:`nmm.index.media.fingerprint`.
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


class CatalogWriter(Catalog):
    """An open catalog that can be written to; see :func:`open_for_writing`."""

    def __init__(self, file: Path, database: Database) -> None:
        super().__init__(file, database.conn)
        self._database = database
        self._vectors_changed = False

    @classmethod
    def create(cls, file: Path) -> Self:
        """Open a catalog for writing, making it or bringing its schema up to date."""
        from sqlite_utils import Database

        with translated(file):
            if not file.exists():
                _make(file)
            # Transactions begin where this module says, and nowhere else.
            connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
            writer = cls(file, Database(connection))
            try:
                writer._prepare()
            except BaseException:
                writer.close()
                raise
        return writer

    def _prepare(self) -> None:
        self._database.enable_wal()
        # A committed batch outlives a power cut.
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("PRAGMA foreign_keys = ON")
        self._database.execute("PRAGMA recursive_triggers = ON")
        self._check_schema()
        if 0 < self._schema() < SCHEMA:
            try:
                self._back_up()
            except OSError as error:
                raise CatalogError(
                    f"The index in {self.file.parent} cannot be brought up to date.",
                    why=f"A copy of its catalog cannot be kept: {error}",
                    hint="Make room on that disk; the index is as it was.",
                ) from error
        _bring_up_to_date(self._database)
        sys.audit("nmm.store", "schema brought up to date")
        # What a walk has met in this run: ids of file rows, and whether they are new.
        self._database.execute("CREATE TEMP TABLE met (file_id INTEGER PRIMARY KEY, new INTEGER)")

    def _back_up(self) -> None:
        """Keep a copy of the catalog as it is, for a schema is never changed back."""
        kept = self.file.with_name(f"{self.file.name}.schema-{self._schema()}")
        if kept.exists():  # of an earlier try: the catalog is still what it was then
            return
        part = kept.with_name(f"{kept.name}.part")
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(part)) as copy:
            self._connection.backup(copy)
        sys.audit("nmm.store", "schema to be backed up")
        sync(part)
        part.replace(kept)
        sys.audit("nmm.store", "schema backed up")
        sync(kept.parent)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """All that is written inside is committed together, or not at all."""
        nested = self._connection.in_transaction
        with translated(self.file), self._database.atomic():
            yield
            if not nested:
                sys.audit("nmm.store", "batch written")
            if self._vectors_changed:
                self._database.execute(
                    "INSERT INTO settings VALUES ('generation', 1) "
                    "ON CONFLICT (key) DO UPDATE SET value = value + 1"
                )
        self._vectors_changed = False
        if not nested:
            sys.audit("nmm.store", "batch committed")

    def continue_from(self, old: Catalog) -> None:
        """Count on from a catalog that this one will replace: ids and generations stay unique."""
        with self.batch():
            for table in ("contents", "chunks"):
                self._database.execute(
                    "INSERT INTO sqlite_sequence SELECT ?, 0 WHERE NOT EXISTS "
                    "(SELECT 1 FROM sqlite_sequence WHERE name = ?)",
                    (table, table),
                )
                self._database.execute(
                    "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?",
                    (old.last_id(table), table),
                )
            self._database.execute(
                "INSERT INTO settings VALUES ('generation', ?) "
                "ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
                (old.generation() + 1,),
            )
            self._database.execute(
                "INSERT OR IGNORE INTO settings VALUES ('rebuild', ?)", (secrets.token_hex(8),)
            )

    def become(self, new: Path) -> None:
        """Take over all that another catalog holds, in place of what is here, all at once.

        Whoever reads sees the one or the other. The files themselves cannot be exchanged:
        the write-ahead log of the old one would be applied to the new one.
        """
        with translated(self.file):
            self._database.execute("ATTACH ? AS new", (str(new),))
            # Off, so that emptying a table does not look at each of its rows.
            self._database.execute("PRAGMA foreign_keys = OFF")
            try:
                with self._database.atomic():
                    words.drop(self._connection)
                    for table in TABLES:
                        self._database.execute(f"DELETE FROM main.{table}")  # noqa: S608
                        self._database.execute(
                            f"INSERT INTO main.{table} SELECT * FROM new.{table}"  # noqa: S608
                        )
                    words.make(self._connection)
                    sys.audit("nmm.store", "rebuild copied")
            finally:
                self._database.execute("PRAGMA foreign_keys = ON")
                self._database.execute("DETACH new")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def make_words(self) -> None:
        """Make the tables of words again from the rows that they are derived from."""
        with self.batch():
            words.make(self._connection)

    def set_settings(self, settings: Settings) -> None:
        """Say what the index is made with."""
        with self.batch():
            for key, value in settings._asdict().items():
                self._database.table("settings").upsert({"key": key, "value": value}, pk="key")

    def adopt_root(
        self, path: Path, reaches: Callable[[Path, Path], bool] = lambda _outer, _inner: True
    ) -> tuple[Root, str]:
        """The root that holds an absolute path, and the path relative to it.

        A path outside all roots becomes one. Roots below it are taken into it, so that
        no file stands in the catalog twice. `reaches` says of a folder and a path below
        it whether a walk of the one meets the other; where it does not, each is a root.
        """
        above = json.dumps([str(folder) for folder in (path, *path.parents)])
        holders = self._rows(
            "SELECT id, path FROM roots WHERE path IN (SELECT value FROM json_each(?)) "
            "ORDER BY length(path) DESC",
            (above,),
        )
        for root in [Root(number, Path(name)) for number, name in holders]:
            if root.path == path:
                self._absorb_roots_below(root, reaches)
                return root, ""
            if reaches(root.path, path):
                return root, _relative(path, root)
        added_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        row = {"path": str(path), "added_at": added_at}
        with self.batch():
            new = Root(int(self._database.table("roots").insert(row).last_pk), path)  # type: ignore[arg-type]
            self._absorb_roots_below(new, reaches)
        return new, ""

    def _absorb_roots_below(self, outer: Root, reaches: Callable[[Path, Path], bool]) -> None:
        # What begins with the path and a separator sorts before the next character.
        prefix = str(outer.path).rstrip(os.sep)
        below = self._rows(
            "SELECT id, path FROM roots WHERE path > ? AND path < ? AND id != ?",
            (prefix + os.sep, prefix + chr(ord(os.sep) + 1), outer.id),
        )
        inner = [Root(number, Path(name)) for number, name in below]
        with self.batch():
            for root in inner:
                if reaches(outer.path, root.path):
                    relative = _relative(root.path, outer)
                    self._take_mounts(root, outer)
                    self._database.execute(
                        # A path that stands there already was met through the outer root.
                        "UPDATE OR REPLACE files SET root_id = ?, path = CASE path "
                        "WHEN '' THEN ? ELSE ? || '/' || path END WHERE root_id = ?",
                        (outer.id, relative, relative, root.id),
                    )
                    self._database.table("roots").delete(root.id)

    def _take_mounts(self, inner: Root, outer: Root) -> None:
        """Keep for a root what is known of mount points in one that it takes in."""
        points = [inner.path / path for path in self.mounts(inner)]
        if (own := self.mount(inner)) and own != outer.path and own.is_relative_to(outer.path):
            points.append(own)
        for point in points:
            self.add_mount(outer, _relative(point, outer))

    def move_roots(self, moves: Mapping[Root, Path]) -> None:
        """Put roots at other places, all at once; one may take the place that another had."""
        with self.batch():
            for root in moves:
                self._database.table("roots").update(root.id, {"path": f"\0{root.id}"})
            for root, path in moves.items():
                self._database.table("roots").update(root.id, {"path": str(path)})

    def set_mount(self, root: Root, point: Path | None) -> None:
        """Keep the mount point that a root lies on."""
        if self.mount(root) != point:
            with self.batch():
                row = {"mount": point and str(point)}
                self._database.table("roots").update(root.id, row)

    def add_mount(self, root: Root, path: str) -> None:
        """Keep that something is mounted on a folder below a root, relative to it."""
        with self.batch():
            self._database.execute("INSERT OR IGNORE INTO mounts VALUES (?, ?)", (root.id, path))

    def drop_mount(self, root: Root, path: str) -> None:
        """Forget that something was mounted there."""
        with self.batch():
            self._database.table("mounts").delete((root.id, path))

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
    ) -> None:
        """Add a file, or replace what is known of it, and take it as met."""
        known = self.file_row(root, path)
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
            (known is None, root.id, path),
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
                if not _at_and_above(path) & kept.get(root, set())
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
        start = _relative(path or root.path, root)
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

    def tidy(self) -> None:
        """Give back what the catalog does not need on disk, and keep its queries planned well."""
        with translated(self.file):
            self._database.execute("PRAGMA optimize")
            free = self._number("PRAGMA freelist_count")
            if free and free * FREE >= self._number("PRAGMA page_count"):
                self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def tidy_words(self) -> None:
        """Keep nothing in the tables of words of what was removed, and make them fast to read."""
        with self.batch():
            words.optimize(self._connection)


def _bring_up_to_date(database: Database) -> None:
    """Take the steps of the schema that are not taken, and make the tables of words, at once."""
    from nmm.index.store.migrations import migrations

    with database.atomic():
        migrations.apply(database)
        if not words.are_made(database.conn):
            words.make(database.conn)


def _make(file: Path) -> None:
    """Make an empty catalog beside its name, and give it that when it has all its tables.

    Made in its place, it would be locked by whoever tries to read it, and be in the way of
    changing it to a write-ahead log.
    """
    from sqlite_utils import Database

    new = file.with_name(f"{file.name}.new")
    try:
        for left in new.parent.glob(f"{new.name}*"):  # by a run that was killed here
            left.unlink()
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            database = Database(connection)
            database.execute("PRAGMA synchronous = FULL")
            _bring_up_to_date(database)
            database.enable_wal()
        sync(new)
        new.replace(file)
        sync(file.parent)
    except OSError as error:
        raise CatalogError(
            f"The catalog {file} cannot be made.",
            why=error.strerror or str(error),
            hint="Make room on that disk, or name another folder with --index or NMM_INDEX.",
        ) from error


def _relative(path: Path, root: Root) -> str:
    """A path as it stands in the catalog: relative to its root, empty for the root itself."""
    relative = path.relative_to(root.path).as_posix()
    return "" if relative == "." else relative


def _at_and_above(path: str) -> set[str]:
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
