"""Validates a catalog from an untrusted source before it is opened.

Its author may be malicious. Before anything is used, its schema is compared with the schema that
this version creates: a database with its own triggers, views or virtual tables could do anything
that SQL can (SQLite, "Defense Against The Dark Arts"). Then all rows are read once, so that invalid
data cannot break a search later.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from nmm.index.errors import ArchiveError
from nmm.index.store.catalog.migrations import schema_at, schema_of
from nmm.index.store.catalog.reader import SCHEMA, Catalog
from nmm.index.store.catalog.replacement import TABLES
from nmm.index.store.catalog.types import KINDS, Settings
from nmm.index.store.recovery.integrity import WRONG_MODALITY

# A filtered search allocates a bit for every id up to the greatest.
MAX_ID = 1 << 31
TYPES = {
    "TEXT": ("text",),
    "INTEGER": ("integer",),
    "REAL": ("real", "integer"),
    "BLOB": ("blob",),
}
SETTING_TYPES = {
    "model": str,
    "dimension": int,
    "weights": str,
    "generation": int,
    "rebuild": str,
    "ocr": int,
}
# Queries for invalid rows, each with the message.
INVALID_ROWS = (
    ("SELECT 1 FROM segments", "it names derived files"),
    (
        "SELECT 1 FROM chunks LEFT JOIN vectors ON chunk_id = chunks.id WHERE chunk_id IS NULL",
        "a chunk has no vector",
    ),
    (
        f"SELECT 1 FROM chunks JOIN contents ON contents.id = content_id WHERE {WRONG_MODALITY}",
        "a chunk is of another kind than its content",
    ),
    (
        "SELECT 1 FROM scales WHERE NOT (unit > 0 AND unit < 9 AND abs(centre) < 9)",
        "a scale is beyond what cosines have",
    ),
    (
        "SELECT 1 FROM boxes JOIN contents ON contents.id = content_id WHERE medium != 'image' "
        "OR words IS NULL OR NOT (line > 0 AND confidence BETWEEN 0 AND 1 AND abs(x) < 1e9 AND "
        "abs(y) < 1e9 AND boxes.width BETWEEN 0 AND 1e9 AND boxes.height BETWEEN 0 AND 1e9)",
        "a box of words is not in a picture",
    ),
    (
        "SELECT 1 FROM tags WHERE trim(label) = '' OR hash NOT IN (SELECT hash FROM contents)",
        "a tag has no name, or is on nothing",
    ),
    (
        "SELECT 1 FROM sqlite_sequence WHERE typeof(seq) != 'integer'",
        "a counter is not a number",
    ),
)


def check_schema(file: Path) -> int:
    """Refuse a database that is damaged, or differs from what the migrations of its version create.

    Nothing in it is executed, and it is not changed. Its version may be the current or an older
    one. Afterwards it can be opened for writing, which migrates it.

    Returns:
        The version of its schema.

    Raises:
        ArchiveError: The database is refused; the error tells why.
    """
    # Immutable, so that SQLite neither creates nor reads a log or journal beside it.
    with _refused(), closing(_connect(file, "mode=ro&immutable=1")) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise newer(f"Its schema is number {version}; this nmm knows up to {SCHEMA}.")
        if version < 1 or schema_of(connection) != schema_at(version):
            raise not_ours("Its catalog has other tables than nmm makes.")
    # Not read-only: SQLite would then ignore CHECK constraints.
    with _refused(), closing(_connect(file, "mode=rw")) as connection:
        for (said,) in connection.execute("PRAGMA integrity_check(1)"):
            if said != "ok":
                raise damaged(f"SQLite says: {said}")
        if connection.execute("PRAGMA foreign_key_check").fetchone():
            raise damaged("A row of its catalog belongs to one that is not there.")
    return int(version)


def check_rows(catalog: Catalog) -> Settings:
    """Refuse a catalog of the current version with rows that nmm would not write.

    Returns:
        The settings of the catalog.

    Raises:
        ArchiveError: The catalog is refused; the error tells why.
    """
    connection = catalog.connection.sqlite
    with _refused():
        for table in (*TABLES, "sqlite_sequence"):
            _check_types(connection, table)
        settings = _check_settings(connection)
        for sql, said in INVALID_ROWS:
            if connection.execute(f"{sql} LIMIT 1").fetchone():
                raise not_ours(f"What is in its catalog is not right: {said}.")
        _check_ids(connection)
        _check_paths(connection)
    _check_vectors(catalog, settings)
    return settings


def _connect(file: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _check_types(connection: sqlite3.Connection, table: str) -> None:
    """Refuse values of another type than their column's, which SQLite itself accepts."""
    for _, column, declared, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
        if declared not in TYPES:  # a column without a type
            continue
        allowed = ", ".join(f"'{name}'" for name in (*TYPES[declared], "null"))
        wrong = f"SELECT 1 FROM {table} WHERE typeof({column}) NOT IN ({allowed}) LIMIT 1"
        if connection.execute(wrong).fetchone():
            raise not_ours(f"A value in its catalog is of a wrong type: {table}.{column}.")
        if declared == "TEXT":
            # Reading the text fails if it is not UTF-8.
            for _ in connection.execute(f"SELECT {column} FROM {table}"):
                pass


