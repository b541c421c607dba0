"""Checks of a catalog: its file, its rows, its settings, its vectors.

Every check raises a CatalogError if SQLite cannot read the catalog.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from nmm.index.errors import CatalogError
from nmm.index.store.catalog.connection import VECTOR_DTYPE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.types import Root

# The length of a unit vector of float16 may differ from 1 by this: each component is off by one
# part in 2048 at most.
LENGTH_TOLERANCE = 1e-3

# A chunk of a modality that its medium does not have. The readers of other media decide.
WRONG_MODALITY = (
    "chunks.modality NOT IN ('image', 'text') "
    "OR contents.medium IN ('image', 'text') AND chunks.modality IS NOT contents.medium"
)

# Rows that contradict each other. Each query returns the contents that are concerned, once for
# each contradiction.
CONTRADICTIONS = {
    "content without chunks": "SELECT id FROM contents "
    "WHERE NOT EXISTS (SELECT 1 FROM chunks WHERE content_id = contents.id)",
    "chunk without a vector": "SELECT content_id FROM chunks "
    "WHERE NOT EXISTS (SELECT 1 FROM vectors WHERE chunk_id = chunks.id)",
    "chunk of another kind than its content": "SELECT contents.id FROM chunks "
    f"JOIN contents ON contents.id = content_id WHERE {WRONG_MODALITY}",
    "indexed file without content": "SELECT content_id FROM files "
    "WHERE (status = 'indexed') != (content_id NOT NULL) OR content_id NOT NULL "
    "AND NOT EXISTS (SELECT 1 FROM contents WHERE contents.id = content_id)",
    "content that no file holds and nothing drops": "SELECT id FROM contents "
    "WHERE id NOT IN (SELECT content_id FROM loose) "
    "AND NOT EXISTS (SELECT 1 FROM files WHERE content_id = contents.id)",
    "text that is not UTF-8": "SELECT content_id FROM chunks "
    "WHERE text NOT NULL AND NOT is_utf8(CAST(text AS BLOB))",
    "box of words that is in no picture": "SELECT content_id FROM boxes "
    "JOIN contents ON contents.id = content_id WHERE medium != 'image' OR words IS NULL "
    "OR NOT is_utf8(CAST(text AS BLOB)) OR NOT (confidence BETWEEN 0 AND 1 AND abs(x) < 1e9 AND "
    "abs(y) < 1e9 AND boxes.width BETWEEN 0 AND 1e9 AND boxes.height BETWEEN 0 AND 1e9)",
    "file name that is not UTF-8": "SELECT content_id FROM files "
    "WHERE NOT is_utf8(CAST(path AS BLOB))",
    "tag without a name": "SELECT hash FROM tags WHERE trim(label) = '' "
    "OR NOT is_utf8(CAST(label AS BLOB)) OR typeof(label) != 'text' OR typeof(hash) != 'blob'",
    "scale without a unit": "SELECT kind FROM scales WHERE NOT unit BETWEEN 1e-9 AND 1e9 "
    "OR NOT centre BETWEEN -1e9 AND 1e9",
}
# The first words of those contradictions that concern no content.
OF_NO_CONTENT = {"scale", "tag"}


def schema_version(catalog: Catalog) -> int:
    """Return the number of a catalog's schema."""
    return catalog.connection.scalar("PRAGMA user_version")


def broken_pages(catalog: Catalog) -> list[str]:
    """Return the damage that SQLite finds in the file; empty if there is none.

    From 3.44 on SQLite checks full-text tables, too. These lines are left out: the tables have a
    check of their own, see :func:`.full_text.find_problem`.
    """
    try:
        found = _integrity(catalog, "PRAGMA integrity_check")
    except CatalogError as error:
        try:  # table by table, because a damaged full-text table ends the check of all
            sql = "SELECT name FROM pragma_table_list WHERE type = 'table'"
            found = [
                line
                for (table,) in list(catalog.connection.rows(sql))
                for line in _integrity(catalog, f"PRAGMA integrity_check('{table}')")
            ]
        except CatalogError:
            return [error.why]
    return [line for line in found if line != "ok" and "fts5" not in line.lower()]


