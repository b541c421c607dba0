"""Check that an index is valid at any instant, and whether two indexes are equal."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import searching

from nmm.index.encoders.base import Task
from nmm.index.encoders.registry import MINI
from nmm.index.errors import NoIndexError, OutdatedCatalogError
from nmm.index.maintenance.doctor import doctor
from nmm.index.search import engine as search_module
from nmm.index.search.query import SearchMode
from nmm.index.store.catalog.connection import VECTOR_DTYPE
from nmm.index.store.catalog.reader import SCHEMA, Catalog
from nmm.index.store.catalog.types import KINDS
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors import faiss_files
from nmm.index.store.vectors.segment_table import read_segments

QUERY = "a cat by the sea"
ALL = 1000
# Tolerance for the length of a unit vector with components in half precision.
TOLERANCE = 2e-3

Chunk = tuple[Any, ...]


@dataclass(frozen=True)
class Held:
    """The content of an index, without its ids and generations.

    Attributes:
        files: By absolute path: size, time, status, reason and hash.
        contents: By hash: kind and dimensions, and the chunks in order, each with the bytes of its
            vector; only contents that a file refers to.
    """

    files: dict[str, tuple[Any, ...]]
    contents: dict[bytes, tuple[Any, ...]]

    @property
    def indexed(self) -> set[str]:
        return {path for path, row in self.files.items() if row[2] == "indexed"}


EMPTY = Held({}, {})


def check(folder: IndexFolder, scratch: Path) -> Held:
    """Check a copy of an index, however its last run ended, and return its content.

    The index itself is not opened, because opening alone would clean it up.
    """
    copy = IndexFolder(scratch / "copy")
    shutil.rmtree(copy.path, ignore_errors=True)
    if not folder.catalog.exists():
        return EMPTY
    shutil.copytree(folder.path, copy.path)
    try:
        Catalog.open(copy.catalog).close()
    except NoIndexError:  # killed before the tables were created
        return EMPTY
    except OutdatedCatalogError:  # killed before the migration, checked below
        pass
    with closing(sqlite3.connect(copy.catalog)) as connection:
        _check_database(connection)
        held = _held(connection)
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if schema < SCHEMA:  # killed before the migration
        return held
    _check_segments(copy)
    wrong = [finding for finding in doctor(copy).findings if not finding.ok]
    assert wrong == []
    _check_search(copy, held)
    return held


def _names(connection: sqlite3.Connection) -> tuple[str, str]:
    """Return the columns of a chunk's modality and of a content's medium; older schemas: kind."""
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    return ("modality", "medium") if schema >= 5 else ("kind", "kind")


def _check_database(connection: sqlite3.Connection) -> None:
    modality, medium = _names(connection)

    def rows(sql: str) -> list[tuple[Any, ...]]:
        return connection.execute(sql).fetchall()

    assert rows("PRAGMA integrity_check") == [("ok",)]
    assert rows("PRAGMA foreign_key_check") == []
    assert rows("SELECT id FROM chunks EXCEPT SELECT chunk_id FROM vectors") == []
    assert rows(
        "SELECT chunks.id FROM chunks JOIN contents ON contents.id = content_id "
        f"WHERE chunks.{modality} != contents.{medium}"
    ) == []  # fmt: skip
    if rows("SELECT 1 FROM sqlite_schema WHERE name = 'loose'"):
        # An orphan must be recorded as such, or it would stay forever.
        unheld = "SELECT id FROM contents EXCEPT SELECT content_id FROM files"
        assert rows(f"{unheld} EXCEPT SELECT * FROM loose") == []
    dimension = rows("SELECT value FROM settings WHERE key = 'dimension'")
    vectors = [np.frombuffer(v, VECTOR_DTYPE) for (v,) in rows("SELECT vector FROM vectors")]
    for vector in vectors:
        assert [(len(vector),)] == dimension
        assert abs(np.linalg.norm(vector.astype(np.float32)) - 1) < TOLERANCE


def _held(connection: sqlite3.Connection) -> Held:
    files = {
        str(Path(root, path)): tuple(row)
        for root, path, *row in connection.execute(
            "SELECT roots.path, files.path, size, mtime_ns, status, reason, hash FROM files "
            "JOIN roots ON roots.id = root_id LEFT JOIN contents ON contents.id = content_id"
        )
    }
    contents: dict[bytes, tuple[Any, ...]] = {}
    for number, digest, *row in connection.execute(
        f"SELECT id, hash, {_names(connection)[1]}, width, height, taken_at FROM contents "
        "WHERE id IN (SELECT content_id FROM files)"
    ):
        chunks = connection.execute(
            "SELECT line_start, line_end, text, vector FROM chunks JOIN vectors ON chunk_id = id "
            "WHERE content_id = ? ORDER BY id",
            (number,),
        ).fetchall()
        assert chunks, "a content without chunks"
        contents[digest] = (*row, chunks)
    return Held(files, contents)


def _check_segments(folder: IndexFolder) -> None:
    """Check that every listed file is complete and contains every vector of its range."""
    with Catalog.open(folder.catalog) as catalog:
        for kind in KINDS:
            after = 0
            for segment in read_segments(catalog, kind):
                index = faiss_files.open_file(folder.vectors, segment)
                assert index is not None, segment
                assert faiss_files.is_sound(folder.vectors / segment.name, segment, thorough=True)
                live = catalog.chunk_ids(kind, upto=segment.last_chunk)
                missing = set(live[live > after].tolist()) - set(faiss_files.ids_of(index).tolist())
                assert not missing
                after = segment.last_chunk


def _check_search(folder: IndexFolder, held: Held) -> None:
    """Check that a search finds every file, each kind in the order of its vectors."""
    found = results(folder)
    for kind in KINDS:
        assert [row[0] for row in found if row[1] == kind] == brute_force(held, kind)


def brute_force(held: Held, kind: str) -> list[str]:
    """Return the files of a kind, ordered by the best of their chunks."""
    (query,) = search_module.load_encoder(MINI).embed_texts([QUERY], Task.QUERY)
    scored = []
    for path in held.indexed:
        content_kind, *_, chunks = held.contents[held.files[path][-1]]
        if content_kind == kind:
            vectors = [np.frombuffer(chunk[-1], VECTOR_DTYPE) for chunk in chunks]
            score = max(float(vector.astype(np.float32) @ query) for vector in vectors)
            scored.append((-score, path))
    return [path for _, path in sorted(scored)]


def results(folder: IndexFolder, count: int = ALL) -> list[tuple[Any, ...]]:
    """Return the results of a search, each with its score last."""
    try:
        with search_module.open_search(folder) as search:
            asked = searching.request(QUERY, count, mode=SearchMode.SEMANTIC)
            response = search.search(asked)
            found = [(r.path, r.type, r.lines, r.text, r.score) for r in response.results]
            assert response.warnings == ()
    except NoIndexError:
        return []
    return found


def check_within(held: Held, whole: Held) -> None:
    """Check that every referenced content is as complete as in an index built in one run."""
    for digest, content in held.contents.items():
        if digest in whole.contents:
            assert content == whole.contents[digest]


def check_between(held: Held, before: Held, after: Held) -> None:
    """Check that unchanged files are present, and that the others are in the old or new state."""
    check_within(held, before)
    check_within(held, after)
    stay = before.files.items() & after.files.items()
    assert stay <= held.files.items() <= before.files.items() | after.files.items()
    kept = before.contents.keys() & after.contents.keys()
    assert kept <= held.contents.keys()


def check_finished(folder: IndexFolder, one_go: IndexFolder, scratch: Path) -> None:
    """Check that an index equals one built in one run, without leftover files."""
    held, whole = check(folder, scratch), check(one_go, scratch)
    assert held.files == whole.files
    assert held.contents == whole.contents
    ours, theirs = results(folder), results(one_go)
    assert [row[:-1] for row in ours] == [row[:-1] for row in theirs]
    assert np.allclose([row[-1] for row in ours], [row[-1] for row in theirs], atol=1e-5)
    with closing(sqlite3.connect(folder.catalog)) as connection:
        assert connection.execute("SELECT count(*) FROM loose").fetchone() == (0,)
        named = {name for (name,) in connection.execute("SELECT name FROM segments")}
        (contents,) = connection.execute("SELECT count(*) FROM contents").fetchone()
    assert contents == len(held.contents)
    assert {path.name for path in folder.vectors.iterdir()} == named
    assert not folder.rebuild.path.exists()
