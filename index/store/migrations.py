"""The catalog's schema, as numbered steps. Append only: a released step never changes.

Each step runs once, in a transaction with the record of it. SQLite's `user_version` holds
the number of the last one, which a reader checks without importing anything.

::

    roots ─< files >─ contents ─< chunks ─ vectors

A file is a path below a root. Its content is known by hash, and vectors hang on the
content: a file that was renamed, moved or copied is not embedded again, and two paths of
one content are both results. Ids of chunks are never used twice, so a derived file that
knows a chunk by its id can be behind the catalog, but not wrong about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlite_utils import Migrations

from nmm.index.store.catalog import SCHEMA

if TYPE_CHECKING:
    from sqlite_utils import Database

migrations = Migrations("nmm")

FIRST = """
CREATE TABLE settings (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE roots (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    added_at TEXT NOT NULL
);
CREATE TABLE contents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('image', 'text')),
    width INTEGER,
    height INTEGER,
    taken_at TEXT
);
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    root_id INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    size INTEGER,
    mtime_ns INTEGER,
    status TEXT NOT NULL CHECK (status IN ('indexed', 'skipped', 'left out')),
    reason TEXT,
    content_id INTEGER REFERENCES contents (id),
    UNIQUE (root_id, path),
    CHECK ((status = 'indexed') = (content_id IS NOT NULL))
);
CREATE INDEX files_by_content ON files (content_id);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    content_id INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    line_start INTEGER,
    line_end INTEGER,
    text TEXT
);
CREATE INDEX chunks_by_content ON chunks (content_id);
CREATE INDEX chunks_by_kind ON chunks (kind);
CREATE TABLE vectors (
    chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id) ON DELETE CASCADE,
    vector BLOB NOT NULL
);
CREATE TABLE scales (kind TEXT PRIMARY KEY, centre REAL NOT NULL, unit REAL NOT NULL,
    generation INTEGER NOT NULL);
CREATE TABLE vector_files (
    kind TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    total INTEGER NOT NULL,
    last_chunk INTEGER NOT NULL,
    generation INTEGER NOT NULL
);
"""


@migrations()
def m001_first(db: Database) -> None:
    """Roots, files, contents, chunks, vectors; and what is derived from the vectors."""
    for statement in FIRST.split(";\n"):
        db.execute(statement)
    db.execute("PRAGMA user_version = 1")


assert len(migrations._migrations) == SCHEMA, "catalog.SCHEMA counts the steps"
