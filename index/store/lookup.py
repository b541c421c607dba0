"""Words looked up: the files that hold them, and where they stand in a text."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from nmm.index.store.catalog import Catalog, Kind, locate
from nmm.index.store.words import NAMES, PASSAGES, PICTURES, WordTable

# A condition on rows of files, contents and roots, and its parameters.
Where = tuple[str, tuple[object, ...]]
Span = tuple[int, int]

# How the rows of a table of words, named `found`, lead to contents and files.
JOINS = {
    PASSAGES: "chunks ON chunks.id = row CROSS JOIN contents ON contents.id = chunks.content_id "
    "CROSS JOIN files ON files.content_id = contents.id",
    NAMES: "files ON files.id = row CROSS JOIN contents ON contents.id = files.content_id",
    PICTURES: "contents ON contents.id = row CROSS JOIN files ON files.content_id = contents.id",
}


class Worded(NamedTuple):
    """A file in which words were found.

    Attributes:
        path: Absolute.
        kind: Of its content.
        closeness: By bm25, the less the better.
        content: Its id.
        table: Where they were found.
        row: The row of that table: the id of a chunk, of a file or of a content.
    """

    path: str
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
) -> list[Worded]:
    """The files that fit an FTS5 expression best, each with its best row; best first.

    At least `count`, if there are as many, and those that fit as well as others may be left
    out.

    Raises:
        CatalogError: The table is damaged or not there.
    """
    condition, parameters = where or ("TRUE", ())
    sql = (
        f"SELECT roots.path, files.path, contents.kind, closeness, contents.id, row "  # noqa: S608
        f"FROM (SELECT rowid AS row, rank AS closeness FROM {table.name} "
        f"WHERE {table.name} MATCH ? ORDER BY rank) AS found CROSS JOIN {JOINS[table]} "
        "CROSS JOIN roots ON roots.id = root_id "
        "WHERE contents.kind IN (SELECT value FROM json_each(?)) "
        f"AND ({condition}) ORDER BY closeness LIMIT ?"
    )
    limit = 2 * count
    while True:
        rows = list(catalog._rows(sql, (expression, json.dumps(kinds), *parameters, limit)))
        best: dict[str, Worded] = {}
        for root, name, kind, closeness, content, row in rows:
            path = locate(root, name)
            best.setdefault(path, Worded(path, kind, closeness, content, table, row))
        # Several passages of one file took the place of others.
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
    sql = f"SELECT {columns} FROM {table.name} WHERE {table.name} MATCH ? AND rowid = ?"  # noqa: S608
    found = catalog._first(sql, (*(begin, end) * len(table.columns), expression, row))
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
    sql = f"SELECT 1 FROM {table.name} WHERE {table.name} MATCH ? AND rowid = ?"  # noqa: S608
    return catalog._first(sql, (expression, row)) is not None
