"""The full-text tables: derived from the catalog's rows, and maintained by triggers.

Three FTS5 tables (SQLite, "FTS5 Extension") index the passages of texts, the names of files, and
the captions and OCR text of images. All of it can be rebuilt from the catalog. They are not part of
the numbered schema: opening a catalog for writing creates them if they are missing or outdated, so
they can be dropped at any time. An archive has none.

A word is a run of letters and digits. Case and accents are ignored, and English words match in all
their forms (Porter, 1980): the tokenizers `unicode61` and `porter`. Words of other languages match
as written, and sometimes another word with the same stem. A name is the path below the root, or the
name of a root that is a file.
"""

from __future__ import annotations

import sqlite3
from itertools import zip_longest
from typing import NamedTuple

# A check looks up one word in so many: a page holds about as many.
LOOKUP_INTERVAL = 50
TOKENIZER = "tokenize = 'porter unicode61 remove_diacritics 2'"


class WordTable(NamedTuple):
    """A full-text table.

    Attributes:
        name: Its name.
        source: The view whose rows it indexes, each with an `id`.
        columns: Of both.
        stored: Whether it stores the text itself. Otherwise a deletion must pass the same text
            that was inserted.
    """

    name: str
    source: str
    columns: tuple[str, ...]
    stored: bool = False

    @property
    def sql(self) -> str:
        """Return the statement that creates the table."""
        kept = "" if self.stored else f", content = '{self.source}', content_rowid = 'id'"
        columns = ", ".join(self.columns)
        return f"CREATE VIRTUAL TABLE {self.name} USING fts5 ({columns}{kept}, {TOKENIZER})"

    @property
    def shadows(self) -> tuple[str, ...]:
        """Return the names of the tables in which FTS5 stores it."""
        parts = ("data", "idx", "docsize", "config", *(("content",) if self.stored else ()))
        return tuple(f"{self.name}_{part}" for part in parts)


PASSAGES = WordTable("passage_words", "passages", ("text",))
# Stored, because the name of a root that is a file is unknown when the root is deleted.
NAMES = WordTable("name_words", "names", ("name",), stored=True)
PICTURES = WordTable("picture_words", "pictures", ("caption", "words"))
# In the order of preference for the match that a result shows.
WORD_TABLES = (PASSAGES, PICTURES, NAMES)

# The part of a root's path after its last separator.
LAST_PART = (
    r"substr(roots.path, 1 + length(rtrim(roots.path, "
    r"replace(replace(roots.path, '/', ''), '\', ''))))"
)
VIEWS = {
    "passages": "CREATE VIEW passages AS SELECT id, text FROM chunks WHERE text NOT NULL",
    "names": "CREATE VIEW names AS SELECT files.id, root_id, files.path, "
    f"CASE files.path WHEN '' THEN {LAST_PART} ELSE files.path END AS name "
    # A left join: a file without a root has a name until it is deleted.
    "FROM files LEFT JOIN roots ON roots.id = root_id WHERE status = 'indexed'",
    "pictures": "CREATE VIEW pictures AS SELECT id, caption, words FROM contents "
    "WHERE caption NOT NULL OR words NOT NULL",
}

# One trigger handles each change of a row, because the order of several triggers is undefined: the
# old words must be deleted before the new ones are inserted.
DELETE_PASSAGE = (
    "INSERT INTO passage_words (passage_words, rowid, text) "
    "SELECT 'delete', old.id, old.text WHERE old.text NOT NULL; "
)
INSERT_PASSAGE = (
    "INSERT INTO passage_words (rowid, text) SELECT new.id, new.text WHERE new.text NOT NULL; "
)
INSERT_NAME = "INSERT INTO name_words (rowid, name) SELECT id, name FROM names WHERE id = new.id; "
DELETE_PICTURE = (
    "INSERT INTO picture_words (picture_words, rowid, caption, words) "
    "SELECT 'delete', old.id, old.caption, old.words "
    "WHERE old.caption NOT NULL OR old.words NOT NULL; "
)
INSERT_PICTURE = (
    "INSERT INTO picture_words (rowid, caption, words) SELECT new.id, new.caption, new.words "
    "WHERE new.caption NOT NULL OR new.words NOT NULL; "
)
TRIGGERS = {
    "passages_begin": f"AFTER INSERT ON chunks BEGIN {INSERT_PASSAGE}END",
    "passages_end": f"AFTER DELETE ON chunks BEGIN {DELETE_PASSAGE}END",
    "passages_change": "AFTER UPDATE OF id, text ON chunks "
    f"BEGIN {DELETE_PASSAGE}{INSERT_PASSAGE}END",
    "names_begin": f"AFTER INSERT ON files BEGIN {INSERT_NAME}END",
    "names_end": "AFTER DELETE ON files BEGIN DELETE FROM name_words WHERE rowid = old.id; END",
    "names_change": "AFTER UPDATE OF id, root_id, path, status ON files "
    f"BEGIN DELETE FROM name_words WHERE rowid = old.id; {INSERT_NAME}END",
    "names_move": "AFTER UPDATE OF path ON roots BEGIN DELETE FROM name_words WHERE rowid IN "
    "(SELECT id FROM files WHERE root_id = new.id AND path = ''); "
    "INSERT INTO name_words (rowid, name) "
    "SELECT id, name FROM names WHERE root_id = new.id AND path = ''; END",
    "pictures_begin": f"AFTER INSERT ON contents BEGIN {INSERT_PICTURE}END",
    "pictures_end": f"AFTER DELETE ON contents BEGIN {DELETE_PICTURE}END",
    "pictures_change": "AFTER UPDATE OF id, caption, words ON contents "
    f"BEGIN {DELETE_PICTURE}{INSERT_PICTURE}END",
}
DEFINITIONS = {
    **VIEWS,
    **{table.name: table.sql for table in WORD_TABLES},
    **{name: f"CREATE TRIGGER {name} {body}" for name, body in TRIGGERS.items()},
}
SHADOWS = tuple(shadow for table in WORD_TABLES for shadow in table.shadows)