def _check_settings(connection: sqlite3.Connection) -> Settings:
    found = dict(connection.execute("SELECT key, value FROM settings"))
    for key, value in found.items():
        if type(value) is not SETTING_TYPES.get(key, type(value)):
            raise not_ours(f"A setting in its catalog is of a wrong type: {key}.")
    if not set(Settings._fields) <= set(found) or found["dimension"] < 1:
        raise not_ours("Its catalog does not say which model it was made with.")
    return Settings(*(found[name] for name in Settings._fields))


def _check_ids(connection: sqlite3.Connection) -> None:
    for sql in (
        "SELECT min(id), max(id) FROM chunks",
        "SELECT min(id), max(id) FROM contents",
        "SELECT min(seq), max(seq) FROM sqlite_sequence",
    ):
        least, greatest = connection.execute(sql).fetchone()
        if least is not None and not (least >= 0 and greatest <= MAX_ID):
            raise not_ours("A number in its catalog is beyond all measure.")
    kinds = {kind for (kind,) in connection.execute("SELECT DISTINCT modality FROM chunks")}
    kinds |= {kind for (kind,) in connection.execute("SELECT kind FROM scales")}
    if not kinds <= set(KINDS):
        raise not_ours("A kind in its catalog is unknown.")


def _check_paths(connection: sqlite3.Connection) -> None:
    for (path,) in connection.execute("SELECT path FROM roots"):
        if not _is_absolute(path):
            raise not_ours(f"A root in its catalog is not an absolute path: {path}")
    for (path,) in connection.execute("SELECT path FROM files"):
        if not _is_below(path):
            raise not_ours(f"A path in its catalog leads out of its root: {path}")


def _is_absolute(path: str) -> bool:
    """Return whether a path is absolute, here or on its own system, and has no `..`."""
    absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()
    return absolute and "\0" not in path and ".." not in re.split(r"[/\\]", path)


def _is_below(path: str) -> bool:
    """Return whether a relative path is one that the walk writes; empty for the root."""
    if "\0" in path or ".." in path.split("/") or path.startswith("/"):
        return False
    if os.name == "nt" and (PureWindowsPath(path).anchor or ".." in PureWindowsPath(path).parts):
        return False
    return not path or PurePosixPath(path).as_posix() == path


def _check_vectors(catalog: Catalog, settings: Settings) -> None:
    import numpy as np

    size = 2 * settings.dimension
    with _refused():
        other = catalog.connection.sqlite.execute(
            "SELECT 1 FROM vectors WHERE length(vector) != ? LIMIT 1", (size,)
        ).fetchone()
    if other:
        raise not_ours("A vector in its catalog has another dimension than the others.")
    for kind in KINDS:
        for _, rows in catalog.vectors(kind):
            if not np.isfinite(rows).all():
                raise damaged("A vector in its catalog is not made of numbers.")


@contextmanager
def _refused() -> Iterator[None]:
    """Turn errors of SQLite into an ArchiveError."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise damaged(f"SQLite says: {error}") from error


def damaged(why: str) -> ArchiveError:
    """Return the error for a damaged archive."""
    return ArchiveError(
        "The archive is damaged.",
        code="archive-damaged",
        why=why,
        hint="Copy it again, or export the index again.",
    )


def not_ours(why: str) -> ArchiveError:
    """Return the error for an archive that nmm did not make."""
    return ArchiveError(
        "No export of nmm made this archive. Nothing was imported.",
        code="archive-not-ours",
        why=why,
        hint="Export the index again.",
    )


def newer(why: str) -> ArchiveError:
    """Return the error for an archive of a newer nmm."""
    return ArchiveError("A newer nmm made this archive.", code="archive-newer-format", why=why)
