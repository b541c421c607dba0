"""Reads the catalog: what an index holds, and the files of each vector.

SQLite runs in WAL mode: readers work while a writer writes, and see only complete batches.
A reader imports only the standard library, because a search pays for every import.
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


# The greatest id that SQLite can assign.
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
        """Read the same state inside, whatever a writer commits meanwhile."""
        return self.connection.snapshot()

    def settings(self) -> Settings | None:
        """Return the model of the index; None until something is embedded."""
        found = dict(self.connection.rows("SELECT key, value FROM settings"))
        try:
            return Settings(*(found[key] for key in Settings._fields))
        except KeyError:
            return None

    def generation(self) -> int:
        """Return a number that grows with each committed batch that adds or removes vectors."""
        row = self.connection.first("SELECT value FROM settings WHERE key = 'generation'")
        return row[0] if row else 0

    def version(self) -> int:
        """Return a number that changes whenever another process has written to the catalog."""
        return self.connection.scalar("PRAGMA data_version")

    def rebuild(self) -> str | None:
        """Return the name of the rebuild that made this catalog; None if none did."""
        row = self.connection.first("SELECT value FROM settings WHERE key = 'rebuild'")
        return row[0] if row else None

    def last_id(self, table: str) -> int:
        """Return the greatest id that a table ever assigned."""
        row = self.connection.first("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
        return row[0] if row else 0

    def last_file(self) -> int:
        """Return the greatest id of a file, an upper bound and estimate of the number of files."""
        return self.connection.scalar("SELECT ifnull(max(id), 0) FROM files")

    def roots(self) -> list[Root]:
        """Return all roots, ordered by path."""
        rows = self.connection.rows("SELECT id, path FROM roots ORDER BY path")
        return [Root(number, Path(path)) for number, path in rows]

    def top_names(self, root: Root, most: int) -> list[str]:
        """Return the names of folders directly below a root, among its first `most` entries."""
        found, after = [], ""
        sql = "SELECT path FROM files WHERE root_id = ? AND path >= ? ORDER BY path LIMIT 1"
        for _ in range(most):
            row = self.connection.first(sql, (root.id, after))
            if row is None:
                break
            name, below, _ = row[0].partition("/")
            if below:
                found.append(name)
            # Continue after everything in this folder ("0" follows "/"), or after this file.
            after = f"{name}0" if below else f"{name}\0"
        return found

    def root_counts(self) -> dict[int, tuple[int, int, int, int]]:
        """Return the numbers of indexed files, images, texts and skipped files, by root id."""
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
        """Return the mount point of a root when it was last indexed; None if unknown."""
        row = self.connection.first("SELECT mount FROM roots WHERE id = ?", (root.id,))
        return Path(row[0]) if row and row[0] else None

    def mounts(self, root: Root) -> list[str]:
        """Return the mount points below a root when it was last indexed, relative to it."""
        sql = "SELECT path FROM mounts WHERE root_id = ? ORDER BY path"
        return [path for (path,) in self.connection.rows(sql, (root.id,))]

    def file_row(self, root: Root, path: str) -> FileRow | None:
        """Return the row of a file, by its path relative to its root; None if there is none."""
        sql = "SELECT id, size, mtime_ns, status, content_id FROM files WHERE root_id=? AND path=?"
        row = self.connection.first(sql, (root.id, path))
        return FileRow(*row) if row else None

    def file_rows(self, root: Root, paths: Sequence[str]) -> dict[str, FileRow]:
        """Return the rows of some files of a root, by path; unknown files are missing."""
        sql = (
            "SELECT files.path, files.id, size, mtime_ns, status, content_id "
            # A cross join: otherwise SQLite would scan all files of the root.
            "FROM json_each(?) CROSS JOIN files ON root_id = ? AND files.path = value"
        )
        return {
            path: FileRow(*row)
            for path, *row in self.connection.rows(sql, (json.dumps(paths), root.id))
        }

    def content_id(self, digest: bytes) -> int | None:
        """Return the id of the content with a hash; None if the catalog has none."""
        row = self.connection.first("SELECT id FROM contents WHERE hash = ?", (digest,))
        return row[0] if row else None

    def content_ids(self, digests: Collection[bytes]) -> dict[bytes, int]:
        """Return the ids of contents by their hashes; unknown hashes are missing."""
        marks = ", ".join("?" for _ in digests)
        sql = f"SELECT hash, id FROM contents WHERE hash IN ({marks})"
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
        """Return the number of vectors of a kind after a chunk id, or of all vectors."""
        if kind is None:
            return self.connection.scalar("SELECT count(*) FROM vectors")
        return self.connection.scalar(
            "SELECT count(*) FROM chunks WHERE modality = ? AND id > ?", (kind, after)
        )

    def skipped(self) -> Iterator[tuple[str, str]]:
        """Yield the absolute path of each skipped file, and the reason."""
        rows = self.connection.rows(
            "SELECT roots.path, files.path, reason FROM files JOIN roots ON roots.id = root_id "
            "WHERE status = 'skipped' ORDER BY roots.path, files.path"
        )
        for root, path, reason in rows:
            yield locate(str(root), str(path)), str(reason)

    def last_chunk(self, kind: Kind) -> int:
        """Return the greatest chunk id of a kind; 0 if there is none."""
        return self.connection.scalar(
            "SELECT ifnull(max(id), 0) FROM chunks WHERE modality = ?", (kind,)
        )

    def chunk_ids(self, kind: Kind, *, upto: int = MAX_ID) -> NDArray[np.int64]:
        """Return the chunk ids of a kind up to `upto`, ascending, shape (n,)."""
        import numpy as np

        sql = "SELECT id FROM chunks WHERE modality = ? AND id <= ? ORDER BY id"
        return np.fromiter((row[0] for row in self.connection.rows(sql, (kind, upto))), np.int64)

    def vectors(
        self, kind: Kind, *, after: int = 0, upto: int = MAX_ID, every: int = 1
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield the vectors of a kind in blocks, ordered by chunk id.

        Args:
            kind: Which vectors.
            after, upto: The range of chunk ids, without its start and with its end.
            every: Take a sample of one vector out of this many.

        Yields:
            Chunk ids, shape (n,), and vectors, shape (n, dimension).
        """
        if every == 1:
            sql = (
                "SELECT id, vector FROM chunks JOIN vectors ON chunk_id = id "
                "WHERE modality = ? AND id > ? AND id <= ? ORDER BY id"
            )
            parameters: tuple[object, ...] = (kind, after, upto)
        else:
            # Rows are numbered, because ids follow the pattern in which the kinds were added: a
            # divisor of ids could miss all of a kind.
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
        """Yield the vectors of some chunks, as far as they exist, in blocks as :meth:`vectors`."""
        sql = "SELECT chunk_id, vector FROM json_each(?) CROSS JOIN vectors ON chunk_id = value"
        yield from self.connection.blocks(sql, (json.dumps(chunks),))

    def vectors_of_content(
        self, digest: bytes
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield the vectors of the content with a hash, in blocks as :meth:`vectors` does.

        A content without files has no vectors here, because it may be incomplete.
        """
        sql = (
            "SELECT chunk_id, vector FROM contents JOIN chunks ON content_id = contents.id "
            "JOIN vectors ON chunk_id = chunks.id WHERE hash = ? "
            "AND EXISTS (SELECT 1 FROM files WHERE files.content_id = contents.id)"
        )
        yield from self.connection.blocks(sql, (digest,))

    def chunks_of(self, contents: Collection[int]) -> list[int]:
        """Return the ids of all chunks of some contents."""
        sql = "SELECT chunks.id FROM json_each(?) CROSS JOIN chunks ON content_id = value"
        return [chunk for (chunk,) in self.connection.rows(sql, (json.dumps([*contents]),))]

    def hits(
        self,
        chunks: Sequence[int],
        query: NDArray[np.float32] | None,
        where: Condition | None = None,
    ) -> list[Hit]:
        """Return the files that hold any of some chunks, each with its cosine to the query.

        The score is computed from the catalog's own vectors. Chunks without a file, and files that
        do not pass the condition, are ignored. Without a query, scores are 0.
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

    def calibration(self, kind: Kind) -> Calibration | None:
        """Return the calibration of a kind's cosines; None if it was not measured."""
        row = self.connection.first("SELECT centre, unit FROM scales WHERE kind = ?", (kind,))
        return Calibration(*row) if row else None

    def calibration_basis(self, kind: Kind) -> tuple[int, int] | None:
        """Return the generation and number of vectors that a calibration was measured with."""
        row = self.connection.first(
            "SELECT generation, vectors FROM scales WHERE kind = ?", (kind,)
        )
        return (row[0], row[1]) if row else None
