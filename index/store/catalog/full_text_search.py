"""Words looked up: the files that hold them, and where they stand in a text."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import NamedTuple

from nmm.index.store.catalog.full_text import NAMES, PASSAGES, PICTURES, WordTable
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.sql_filters import SHOWN_MODALITY
from nmm.index.store.catalog.types import Kind

# A condition on rows of files, contents and roots, and its parameters.
Where = tuple[str, tuple[object, ...]]
Span = tuple[int, int]
ALL = 1 << 30

# How the rows of a table of words, named `found`, lead to files; and to contents, which only a
# condition asks for where a chunk says of what kind they are.
JOINS = {
    PASSAGES: (
        "LEFT JOIN chunks ON chunks.id = row LEFT JOIN files ON files.content_id = "
        "chunks.content_id",
        "iif(chunks.modality IN (SELECT value FROM json_each(?)), chunks.modality, NULL)",
    ),
    NAMES: (
        "LEFT JOIN files ON files.id = row LEFT JOIN contents ON contents.id = files.content_id",
        SHOWN_MODALITY,
    ),
    PICTURES: (
        "LEFT JOIN contents ON contents.id = row LEFT JOIN files ON files.content_id = contents.id",
        SHOWN_MODALITY,
    ),
}
# What holds the words of some contents, by the rows of its table.
ROWS = {
    PASSAGES: "SELECT chunks.id FROM json_each(?) CROSS JOIN chunks ON content_id = value",
    NAMES: "SELECT files.id FROM json_each(?) CROSS JOIN files ON content_id = value",
    PICTURES: "SELECT value FROM json_each(?)",
}


class Worded(NamedTuple):
    """A file in which words were found.

    Attributes:
        file: Its id.
        kind: The modality of the passage, or of its content.
        closeness: By bm25, the less the better.
        content: The id of that.
        table: Where they were found.
        row: The row of that table: the id of a chunk, of a file or of a content.
    """

    file: int
    kind: Kind
    closeness: float
    content: int
    table: WordTable
    row: int


def look_up(
    catalog: Catalog,
    table: WordTable,
    expression: str,
    count: int,
    kinds: Sequence[Kind],
    where: Where | None = None,
    contents: Collection[int] | None = None,
) -> list[Worded]:
    """The files that fit an FTS5 expression best, each with its best row; best first.

    At least `count`, if there are as many, and those that fit as well as others may be left
    out. With `contents`, ids, all files that hold one of these.

    Raises:
        CatalogError: The table is damaged or not there.
    """
    joins, kind_of = JOINS[table]
    condition, parameters = where or ("TRUE", ())
    if where:
        joins += " LEFT JOIN roots ON roots.id = root_id"
        if table is PASSAGES:
            joins += " LEFT JOIN contents ON contents.id = files.content_id"
    # A sign before a column keeps FTS5 from what it would do by itself: to sort takes it longer
    # than SQLite, which keeps the best alone; and it would look every row up that it may find.
    among = "" if contents is None else f"AND +rowid IN ({ROWS[table]}) "
    sql = (
        f"SELECT files.id AS file, {kind_of} AS kind, closeness, files.content_id AS content, row "
        f"FROM (SELECT rowid AS row, rank AS closeness FROM {table.name} "
        f"WHERE {table.name} MATCH ? {among}ORDER BY +rank LIMIT ?) AS found {joins} "
        f"WHERE {condition} LIMIT ?"
    )
    some = () if contents is None else (json.dumps([*contents]),)
    limit = ALL if contents is not None else 2 * count
    while True:
        # Joined to what they lead to, if anything, so that their number is known. A condition
        # may leave few of them.
        ranked = ALL if where else limit
        rows = catalog.connection.json_rows(
            "file, kind, closeness, content, row",
            sql,
            (json.dumps([*kinds]), expression, *some, ranked, *parameters, limit),
        )
        rows.sort(key=itemgetter(2))  # as they are, whatever way SQLite has joined them
        best: dict[int, Worded] = {}
        for file, kind, closeness, content, row in rows:
            if file is not None and kind in kinds and file not in best:
                best[file] = Worded(file, kind, closeness, content, table, row)
        # Several passages of one file took the place of others, or what is not looked among.
        if len(best) >= count or len(rows) < limit:
            return list(best.values())
        limit *= 4


def marked(
    catalog: Catalog, table: WordTable, row: int, expression: str
) -> list[tuple[str, list[Span]]]:
    """The text of each column of a row, and where in it an expression's words stand.

    A span is the place of the first character and of the one after the last. Nothing if the
    expression does not fit the row.
    """
    # Not in the text but by a chance of one in 2 ** 64, whoever wrote it.
    mark = secrets.token_hex(8)
    begin, end = f"\ue000{mark}", f"\ue001{mark}"
    columns = ", ".join(
        f"highlight({table.name}, {place}, ?, ?)" for place in range(len(table.columns))
    )
    sql = f"SELECT {columns} FROM {table.name} WHERE {table.name} MATCH ? AND rowid = ?"
    found = catalog.connection.first(sql, (*(begin, end) * len(table.columns), expression, row))
    return [_unmarked(text or "", begin, end) for text in found or ()]


def _unmarked(text: str, begin: str, end: str) -> tuple[str, list[Span]]:
    plain, *parts = text.split(begin)
    spans = []
    for part in parts:
        word, after = part.split(end)
        spans.append((len(plain), len(plain) + len(word)))
        plain += word + after
    return plain, spans


def fits(catalog: Catalog, table: WordTable, row: int, expression: str) -> bool:
    """Whether an expression fits a row."""
    sql = f"SELECT 1 FROM {table.name} WHERE {table.name} MATCH ? AND rowid = ?"
    return catalog.connection.first(sql, (expression, row)) is not None