def _integrity(catalog: Catalog, sql: str) -> list[str]:
    return [str(line) for (line,) in catalog.connection.rows(sql)]


def dangling_rows(catalog: Catalog) -> dict[str, int]:
    """Return how many rows of each table refer to a row that is not there."""
    return Counter(str(row[0]) for row in catalog.connection.rows("PRAGMA foreign_key_check"))


def contradictions(catalog: Catalog) -> dict[str, int]:
    """Return how often rows contradict each other, by the contradiction."""
    register_utf8(catalog)
    counts = {
        name: catalog.connection.scalar(f"SELECT count(*) FROM ({sql})")
        for name, sql in CONTRADICTIONS.items()
    }
    return {name: count for name, count in counts.items() if count}


def register_utf8(catalog: Catalog) -> None:
    """Give SQLite the function `is_utf8`: it stores any bytes as text, which Python cannot read."""
    catalog.connection.sqlite.create_function("is_utf8", 1, _is_utf8, deterministic=True)


def true_dimension(catalog: Catalog) -> int | None:
    """Return the dimension that most vectors have; None if there are none."""
    row = catalog.connection.first(
        "SELECT length(vector) FROM vectors GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
    )
    return row[0] // 2 if row else None


def bad_settings(catalog: Catalog) -> str:
    """Return the error in the settings; empty if there is none."""
    settings, vectors = catalog.settings(), catalog.vector_count()
    if settings is None:
        return "the model is not known that the vectors are of" if vectors else ""
    if not vectors:
        return ""
    if not catalog.generation():
        return "the generation is missing"
    if settings.dimension != (true := true_dimension(catalog)):
        return f"the dimension is said to be {settings.dimension}, and that of vectors is {true}"
    return ""


def bad_vectors(catalog: Catalog, dimension: int) -> dict[str, list[int]]:
    """Return the chunks whose vectors are wrong, by the error.

    They have another dimension, numbers that are not finite, or a length that differs from 1 by
    more than float16 explains.
    """
    import numpy as np

    found: dict[str, list[int]] = {}
    sql = "SELECT chunk_id, vector FROM vectors ORDER BY chunk_id"
    for block in catalog.connection.raw_blocks(sql):
        numbers, blobs = zip(*block, strict=True)
        ids = np.array(numbers, np.int64)
        sizes = np.array([len(b) if isinstance(b, bytes) else -1 for b in blobs])
        fits: NDArray[np.bool_] = np.equal(sizes, 2 * dimension)
        whole = b"".join(b for b, fit in zip(blobs, fits, strict=True) if fit)
        rows = np.frombuffer(whole, VECTOR_DTYPE).reshape(-1, dimension).astype(np.float32)
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(rows).all(axis=1))
        lengths = np.linalg.norm(np.where(finite[:, None], rows, 0), axis=1)
        unit: NDArray[np.bool_] = np.isclose(lengths, 1, rtol=0, atol=LENGTH_TOLERANCE)
        for problem, chunks in (
            ("of another dimension", ids[~fits]),
            ("not finite", ids[fits][~finite]),
            ("not of unit length", ids[fits][finite & ~unit]),
        ):
            if len(chunks):
                found.setdefault(problem, []).extend(chunks.tolist())
    return found


def files_below(catalog: Catalog, root: Root) -> Iterator[tuple[str, int, int]]:
    """Yield the path, size and modification time of each file of a root that has any."""
    sql = (
        "SELECT path, size, mtime_ns FROM files WHERE root_id = ? "
        "AND size NOT NULL AND mtime_ns NOT NULL ORDER BY path"
    )
    yield from cast("Iterator[tuple[str, int, int]]", catalog.connection.rows(sql, (root.id,)))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