def are_current(connection: sqlite3.Connection) -> bool:
    """Return whether the full-text tables, views and triggers are those of this version."""
    found = dict(connection.execute("SELECT name, sql FROM sqlite_schema"))
    return all(found.get(name) == sql for name, sql in DEFINITIONS.items()) and found.keys() >= {
        *SHADOWS
    }


def create(connection: sqlite3.Connection) -> None:
    """Recreate and fill the full-text tables. Call it inside a transaction."""
    drop(connection)
    for sql in DEFINITIONS.values():
        connection.execute(sql)
    for table in WORD_TABLES:
        columns = ", ".join(table.columns)
        connection.execute(
            f"INSERT INTO {table.name} (rowid, {columns}) "
            f"SELECT id, {columns} FROM {table.source} ORDER BY id"
        )


def drop(connection: sqlite3.Connection) -> None:
    """Drop the full-text tables, views and triggers, even if they are damaged.

    Call it inside a transaction.
    """
    for kind, name in connection.execute(
        "SELECT type, name FROM sqlite_schema WHERE type IN ('trigger', 'view')"
    ).fetchall():
        if name in DEFINITIONS:
            connection.execute(f"DROP {kind} {name}")
    for table in WORD_TABLES:
        try:
            connection.execute(f"DROP TABLE IF EXISTS {table.name}")
        except sqlite3.Error:
            # FTS5 does not open a damaged table, not even to drop it.
            _delete_from_schema(connection, table.name)
        for shadow in table.shadows:
            connection.execute(f"DROP TABLE IF EXISTS {shadow}")


def _delete_from_schema(connection: sqlite3.Connection, name: str) -> None:
    """Delete a virtual table from the schema; its shadow tables become ordinary tables."""
    connection.execute("PRAGMA writable_schema = ON")
    try:
        connection.execute("DELETE FROM sqlite_schema WHERE name = ?", (name,))
    finally:
        connection.execute("PRAGMA writable_schema = RESET")


def optimize(connection: sqlite3.Connection) -> None:
    """Merge the tables into their smallest form, without traces of removed rows."""
    for table in WORD_TABLES:
        connection.execute(f"INSERT INTO {table.name} ({table.name}) VALUES ('optimize')")


def find_problem(connection: sqlite3.Connection) -> str:
    """Return what is wrong with the full-text tables; empty if they match the rows.

    Works with a read-only connection: correct tables are built in SQLite's temporary files, and
    the number of occurrences of each word is compared. Call it inside a transaction, and roll that
    back to remove them.

    Raises:
        sqlite3.Error: A row of another table cannot be read.
    """
    if not are_current(connection):
        return "they are not all there"
    for table in WORD_TABLES:
        columns = ", ".join(table.columns)
        connection.execute(
            f"CREATE VIRTUAL TABLE temp.true_{table.name} "
            f"USING fts5 ({columns}, content = '', {TOKENIZER})"
        )
        connection.execute(
            f"INSERT INTO temp.true_{table.name} (rowid, {columns}) "
            f"SELECT id, {columns} FROM {table.source} ORDER BY id"
        )
        try:
            if not (_same_words(connection, table) and _same_rows(connection, table)):
                return f"{table.name} is not what the {table.source} say"
        except sqlite3.Error as error:
            return f"{table.name}: {error}"
    return ""


def _same_words(connection: sqlite3.Connection, table: WordTable) -> bool:
    """Return whether each word is in as many rows, and as often, as in the correct table."""
    found = []
    for schema, words in (("main", table.name), ("temp", f"true_{table.name}")):
        terms = f"temp.terms_of_{words}"
        connection.execute(
            f"CREATE VIRTUAL TABLE {terms} USING fts5vocab ({schema}, {words}, 'col')"
        )
        # Ordered by word, then by column.
        found.append(connection.execute(f"SELECT term, col, doc, cnt FROM {terms}"))
    return all(
        ours == theirs and (number % LOOKUP_INTERVAL or _is_found(connection, table, *ours[:2]))
        for number, (ours, theirs) in enumerate(zip_longest(*found))
    )


def _is_found(connection: sqlite3.Connection, table: WordTable, term: str, column: str) -> bool:
    """Return whether a search finds a word as often as in the correct table.

    A search uses another code path than reading all words. A stem is searched for by its own stem,
    which is sometimes a different one.
    """
    counts = {
        connection.execute(
            f"SELECT count(*) FROM {words} WHERE {words.rpartition('.')[2]} MATCH ?",
            (f'{column}: "{term}"',),
        ).fetchone()
        for words in (f"main.{table.name}", f"temp.true_{table.name}")
    }
    return len(counts) == 1


def _same_rows(connection: sqlite3.Connection, table: WordTable) -> bool:
    """Return whether a table that stores its text has the rows of its source."""
    if not table.stored:
        return True
    columns = ", ".join(table.columns)
    kept = f"SELECT rowid, {columns} FROM {table.name}"
    true = f"SELECT id, {columns} FROM {table.source}"
    return not any(
        connection.execute(f"{one} EXCEPT {other} LIMIT 1").fetchone()
        for one, other in ((kept, true), (true, kept))
    )
