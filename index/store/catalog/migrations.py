"""The catalog's schema as numbered migrations. Append only: a released migration never changes.

Each migration runs once, in one transaction with its record. SQLite's `user_version` holds the
number of the last one, which a reader checks without importing anything.

::

    roots ─< files >─ contents ─< chunks ─ vectors
                         ·
                        tags

A file is a path below a root. Its content is identified by hash, and vectors belong to the
content: a file that was renamed, moved or copied is not embedded again, and two paths with the
same content are both results. Chunk ids are never reused, so a derived file can be behind the
catalog, but never wrong about a chunk.

The full-text tables are derived and not part of the migrations: see :mod:`.full_text`.
"""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING

from sqlite_utils import Migrations

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
    """Create roots, files, contents, chunks and vectors, and the tables of derived data."""
    _run(db, FIRST, 1)


SECOND = """
DROP TABLE vector_files;
CREATE TABLE segments (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    form TEXT NOT NULL CHECK (form IN ('flat', 'ivf')),
    bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    total INTEGER NOT NULL,
    trained INTEGER NOT NULL,
    last_chunk INTEGER NOT NULL
);
ALTER TABLE scales ADD COLUMN vectors INTEGER NOT NULL DEFAULT 0;
ALTER TABLE roots ADD COLUMN mount TEXT;
CREATE TABLE mounts (
    root_id INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    PRIMARY KEY (root_id, path)
) WITHOUT ROWID;
CREATE TABLE loose (content_id INTEGER PRIMARY KEY);
INSERT INTO loose SELECT id FROM contents
    WHERE id NOT IN (SELECT content_id FROM files WHERE content_id NOT NULL);
CREATE TRIGGER contents_begin AFTER INSERT ON contents BEGIN
    INSERT INTO loose VALUES (new.id); END;
CREATE TRIGGER contents_end AFTER DELETE ON contents BEGIN
    DELETE FROM loose WHERE content_id = old.id; END;
CREATE TRIGGER files_end AFTER DELETE ON files WHEN old.content_id NOT NULL BEGIN
    INSERT OR IGNORE INTO loose VALUES (old.content_id); END;
CREATE TRIGGER files_change AFTER UPDATE OF content_id ON files
    WHEN old.content_id NOT NULL AND old.content_id IS NOT new.content_id BEGIN
    INSERT OR IGNORE INTO loose VALUES (old.content_id); END;
"""


@migrations()
def m002_segments(db: Database) -> None:
    """Add several segments per kind, mount points, and contents that may have no file.

    `loose` holds every content that is new or lost a file, so that contents without a file are
    found without a scan of all contents.
    """
    _run(db, SECOND, 2)


THIRD = """
ALTER TABLE contents ADD COLUMN latitude REAL;
ALTER TABLE contents ADD COLUMN longitude REAL;
ALTER TABLE contents ADD COLUMN camera TEXT;
ALTER TABLE contents ADD COLUMN caption TEXT;
ALTER TABLE contents ADD COLUMN details INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contents ADD COLUMN words TEXT;
ALTER TABLE contents ADD COLUMN fingerprint BLOB;
CREATE TABLE boxes (
    content_id INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
    line INTEGER NOT NULL,
    text TEXT NOT NULL,
    x REAL NOT NULL,
    y REAL NOT NULL,
    width REAL NOT NULL,
    height REAL NOT NULL,
    confidence REAL NOT NULL,
    PRIMARY KEY (content_id, line)
) WITHOUT ROWID;
"""


@migrations()
def m003_pictures(db: Database) -> None:
    """Add the metadata and the OCR text of images.

    `details` is the version of the metadata that was read from a file, so that metadata which an
    older nmm did not read is read later. `words` is null until OCR has run.
    """
    _run(db, THIRD, 3)


FOURTH = """
CREATE TABLE tags (
    label TEXT NOT NULL COLLATE NOCASE,
    hash BLOB NOT NULL,
    PRIMARY KEY (label, hash)
) WITHOUT ROWID;
"""


@migrations()
def m004_tags(db: Database) -> None:
    """Add labels of contents.

    They refer to the hash of a content, not to its id: labels that a person chose survive a
    rebuild or a repair, and a file that comes back has its tags.
    """
    _run(db, FOURTH, 4)


FIFTH = """
ALTER TABLE chunks RENAME COLUMN kind TO modality;
ALTER TABLE chunks ADD COLUMN page INTEGER;
ALTER TABLE chunks ADD COLUMN time_ms INTEGER;
DROP INDEX chunks_by_kind;
CREATE INDEX chunks_by_modality ON chunks (modality);
DROP INDEX chunks_by_content;
CREATE INDEX chunks_by_content ON chunks (content_id, modality);
ALTER TABLE contents ADD COLUMN medium TEXT NOT NULL DEFAULT '';
UPDATE contents SET medium = kind;
ALTER TABLE contents DROP COLUMN kind;
"""


@migrations()
def m005_locators(db: Database) -> None:
    """Separate the medium of a content from the modality of a chunk, and locate a chunk.

    The medium is the name of a reader. It is a new column because the old one allowed two values
    only. The triggers of the full-text tables are dropped meanwhile: SQLite would open these
    tables to check the triggers, and a damaged one would prevent the migration.
    """
    triggers = db.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND sql LIKE '%_words%'"
    ).fetchall()
    for name, _ in triggers:
        db.execute(f'DROP TRIGGER "{name}"')
    _run(db, FIFTH, 5)
    for _, sql in triggers:
        db.execute(sql)


def schema_at(version: int) -> list[tuple[str, str, str, str | None]]:
    """Return type, name, table and statement of everything in a schema of a version, sorted."""
    from sqlite_utils import Database

    db = Database(memory=True)
    try:
        later = [step.name for step in migrations.pending(db)[version:]]
        migrations.apply(db, stop_before=later)
        return schema_of(db.conn)
    finally:
        db.close()


def schema_of(connection: sqlite3.Connection) -> list[tuple[str, str, str, str | None]]:
    """Return what :func:`schema_at` returns, for an open catalog."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema")
    return sorted(
        (kind, name, table, _unquoted(sql) if table == migrations.migrations_table else sql)
        for kind, name, table, sql in rows
    )


def _unquoted(sql: str | None) -> str | None:
    """Normalise a statement of sqlite-utils, whose versions quote and indent differently."""
    return None if sql is None else re.sub(r'[\s"\[\]`]+', " ", sql)


def _run(db: Database, script: str, version: int) -> None:
    """Run statements one by one, because `executescript` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""
    db.execute(f"PRAGMA user_version = {version}")
