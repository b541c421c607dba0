"""Repairs of a catalog's rows.

A content whose rows contradict each other, or whose vectors are wrong, is dropped with the rows of
its files: the next indexing run finds these files as new, and embeds them again.

Every repair raises a CatalogError if SQLite cannot read or write the catalog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.index.store.recovery.integrity import (
    CONTRADICTIONS,
    OF_NO_CONTENT,
    bad_settings,
    bad_vectors,
    contradictions,
    register_utf8,
    true_dimension,
)

if TYPE_CHECKING:
    from nmm.index.store.catalog.types import Settings
    from nmm.index.store.catalog.writer import CatalogWriter

DROP_BAD_FILES = (
    "DELETE FROM files WHERE root_id NOT IN (SELECT id FROM roots) "
    "OR content_id NOT IN (SELECT id FROM contents) "
    "OR (status = 'indexed') != (content_id NOT NULL) OR NOT is_utf8(CAST(path AS BLOB))"
)
# Deletes the rows that refer to a row that is not there, and files whose names cannot exist.
DROP_DANGLING = (
    "DELETE FROM mounts WHERE root_id NOT IN (SELECT id FROM roots)",
    DROP_BAD_FILES,
    "DELETE FROM chunks WHERE content_id NOT IN (SELECT id FROM contents)",
    "DELETE FROM vectors WHERE chunk_id NOT IN (SELECT id FROM chunks)",
    "DELETE FROM boxes WHERE content_id NOT IN (SELECT id FROM contents)",
)


def reindex(writer: CatalogWriter) -> None:
    """Make SQLite's own indexes again from the tables."""
    with writer.batch():
        writer.connection.execute("REINDEX")


def drop_dangling(writer: CatalogWriter) -> int:
    """Drop rows that refer to a row that is not there; return how many."""
    register_utf8(writer)
    sqlite = writer.connection.sqlite
    before = sqlite.total_changes
    with writer.batch():
        for sql in DROP_DANGLING:
            sqlite.execute(sql)
        if sqlite.total_changes > before:
            writer.connection.vectors_changed()
    return sqlite.total_changes - before


def repair_settings(writer: CatalogWriter) -> str:
    """Make the settings agree with the vectors; return what was done, if anything.

    Vectors of an unknown model are of no use, and are dropped.
    """
    if not bad_settings(writer):
        return ""
    settings = writer.settings()
    with writer.batch():
        writer.connection.vectors_changed()  # writes the generation, and a new one
        if settings is None:
            return _dropped(*_drop_contents(writer, "SELECT id FROM contents"))
        writer.set_settings(settings._replace(dimension=true_dimension(writer) or 0))
    return "They are now what the vectors say."


def drop_contradictions(writer: CatalogWriter) -> str:
    """Drop the rows that :func:`.contradictions` counts; return what was dropped, if anything."""
    if not contradictions(writer):
        return ""
    ids = [sql for name, sql in CONTRADICTIONS.items() if name.split()[0] not in OF_NO_CONTENT]
    scales = CONTRADICTIONS["scale without a unit"]
    tags = CONTRADICTIONS["tag without a name"]
    with writer.batch():
        writer.connection.execute(f"DELETE FROM scales WHERE kind IN ({scales})")
        writer.connection.execute(tags.replace("SELECT hash", "DELETE", 1))
        writer.connection.execute(DROP_BAD_FILES)
        return _dropped(*_drop_contents(writer, " UNION ".join(ids)))


def drop_bad_vectors(writer: CatalogWriter, settings: Settings) -> str:
    """Drop the contents that :func:`.bad_vectors` finds; return what was dropped, if anything."""
    bad = [(n,) for ids in bad_vectors(writer, settings.dimension).values() for n in ids]
    if not bad:
        return ""
    connection = writer.connection
    with writer.batch():
        connection.execute("CREATE TEMP TABLE bad (id INTEGER PRIMARY KEY)")
        connection.execute_many("INSERT INTO bad VALUES (?)", bad)
        dropped = _drop_contents(
            writer, "SELECT content_id FROM chunks WHERE id IN (SELECT id FROM bad)"
        )
        connection.execute("DROP TABLE bad")
    return _dropped(*dropped)


def _drop_contents(writer: CatalogWriter, ids: str) -> tuple[int, int]:
    """Drop the contents that a query returns, and the rows of their files; return the counts."""
    connection = writer.connection
    connection.vectors_changed()
    connection.execute(f"CREATE TEMP TABLE dropped AS {ids}")
    chosen = "(SELECT * FROM temp.dropped)"
    files = connection.execute(f"DELETE FROM files WHERE content_id IN {chosen}")
    contents = connection.execute(f"DELETE FROM contents WHERE id IN {chosen}")
    connection.execute("DROP TABLE temp.dropped")
    return contents.rowcount, files.rowcount


def _dropped(contents: int, files: int) -> str:
    return (
        f"{counted(contents, 'content')} and {counted(files, 'row')} of files were dropped; "
        "the next indexing run embeds these files again."
    )


def counted(count: int, name: str) -> str:
    """Return a number with its noun, for example "2 rows"."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
