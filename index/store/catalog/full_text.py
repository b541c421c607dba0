"""The tables that words are looked up in: derived from the catalog's rows, and kept by triggers.

Three FTS5 tables (SQLite, "FTS5 Extension"): the passages of texts, the names of files, and
what pictures say, in their captions or to the eye. Nothing is in them that is not elsewhere in
the catalog. They are no part of the numbered schema: whoever opens a catalog for writing makes
them where they are missing, or other than they should be, so that they can be dropped at any
time. An archive has none.

A word is a run of letters and digits, in any case, with or without its accents, and as an English
one in all its forms (Porter, 1980): the tokenizers `unicode61` and `porter`. Of other languages a
word is found as it is written, and now and then as another of one stem. A name is the path below
the root, or the name of a root that is a file.
"""

from __future__ import annotations

import sqlite3
from itertools import zip_longest
from typing import NamedTuple

# One word in so many is looked up by the doctor: there are about as many on a page.
SAMPLED = 50
TOKENIZER = "tokenize = 'porter unicode61 remove_diacritics 2'"


class WordTable(NamedTuple):
    """A table of words.

    Attributes:
        name: Its name.
        source: The view whose rows are in it, each with an `id`.
        columns: Of both.
        stored: Whether it keeps the text itself: else it is told what to forget, which has
            to be what it was told to keep.
    """

    name: str
    source: str
    columns: tuple[str, ...]
    stored: bool = False

    @property
    def sql(self) -> str:
        """What makes it."""
        kept = "" if self.stored else f", content = '{self.source}', content_rowid = 'id'"
        columns = ", ".join(self.columns)
        return f"CREATE VIRTUAL TABLE {self.name} USING fts5 ({columns}{kept}, {TOKENIZER})"

    @property
    def shadows(self) -> tuple[str, ...]:
        """The tables that FTS5 keeps it in."""
        parts = ("data", "idx", "docsize", "config", *(("content",) if self.stored else ()))
        return tuple(f"{self.name}_{part}" for part in parts)


PASSAGES = WordTable("passage_words", "passages", ("text",))
# Stored, for the name of a root that is a file is not known any more when it is deleted.
NAMES = WordTable("name_words", "names", ("name",), stored=True)
PICTURES = WordTable("picture_words", "pictures", ("caption", "words"))
# In the order in which the place is shown where a file's words were found.
WORD_TABLES = (PASSAGES, PICTURES, NAMES)

# What follows the last separator of a root's path.
LAST_PART = (
    r"substr(roots.path, 1 + length(rtrim(roots.path, "
    r"replace(replace(roots.path, '/', ''), '\', ''))))"
)
VIEWS = {
    "passages": "CREATE VIEW passages AS SELECT id, text FROM chunks WHERE text NOT NULL",
    "names": "CREATE VIEW names AS SELECT files.id, root_id, files.path, "
    f"CASE files.path WHEN '' THEN {LAST_PART} ELSE files.path END AS name "
    # Left, for a file of no root has a name until it is dropped.
    "FROM files LEFT JOIN roots ON roots.id = root_id WHERE status = 'indexed'",
    "pictures": "CREATE VIEW pictures AS SELECT id, caption, words FROM contents "
    "WHERE caption NOT NULL OR words NOT NULL",
}

# What changes a row is one trigger, for of several the order is not known: the old words have
# to go before the new ones come.
FORGET_PASSAGE = (
    "INSERT INTO passage_words (passage_words, rowid, text) "
    "SELECT 'delete', old.id, old.text WHERE old.text NOT NULL; "
)
KEEP_PASSAGE = (
    "INSERT INTO passage_words (rowid, text) SELECT new.id, new.text WHERE new.text NOT NULL; "
)
KEEP_NAME = "INSERT INTO name_words (rowid, name) SELECT id, name FROM names WHERE id = new.id; "
FORGET_PICTURE = (
    "INSERT INTO picture_words (picture_words, rowid, caption, words) "
    "SELECT 'delete', old.id, old.caption, old.words "
    "WHERE old.caption NOT NULL OR old.words NOT NULL; "
)
KEEP_PICTURE = (
    "INSERT INTO picture_words (rowid, caption, words) SELECT new.id, new.caption, new.words "
    "WHERE new.caption NOT NULL OR new.words NOT NULL; "
)
TRIGGERS = {
    "passages_begin": f"AFTER INSERT ON chunks BEGIN {KEEP_PASSAGE}END",
    "passages_end": f"AFTER DELETE ON chunks BEGIN {FORGET_PASSAGE}END",
    "passages_change": "AFTER UPDATE OF id, text ON chunks "
    f"BEGIN {FORGET_PASSAGE}{KEEP_PASSAGE}END",
    "names_begin": f"AFTER INSERT ON files BEGIN {KEEP_NAME}END",
    "names_end": "AFTER DELETE ON files BEGIN DELETE FROM name_words WHERE rowid = old.id; END",
    "names_change": "AFTER UPDATE OF id, root_id, path, status ON files "
    f"BEGIN DELETE FROM name_words WHERE rowid = old.id; {KEEP_NAME}END",
    "names_move": "AFTER UPDATE OF path ON roots BEGIN DELETE FROM name_words WHERE rowid IN "
    "(SELECT id FROM files WHERE root_id = new.id AND path = ''); "
    "INSERT INTO name_words (rowid, name) "
    "SELECT id, name FROM names WHERE root_id = new.id AND path = ''; END",
    "pictures_begin": f"AFTER INSERT ON contents BEGIN {KEEP_PICTURE}END",
    "pictures_end": f"AFTER DELETE ON contents BEGIN {FORGET_PICTURE}END",
    "pictures_change": "AFTER UPDATE OF id, caption, words ON contents "
    f"BEGIN {FORGET_PICTURE}{KEEP_PICTURE}END",
}
MADE = {
    **VIEWS,
    **{table.name: table.sql for table in WORD_TABLES},
    **{name: f"CREATE TRIGGER {name} {body}" for name, body in TRIGGERS.items()},
}
SHADOWS = tuple(shadow for table in WORD_TABLES for shadow in table.shadows)


