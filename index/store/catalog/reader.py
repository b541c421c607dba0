"""The catalog, read: what is in an index, and what belongs to a vector.

SQLite in WAL mode: readers work while a writer writes, and see whole batches only.
A reader imports nothing but the standard library, for a search pays for every import.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.errors import CatalogError, NmmError, NoIndexError, OutdatedCatalogError
from nmm.index.store.catalog.connection import (
    VECTOR_DTYPE,
    CatalogConnection,
    connect_to_read,
    translated,
)
from nmm.index.store.catalog.sql_filters import Condition, register
from nmm.index.store.catalog.types import (
    KINDS,
    Calibration,
    FileRow,
    Hit,
    Kind,
    Root,
    Settings,
    locate,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

SCHEMA = 5


# The greatest id that SQLite can give.
MAX_ID = (1 << 63) - 1


def checked_schema(connection: CatalogConnection) -> int:
    """Return the number of a catalog's schema; 0 if it has no tables yet.

    Raises:
        CatalogError: A newer nmm wrote it, or it cannot be read.
    """
    version = connection.scalar("PRAGMA user_version")
    if version > SCHEMA:
        raise CatalogError(
            f"The index in {connection.file.parent} was written by a newer nmm.",
            code="catalog-newer-schema",
            why=f"Its schema is number {version}. This nmm supports up to {SCHEMA}.",
            path=connection.file.parent,
            schema=version,
        )
    return version


class Catalog:
    """An open catalog. Close it, or use it in a `with` statement.

    Attributes:
        file: The catalog's file.
        connection: For queries that have no method here.

    Raises:
        CatalogError: From every method, if SQLite cannot read the file.
    """

    def __init__(self, connection: CatalogConnection) -> None:
        self.file = connection.file
        self.connection = connection
        register(connection.sqlite)

    @classmethod
    def open(cls, file: Path) -> Self:
        """Open an existing catalog for reading.

        Raises:
            NoIndexError: It was never finished, and has no tables yet.
            CatalogError: It cannot be read, or a newer nmm wrote it. If an older one wrote it,
                the error is an OutdatedCatalogError.
        """
        with translated(file):
            connection = CatalogConnection(file, connect_to_read(file))
        try:
            version = checked_schema(connection)
            if 0 < version < SCHEMA:
                raise OutdatedCatalogError(
                    f"The index in {file.parent} was written by an older nmm.",
                    why=f"Its schema is number {version}, and this nmm's {SCHEMA}.",
                    code="catalog-older-schema",
                    path=file.parent,
                )
            if version == 0:
                raise NoIndexError(
                    f"The index in {file.parent} was never finished.",
                    code="index-unfinished",
                    path=file.parent,
                )
        except NmmError:
            connection.close()
            raise
        return cls(connection)

    def close(self) -> None:
        """Close the catalog."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def snapshot(self) -> AbstractContextManager[None]:
        """Read everything inside as of one moment, whatever a writer does meanwhile."""
        return self.connection.snapshot()

    def settings(self) -> Settings | None:
        """The model of the index; None as long as nothing was embedded."""
        found = dict(self.connection.rows("SELECT key, value FROM settings"))
        try:
            return Settings(*(found[key] for key in Settings._fields))
        except KeyError:
            return None

    def generation(self) -> int:
        """A number that grows with every committed batch that adds or removes vectors."""
        row = self.connection.first("SELECT value FROM settings WHERE key = 'generation'")
        return row[0] if row else 0

    def version(self) -> int:
        """A number that is another one when another process has written, whatever it was."""
        return self.connection.scalar("PRAGMA data_version")

    def rebuild(self) -> str | None:
        """What names the rebuild that this catalog was made by; None if by none."""
        row = self.connection.first("SELECT value FROM settings WHERE key = 'rebuild'")
        return row[0] if row else None

    def last_id(self, table: str) -> int:
        """The greatest id that a table ever gave."""
        row = self.connection.first("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
        return row[0] if row else 0

    def last_file(self) -> int:
        """The greatest id of a file: there are not more, and about as many."""
        return self.connection.scalar("SELECT ifnull(max(id), 0) FROM files")

    def roots(self) -> list[Root]:
        """All roots, by path."""
        rows = self.connection.rows("SELECT id, path FROM roots ORDER BY path")
        return [Root(number, Path(path)) for number, path in rows]

    def top_names(self, root: Root, most: int) -> list[str]:
        """Names of folders right below a root, found among its `most` first entries."""
        found, after = [], ""
        sql = "SELECT path FROM files WHERE root_id = ? AND path >= ? ORDER BY path LIMIT 1"
        for _ in range(most):
            row = self.connection.first(sql, (root.id, after))
            if row is None:
                break
            name, below, _ = row[0].partition("/")
            if below:
                found.append(name)
            # On from what is in this folder ("0" follows "/"), or from this file.
            after = f"{name}0" if below else f"{name}\0"
        return found

    def root_counts(self) -> dict[int, tuple[int, int, int, int]]:
        """By the id of a root that has files: those to be found, images, texts, and skipped."""
        sql = (
            "SELECT root_id, count(content_id), total(image), total(text), "
            "total(status = 'skipped') FROM (SELECT *, "
            + ", ".join(
                "EXISTS (SELECT 1 FROM chunks WHERE chunks.content_id = files.content_id "
                f"AND modality = '{modality}') AS {modality}"
                for modality in KINDS
            )
            + " FROM files) GROUP BY root_id"
        )
        return {
            root: (files, int(images), int(texts), int(skipped))
            for root, files, images, texts, skipped in self.connection.rows(sql)
        }

    def mount(self, root: Root) -> Path | None:
        """The mount point that a root lay on when it was last indexed; None if not known."""
        row = self.connection.first("SELECT mount FROM roots WHERE id = ?", (root.id,))
        return Path(row[0]) if row and row[0] else None

    def mounts(self, root: Root) -> list[str]:
        """The mount points that there were below a root, relative to it."""
        sql = "SELECT path FROM mounts WHERE root_id = ? ORDER BY path"
        return [path for (path,) in self.connection.rows(sql, (root.id,))]

    def file_row(self, root: Root, path: str) -> FileRow | None:
        """What is known of a file, by its path relative to its root."""
        sql = "SELECT id, size, mtime_ns, status, content_id FROM files WHERE root_id=? AND path=?"
        row = self.connection.first(sql, (root.id, path))
        return FileRow(*row) if row else None

    def file_rows(self, root: Root, paths: Sequence[str]) -> dict[str, FileRow]:
        """What is known of each of some files of a root, as far as they are known."""
        sql = (
            "SELECT files.path, files.id, size, mtime_ns, status, content_id "
            # Crossed, for SQLite would go through all files of the root instead.
            "FROM json_each(?) CROSS JOIN files ON root_id = ? AND files.path = value"
        )
        return {
            path: FileRow(*row)
            for path, *row in self.connection.rows(sql, (json.dumps(paths), root.id))
        }

    def content_id(self, digest: bytes) -> int | None:
        """The content with that hash, if it is in the catalog."""
        row = self.connection.first("SELECT id FROM contents WHERE hash = ?", (digest,))
        return row[0] if row else None

    def content_ids(self, digests: Collection[bytes]) -> dict[bytes, int]:
        """Return the rows of some contents by their hashes, of those that are in the catalog."""
        places = ", ".join("?" for _ in digests)
        sql = f"SELECT hash, id FROM contents WHERE hash IN ({places})"
        return dict(self.connection.rows(sql, tuple(digests)))

    def file_counts(self) -> dict[str, int]:
        """Return the number of files by status, and of those with a unit of each modality."""
        by_status = self.connection.rows("SELECT status, count(*) FROM files GROUP BY status")
        by_modality = self.connection.rows(
            "SELECT value, count(*) FROM json_each(?) CROSS JOIN files WHERE EXISTS (SELECT 1 "
            "FROM chunks WHERE chunks.content_id = files.content_id AND modality = value) "
            "GROUP BY value",
            (json.dumps(KINDS),),
        )
        return {**dict(by_status), **dict(by_modality)}

    def vector_count(self, kind: Kind | None = None, *, after: int = 0) -> int:
        """Number of vectors, of one kind, then of those after a chunk, or of both."""
        if kind is None:
            return self.connection.scalar("SELECT count(*) FROM vectors")
        return self.connection.scalar(
            "SELECT count(*) FROM chunks WHERE modality = ? AND id > ?", (kind, after)
        )

    def skipped(self) -> Iterator[tuple[str, str]]:
        """The absolute path of each skipped file, and why."""
        rows = self.connection.rows(
            "SELECT roots.path, files.path, reason FROM files JOIN roots ON roots.id = root_id "
            "WHERE status = 'skipped' ORDER BY roots.path, files.path"
        )
        for root, path, reason in rows:
            yield locate(str(root), str(path)), str(reason)

    def last_chunk(self, kind: Kind) -> int:
        """The greatest id of a chunk of a kind; 0 if there is none."""
        return self.connection.scalar(
            "SELECT ifnull(max(id), 0) FROM chunks WHERE modality = ?", (kind,)
        )

    def chunk_ids(self, kind: Kind, *, upto: int = MAX_ID) -> NDArray[np.int64]:
        """All ids of chunks of a kind up to one, in order, shape (n,)."""
        import numpy as np

        sql = "SELECT id FROM chunks WHERE modality = ? AND id <= ? ORDER BY id"
        return np.fromiter((row[0] for row in self.connection.rows(sql, (kind, upto))), np.int64)

    def vectors(
        self, kind: Kind, *, after: int = 0, upto: int = MAX_ID, every: int = 1
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Vectors of a kind in blocks: ids of chunks, shape (n,), and vectors, (n, dimension).

        In order of id, those after one id and up to another; `every` takes a sample, one
        vector out of so many.
        """
        if every == 1:
            sql = (
                "SELECT id, vector FROM chunks JOIN vectors ON chunk_id = id "
                "WHERE modality = ? AND id > ? AND id <= ? ORDER BY id"
            )
            parameters: tuple[object, ...] = (kind, after, upto)
        else:
            # Numbered, for ids follow the pattern in which the kinds were added: a divisor
            # of ids could miss all of a kind.
            sql = (
                "SELECT id, vector FROM (SELECT id, row_number() OVER (ORDER BY id) AS number "
                "FROM chunks WHERE modality = ? AND id > ? AND id <= ?) "
                "JOIN vectors ON chunk_id = id WHERE number % ? = 0 ORDER BY id"
            )
            parameters = (kind, after, upto, every)
        yield from self.connection.blocks(sql, parameters)

    def vectors_of(
        self, chunks: Sequence[int]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Vectors of certain chunks, in blocks as of :meth:`vectors`; of those that are there."""
        sql = "SELECT chunk_id, vector FROM json_each(?) CROSS JOIN vectors ON chunk_id = value"
        yield from self.connection.blocks(sql, (json.dumps(chunks),))

    def vectors_of_content(
        self, digest: bytes
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Vectors of what a file holds with that hash, in blocks as of :meth:`vectors`.

        None of a content that no file has: it may not be there to its end.
        """
        sql = (
            "SELECT chunk_id, vector FROM contents JOIN chunks ON content_id = contents.id "
            "JOIN vectors ON chunk_id = chunks.id WHERE hash = ? "
            "AND EXISTS (SELECT 1 FROM files WHERE files.content_id = contents.id)"
        )
        yield from self.connection.blocks(sql, (digest,))

    def chunks_of(self, contents: Collection[int]) -> list[int]:
        """Ids of all chunks of some contents."""
        sql = "SELECT chunks.id FROM json_each(?) CROSS JOIN chunks ON content_id = value"
        return [chunk for (chunk,) in self.connection.rows(sql, (json.dumps([*contents]),))]

    def hits(
        self,
        chunks: Sequence[int],
        query: NDArray[np.float32] | None,
        where: Condition | None = None,
    ) -> list[Hit]:
        """The files that hold any of those chunks, each with its cosine to the query, if any.

        The score is computed from the catalog's own vectors, whatever proposed the
        chunks. A chunk that no file holds any more is passed over, and so are files that do
        not pass the condition.
        """
        import numpy as np

        condition, parameters = where or ("TRUE", ())
        rows = self.connection.rows(
            "SELECT roots.path, files.path, chunks.modality, vector, line_start, line_end, text, "
            "width, height, contents.id, chunks.id, files.id, page, time_ms "
            "FROM json_each(?) CROSS JOIN chunks ON chunks.id = value "
            "JOIN vectors ON chunk_id = chunks.id JOIN contents ON contents.id = chunks.content_id "
            "JOIN files ON files.content_id = contents.id JOIN roots ON roots.id = root_id "
            f"WHERE {condition}",
            (json.dumps(chunks), *parameters),
        )
        return [
            Hit(
                locate(root, path),
                kind,
                0.0
                if query is None
                else float(np.frombuffer(vector, VECTOR_DTYPE).astype(np.float32) @ query),
                *rest,
            )
            for root, path, kind, vector, *rest in rows
        ]

    def scale(self, kind: Kind) -> Calibration | None:
        """The scale of a kind's cosines, if it was measured."""
        row = self.connection.first("SELECT centre, unit FROM scales WHERE kind = ?", (kind,))
        return Calibration(*row) if row else None

    def scale_measured(self, kind: Kind) -> tuple[int, int] | None:
        """The generation that the scale of a kind was measured in, and of how many vectors."""
        row = self.connection.first(
            "SELECT generation, vectors FROM scales WHERE kind = ?", (kind,)
        )
        return (row[0], row[1]) if row else None
