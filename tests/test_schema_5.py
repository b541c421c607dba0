"""Schema 5: an index of schema 4 keeps its vectors, segments and words; a damaged one is saved."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from sqlite_utils import Database

from nmm.index.errors import CatalogError
from nmm.index.store.catalog import full_text
from nmm.index.store.catalog import migrations as migrations_module
from nmm.index.store.catalog.reader import SCHEMA, Catalog
from nmm.index.store.catalog.types import KINDS
from nmm.index.store.catalog.vacuum import fts_problem
from nmm.index.store.catalog.writer import open_for_reading
from nmm.index.store.layout import IndexFolder
from nmm.index.store.recovery.salvage import salvage
from nmm.index.store.vectors.segment_table import read_segments

VECTOR = np.array([0.6, 0.8], "<f2").tobytes()
KEPT = ("vectors", "segments", "scales", "files", "loose", "passage_words")


@pytest.fixture
def fourth(folder: IndexFolder) -> IndexFolder:
    """An index of schema 4 with a text, an image and full-text tables."""
    folder.path.mkdir()
    with closing(sqlite3.connect(folder.catalog)) as connection:
        migrations_module.migrations.apply(Database(connection), stop_before="m005_locators")
        connection.executescript(
            "INSERT INTO settings VALUES "
            "('model', 'mini'), ('dimension', 2), ('weights', '0'), ('generation', 1);"
            "INSERT INTO roots (id, path, added_at) VALUES (1, '/photos', 'now');"
            "INSERT INTO contents (id, hash, kind, width, caption) VALUES "
            "(1, x'01', 'text', NULL, NULL), (2, x'02', 'image', 640, 'a boat');"
            "INSERT INTO chunks VALUES (1, 1, 'text', 3, 4, 'word'), "
            "(2, 2, 'image', NULL, NULL, NULL);"
            "INSERT INTO files VALUES (1, 1, 'a.txt', 1, 2, 'indexed', NULL, 1), "
            "(2, 1, 'b.png', 1, 2, 'indexed', NULL, 2);"
            "INSERT INTO segments VALUES ('s', 'text', 'flat', 1, 1, '', 1, 0, 1);"
            "INSERT INTO scales VALUES ('text', 0.5, 0.1, 1, 1);"
        )
        connection.executemany("INSERT INTO vectors VALUES (?, ?)", [(1, VECTOR), (2, VECTOR)])
        full_text.create(connection)
        connection.commit()
    return folder


def dump(folder: IndexFolder) -> dict[str, list[Any]]:
    """Return the rows of the tables that a migration leaves alone, and the number of the schema."""
    with closing(sqlite3.connect(folder.catalog)) as connection:
        queries = {table: f"SELECT * FROM {table}" for table in KEPT}
        queries["schema"] = "PRAGMA user_version"
        return {name: connection.execute(sql).fetchall() for name, sql in queries.items()}


def check(catalog: Catalog) -> None:
    text, image = catalog.hits([1, 2], None)
    assert (text.kind, text.line_start, text.text, text.page) == ("text", 3, "word", None)
    assert (image.kind, image.width, image.time_ms) == ("image", 640, None)
    assert [catalog.vector_count(kind) for kind in KINDS] == [1, 1]
    assert catalog.file_counts() == {"indexed": 2, "image": 1, "text": 1}
    assert catalog.root_counts() == {1: (2, 1, 1, 0)}
    media = catalog.connection.rows("SELECT id, medium FROM contents ORDER BY id")
    assert list(media) == [(1, "text"), (2, "image")]
    assert fts_problem(catalog) == ""


def test_schema_4_is_migrated_with_its_vectors_segments_and_words(
    fourth: IndexFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dump(fourth)
    monkeypatch.setattr(full_text, "create", lambda _: pytest.fail("the words are indexed again"))
    with open_for_reading(fourth) as catalog:
        check(catalog)
        assert len(read_segments(catalog, "text")) == 1
    assert dump(fourth) == {**before, "schema": [(SCHEMA,)]}


def test_a_migration_that_fails_leaves_schema_4(
    fourth: IndexFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dump(fourth)
    with monkeypatch.context() as patch:
        broken = f"{migrations_module.FIFTH}INSERT INTO nowhere VALUES (1);\n"
        patch.setattr(migrations_module, "FIFTH", broken)
        with pytest.raises(CatalogError):
            open_for_reading(fourth)
    assert dump(fourth) == before
    with closing(sqlite3.connect(fourth.catalog)) as connection:
        assert full_text.are_current(connection)
    with open_for_reading(fourth) as catalog:
        check(catalog)


@pytest.mark.parametrize(
    "damage",
    [
        lambda connection: connection.execute("DELETE FROM passage_words_data"),
        lambda connection: connection.execute("DROP TABLE passage_words_config"),
    ],
    ids=["no words", "a table is missing"],
)
def test_damaged_words_do_not_prevent_the_migration(
    fourth: IndexFolder, damage: Callable[[sqlite3.Connection], object]
) -> None:
    with closing(sqlite3.connect(fourth.catalog)) as connection:
        damage(connection)
        connection.commit()
    with open_for_reading(fourth) as catalog:
        assert [hit.kind for hit in catalog.hits([1, 2], None)] == ["text", "image"]


def test_rows_of_a_damaged_schema_4_are_saved_into_schema_5(fourth: IndexFolder) -> None:
    saved = salvage(fourth)
    assert saved is not None
    assert saved.broken == ()
    assert [saved.rows[table] for table in ("contents", "chunks", "vectors", "files")] == [2] * 4
    with open_for_reading(fourth) as catalog:
        check(catalog)
