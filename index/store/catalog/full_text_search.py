"""Searches the full-text tables: the files that match, and where words occur in a text."""

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
NO_LIMIT = 1 << 30

# The joins from rows of a full-text table, named `found`, to files, and to contents. Passages need
# contents only for a condition: a chunk has a kind of its own.
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
# The rows of each table that belong to some contents.
ROWS = {
    PASSAGES: "SELECT chunks.id FROM json_each(?) CROSS JOIN chunks ON content_id = value",
    NAMES: "SELECT files.id FROM json_each(?) CROSS JOIN files ON content_id = value",
    PICTURES: "SELECT value FROM json_each(?)",
}


class KeywordMatch(NamedTuple):
    """A file in which words were found.

    Attributes:
        file: Its id.
        kind: The modality of the passage, or of its content.
        closeness: BM25 score of FTS5; smaller is better.
        content: The id of its content.
        table: The table in which they were found.
        row: The row of that table: the id of a chunk, a file or a content.
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
) -> list[KeywordMatch]:
    """Return the files that match an FTS5 expression best, each with its best row; best first.

    Returns at least `count` files if there are that many; files that match equally well may be
    left out. With `contents`, ids, returns all files with one of these.

    Raises:
        CatalogError: The table is damaged or missing.
    """
    joins, kind_of = JOINS[table]
    condition, parameters = where or ("TRUE", ())
    if where:
        joins += " LEFT JOIN roots ON roots.id = root_id"
        if table is PASSAGES:
            joins += " LEFT JOIN contents ON contents.id = files.content_id"
    # A plus sign before a column keeps FTS5 from using it: FTS5 sorts more slowly than SQLite,
    # which stores only the best rows; and FTS5 would look up every candidate row.
    among = "" if contents is None else f"AND +rowid IN ({ROWS[table]}) "
    sql = (
        f"SELECT files.id AS file, {kind_of} AS kind, closeness, files.content_id AS content, row "
        f"FROM (SELECT rowid AS row, rank AS closeness FROM {table.name} "
        f"WHERE {table.name} MATCH ? {among}ORDER BY +rank LIMIT ?) AS found {joins} "
        f"WHERE {condition} LIMIT ?"
    )
    some = () if contents is None else (json.dumps([*contents]),)
    limit = NO_LIMIT if contents is not None else 2 * count
    while True:
        # Left joins keep the number of rows known. A condition may leave few of them.
        ranked = NO_LIMIT if where else limit
        rows = catalog.connection.json_rows(
            "file, kind, closeness, content, row",
            sql,
            (json.dumps([*kinds]), expression, *some, ranked, *parameters, limit),
        )
        rows.sort(key=itemgetter(2))  # SQLite may have joined them in another order
        best: dict[int, KeywordMatch] = {}
        for file, kind, closeness, content, row in rows:
            if file is not None and kind in kinds and file not in best:
                best[file] = KeywordMatch(file, kind, closeness, content, table, row)
        # Several passages of one file, or files of other kinds, displaced others.
        if len(best) >= count or len(rows) < limit:
            return list(best.values())
        limit *= 4


def highlight(
    catalog: Catalog, table: WordTable, row: int, expression: str
) -> list[tuple[str, list[Span]]]:
    """Return the text of each column of a row, and the spans of an expression's words in it.

    A span is the position of the first character and of the one after the last. Empty if the
    expression does not match the row.
    """
    # A random mark: the text contains it with a probability of only one in 2 ** 64.
    mark = secrets.token_hex(8)
    begin, end = f"\ue000{mark}", f"\ue001{mark}"
    columns = ", ".join(
        f"highlight({table.name}, {column}, ?, ?)" for column in range(len(table.columns))
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


def is_match(catalog: Catalog, table: WordTable, row: int, expression: str) -> bool:
    """Return whether an expression matches a row."""
    sql = f"SELECT 1 FROM {table.name} WHERE {table.name} MATCH ? AND rowid = ?"
    return catalog.connection.first(sql, (expression, row)) is not None