def are_made(connection: sqlite3.Connection) -> bool:
    """Whether the tables of words and what keeps them are there, as this nmm makes them."""
    found = dict(connection.execute("SELECT name, sql FROM sqlite_schema"))
    return all(found.get(name) == sql for name, sql in MADE.items()) and found.keys() >= {*SHADOWS}


def make(connection: sqlite3.Connection) -> None:
    """Make the tables of words anew, and fill them. Inside a transaction."""
    drop(connection)
    for sql in MADE.values():
        connection.execute(sql)
    for table in WORD_TABLES:
        columns = ", ".join(table.columns)
        connection.execute(
            f"INSERT INTO {table.name} (rowid, {columns}) "
            f"SELECT id, {columns} FROM {table.source} ORDER BY id"
        )


def drop(connection: sqlite3.Connection) -> None:
    """Drop the tables of words, and what keeps them; whatever state they are in.

    Inside a transaction.
    """
    for kind, name in connection.execute(
        "SELECT type, name FROM sqlite_schema WHERE type IN ('trigger', 'view')"
    ).fetchall():
        if name in MADE:
            connection.execute(f"DROP {kind} {name}")
    for table in WORD_TABLES:
        try:
            connection.execute(f"DROP TABLE IF EXISTS {table.name}")
        except sqlite3.Error:
            # FTS5 does not open what is damaged, not even to drop it.
            _strike(connection, table.name)
        for shadow in table.shadows:
            connection.execute(f"DROP TABLE IF EXISTS {shadow}")


def _strike(connection: sqlite3.Connection, name: str) -> None:
    """Take a virtual table out of the schema; its shadows are tables like others then."""
    connection.execute("PRAGMA writable_schema = ON")
    try:
        connection.execute("DELETE FROM sqlite_schema WHERE name = ?", (name,))
    finally:
        connection.execute("PRAGMA writable_schema = RESET")


def optimize(connection: sqlite3.Connection) -> None:
    """Bring the tables into their smallest form, without anything of what was removed."""
    for table in WORD_TABLES:
        connection.execute(f"INSERT INTO {table.name} ({table.name}) VALUES ('optimize')")


def problem(connection: sqlite3.Connection) -> str:
    """What is wrong with the tables of words; empty if they are what the rows say.

    Of a connection that may only read: what should be in them is made beside them, in SQLite's
    temporary files, and it is compared how often each word is there. Inside a transaction that
    is rolled back, with which that goes.

    Raises:
        sqlite3.Error: A row that is not of these tables cannot be read.
    """
    if not are_made(connection):
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
    """Whether each word is in as many rows of a table, and as often, as in the true one."""
    found = []
    for schema, words in (("main", table.name), ("temp", f"true_{table.name}")):
        terms = f"temp.terms_of_{words}"
        connection.execute(
            f"CREATE VIRTUAL TABLE {terms} USING fts5vocab ({schema}, {words}, 'col')"
        )
        # In the order of the words, and within one of the columns.
        found.append(connection.execute(f"SELECT term, col, doc, cnt FROM {terms}"))
    return all(
        ours == theirs and (number % SAMPLED or _is_found(connection, table, *ours[:2]))
        for number, (ours, theirs) in enumerate(zip_longest(*found))
    )


def _is_found(connection: sqlite3.Connection, table: WordTable, term: str, column: str) -> bool:
    """Whether a word is found as often as in the true table, by looking it up.

    That takes another way than reading all. A stem is looked up by its own stem, which now and
    then is another one.
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
    """Whether a table that keeps its text has the rows of its source."""
    if not table.stored:
        return True
    columns = ", ".join(table.columns)
    kept = f"SELECT rowid, {columns} FROM {table.name}"
    true = f"SELECT id, {columns} FROM {table.source}"
    return not any(
        connection.execute(f"{one} EXCEPT {other} LIMIT 1").fetchone()
        for one, other in ((kept, true), (true, kept))
    )
