"""What is wrong within a catalog, and how its rows are put right again.

A content whose rows contradict each other, or whose vectors cannot be right, is dropped with
the rows of its files: the next indexing run meets them as new, and embeds them again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from nmm.index.errors import CatalogError
from nmm.index.store.catalog.connection import translated
from nmm.index.store.catalog.reader import SCHEMA, VECTOR_DTYPE, VECTORS_PER_BLOCK, Catalog
from nmm.index.store.catalog.types import Root, Settings
from nmm.index.store.catalog.writer import CatalogWriter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What the length of a unit vector may differ by from 1 when its components are halves: each
# is off by one part in 2048 at most.
UNIT = 1e-3

# What can be wrong with contents, each with a query for the contents that it is so with, as
# often as it is.
CONTRADICTIONS = {
    "content without chunks": "SELECT id FROM contents "
    "WHERE NOT EXISTS (SELECT 1 FROM chunks WHERE content_id = contents.id)",
    "chunk without a vector": "SELECT content_id FROM chunks "
    "WHERE NOT EXISTS (SELECT 1 FROM vectors WHERE chunk_id = chunks.id)",
    "chunk of another kind than its content": "SELECT contents.id FROM chunks "
    "JOIN contents ON contents.id = content_id WHERE chunks.kind IS NOT contents.kind",
    "indexed file without content": "SELECT content_id FROM files "
    "WHERE (status = 'indexed') != (content_id NOT NULL) OR content_id NOT NULL "
    "AND NOT EXISTS (SELECT 1 FROM contents WHERE contents.id = content_id)",
    "content that no file holds and nothing drops": "SELECT id FROM contents "
    "WHERE id NOT IN (SELECT content_id FROM loose) "
    "AND NOT EXISTS (SELECT 1 FROM files WHERE content_id = contents.id)",
    "text that is not UTF-8": "SELECT content_id FROM chunks "
    "WHERE text NOT NULL AND NOT is_utf8(CAST(text AS BLOB))",
    "box of words that is in no picture": "SELECT content_id FROM boxes "
    "JOIN contents ON contents.id = content_id WHERE kind != 'image' OR words IS NULL "
    "OR NOT is_utf8(CAST(text AS BLOB)) OR NOT (confidence BETWEEN 0 AND 1 AND abs(x) < 1e9 AND "
    "abs(y) < 1e9 AND boxes.width BETWEEN 0 AND 1e9 AND boxes.height BETWEEN 0 AND 1e9)",
    "file name that is not UTF-8": "SELECT content_id FROM files "
    "WHERE NOT is_utf8(CAST(path AS BLOB))",
    "tag without a name": "SELECT hash FROM tags WHERE trim(label) = '' "
    "OR NOT is_utf8(CAST(label AS BLOB)) OR typeof(label) != 'text' OR typeof(hash) != 'blob'",
    "scale without a unit": "SELECT kind FROM scales WHERE NOT unit BETWEEN 1e-9 AND 1e9 "
    "OR NOT centre BETWEEN -1e9 AND 1e9",
}
# What of these is wrong with other rows than those of a content.
OF_NO_CONTENT = {"scale", "tag"}
# Rows that refer to what is not there, or name what cannot be.
DANGLING = (
    "DELETE FROM mounts WHERE root_id NOT IN (SELECT id FROM roots)",
    "DELETE FROM files WHERE root_id NOT IN (SELECT id FROM roots) "
    "OR content_id NOT IN (SELECT id FROM contents) "
    "OR (status = 'indexed') != (content_id NOT NULL) OR NOT is_utf8(CAST(path AS BLOB))",
    "DELETE FROM chunks WHERE content_id NOT IN (SELECT id FROM contents)",
    "DELETE FROM vectors WHERE chunk_id NOT IN (SELECT id FROM chunks)",
    "DELETE FROM boxes WHERE content_id NOT IN (SELECT id FROM contents)",
)


class Checkup(Catalog):
    """A catalog that is looked at for what is wrong with it."""

    def schema(self) -> int:
        """The number of its schema, at most :data:`.catalog.SCHEMA`."""
        return self._schema()

    def is_old(self) -> bool:
        """Whether its schema is that of an older nmm."""
        return self._schema() < SCHEMA

    def broken_pages(self) -> list[str]:
        """What SQLite says is wrong with the file; empty if nothing is.

        From 3.44 on it looks into tables of words, too. What it says of them is not of pages:
        they are looked at elsewhere, see :func:`.words.fault`.
        """
        try:
            found = self._integrity("PRAGMA integrity_check")
        except CatalogError as error:
            try:  # each for itself, for a damaged one of the others ends it
                tables = self._rows("SELECT name FROM pragma_table_list WHERE type = 'table'")
                found = [
                    line
                    for (table,) in list(tables)
                    for line in self._integrity(f"PRAGMA integrity_check('{table}')")
                ]
            except CatalogError:
                return [error.why]
        return [line for line in found if line != "ok" and "fts5" not in line.lower()]

    def _integrity(self, sql: str) -> list[str]:
        return [str(line) for (line,) in self._rows(sql)]

    def dangling(self) -> dict[str, int]:
        """Of each table, how many rows refer to a row that is not there."""
        return Counter(str(row[0]) for row in self._rows("PRAGMA foreign_key_check"))

    def contradictions(self) -> dict[str, int]:
        """How often rows contradict each other, by how they do."""
        self._know_utf8()
        counts = {
            name: self._number(f"SELECT count(*) FROM ({sql})")  # noqa: S608
            for name, sql in CONTRADICTIONS.items()
        }
        return {name: count for name, count in counts.items() if count}

    def _know_utf8(self) -> None:
        """SQLite takes any bytes for text; Python then refuses to read them."""
        self._connection.create_function("is_utf8", 1, _is_utf8, deterministic=True)

    def true_dimension(self) -> int | None:
        """The dimension that most vectors have; None if there are none."""
        row = self._first(
            "SELECT length(vector) FROM vectors GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
        )
        return row[0] // 2 if row else None

    def bad_settings(self) -> str:
        """What is wrong with the settings; empty if nothing is."""
        settings, vectors = self.settings(), self.vector_count()
        if settings is None:
            return "the model is not known that the vectors are of" if vectors else ""
        if not vectors:
            return ""
        if not self.generation():
            return "the generation is missing"
        if settings.dimension != (true := self.true_dimension()):
            return (
                f"the dimension is said to be {settings.dimension}, and that of vectors is {true}"
            )
        return ""

    def bad_vectors(self, dimension: int) -> dict[str, list[int]]:
        """Chunks whose vectors cannot be right, by what is wrong with them.

        They have another dimension, or numbers that are none, or another length than 1 by
        more than halves lose.
        """
        import numpy as np

        found: dict[str, list[int]] = {}
        for ids, blobs in self._raw_vectors():
            sizes = np.array([len(b) if isinstance(b, bytes) else -1 for b in blobs])
            fits: NDArray[np.bool_] = np.equal(sizes, 2 * dimension)
            whole = b"".join(b for b, fit in zip(blobs, fits, strict=True) if fit)
            rows = np.frombuffer(whole, VECTOR_DTYPE).reshape(-1, dimension).astype(np.float32)
            finite: NDArray[np.bool_] = np.asarray(np.isfinite(rows).all(axis=1))
            lengths = np.linalg.norm(np.where(finite[:, None], rows, 0), axis=1)
            unit: NDArray[np.bool_] = np.isclose(lengths, 1, rtol=0, atol=UNIT)
            for fault, chunks in (
                ("of another dimension", ids[~fits]),
                ("not finite", ids[fits][~finite]),
                ("not of unit length", ids[fits][finite & ~unit]),
            ):
                if len(chunks):
                    found.setdefault(fault, []).extend(chunks.tolist())
        return found

    def _raw_vectors(self) -> Iterator[tuple[NDArray[np.int64], tuple[Any, ...]]]:
        import numpy as np

        sql = "SELECT chunk_id, vector FROM vectors ORDER BY chunk_id"
        with translated(self.file), closing(self._connection.execute(sql)) as cursor:
            while rows := cursor.fetchmany(VECTORS_PER_BLOCK):
                ids, blobs = zip(*rows, strict=True)
                yield np.array(ids, np.int64), blobs

    def files_below(self, root: Root) -> Iterator[tuple[str, int, int]]:
        """The path, size and time of each file of a root that has any."""
        sql = (
            "SELECT path, size, mtime_ns FROM files WHERE root_id = ? "
            "AND size NOT NULL AND mtime_ns NOT NULL ORDER BY path"
        )
        yield from cast("Iterator[tuple[str, int, int]]", self._rows(sql, (root.id,)))


class Mender(Checkup, CatalogWriter):
    """A catalog whose rows are put right."""

    def rebuild_indexes(self) -> None:
        """Make SQLite's own indexes again from the tables.

        Raises:
            CatalogError: A table cannot be read.
        """
        with self.batch():
            self._database.execute("REINDEX")

    def drop_dangling(self) -> int:
        """Drop what refers to what is not there; returns how many rows."""
        self._know_utf8()
        before = self._connection.total_changes
        with self.batch():
            for sql in DANGLING:
                self._database.execute(sql)
            self._vectors_changed = self._connection.total_changes > before
        return self._connection.total_changes - before

    def mend_settings(self) -> str:
        """Put the settings right as the vectors are; says what was done, if anything was.

        Vectors of a model that is not known are of no use: they are dropped.
        """
        if not self.bad_settings():
            return ""
        settings = self.settings()
        with self.batch():
            self._vectors_changed = True  # makes the generation, and a new one
            if settings is None:
                contents, files = self._drop_contents("SELECT id FROM contents")
                return _dropped(contents, files)
            self.set_settings(settings._replace(dimension=self.true_dimension() or 0))
        return "They are now what the vectors say."

    def drop_contradictions(self) -> str:
        """Drop what :meth:`contradictions` counts; says what went, if anything did."""
        if not self.contradictions():
            return ""
        ids = [sql for name, sql in CONTRADICTIONS.items() if name.split()[0] not in OF_NO_CONTENT]
        scales = CONTRADICTIONS["scale without a unit"]
        tags = CONTRADICTIONS["tag without a name"]
        with self.batch():
            self._database.execute(f"DELETE FROM scales WHERE kind IN ({scales})")  # noqa: S608
            self._database.execute(tags.replace("SELECT hash", "DELETE", 1))
            self._database.execute(DANGLING[1])
            return _dropped(*self._drop_contents(" UNION ".join(ids)))

    def drop_vectors(self, settings: Settings) -> str:
        """Drop what :meth:`bad_vectors` finds; says what went, if anything did."""
        bad = [(n,) for ids in self.bad_vectors(settings.dimension).values() for n in ids]
        if not bad:
            return ""
        with self.batch():
            self._database.execute("CREATE TEMP TABLE bad (id INTEGER PRIMARY KEY)")
            self._connection.executemany("INSERT INTO bad VALUES (?)", bad)
            dropped = self._drop_contents(
                "SELECT content_id FROM chunks WHERE id IN (SELECT id FROM bad)"
            )
            self._database.execute("DROP TABLE bad")
        return _dropped(*dropped)

    def _drop_contents(self, ids: str) -> tuple[int, int]:
        """Drop contents that a query names, and the rows of their files; how many of each."""
        self._vectors_changed = True
        self._database.execute(f"CREATE TEMP TABLE dropped AS {ids}")
        chosen = "(SELECT * FROM temp.dropped)"
        files = self._database.execute(f"DELETE FROM files WHERE content_id IN {chosen}")  # noqa: S608
        contents = self._database.execute(f"DELETE FROM contents WHERE id IN {chosen}")  # noqa: S608
        self._database.execute("DROP TABLE temp.dropped")
        return contents.rowcount, files.rowcount


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _dropped(contents: int, files: int) -> str:
    return (
        f"{counted(contents, 'content')} and {counted(files, 'row')} of files were dropped; "
        "the next indexing run embeds these files again."
    )


def counted(count: int, name: str) -> str:
    """A number of things."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
