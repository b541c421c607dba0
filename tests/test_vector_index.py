"""The contract of a vector index, which every implementation fulfils.

A new implementation is tested by adding a line to IMPLEMENTATIONS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from vector_search import rescored

from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.replacement import continue_from, replace_contents_with
from nmm.index.store.catalog.types import KINDS, Kind, Settings
from nmm.index.store.catalog.writer import CatalogWriter, ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors.base import Candidates, VectorIndex
from nmm.index.store.vectors.faiss_index import FaissIndex

pytestmark = pytest.mark.usefixtures("short_tail")

DIMENSION = 24
COUNTS = {"image": 300, "text": 200}
Vectors = NDArray[np.float32]


class Implementation(NamedTuple):
    """A vector index under test.

    Attributes:
        name: Its name in the test ids.
        open: Opens it.
        damage: Destroys its stored data, as a bad disk does.
    """

    name: str
    open: Callable[[IndexFolder, Catalog], VectorIndex]
    damage: Callable[[IndexFolder], None]


def overwrite_files(folder: IndexFolder) -> None:
    for path in folder.vectors.iterdir():
        path.write_bytes(b"\0" * path.stat().st_size)


IMPLEMENTATIONS = [Implementation("faiss", FaissIndex, overwrite_files)]


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda one: one.name)
def kind_of_index(request: pytest.FixtureRequest) -> Implementation:
    found: Implementation = request.param
    return found


def unit_vectors(count: int, seed: int) -> Vectors:
    found = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


QUERIES = [*unit_vectors(30, seed=99)]


def add(writer: CatalogWriter, kind: Kind, rows: Vectors, name: str) -> None:
    with writer.batch():
        content = writer.add_content(Content(name.encode(), kind))
        for row in rows:
            writer.add_chunk(content, kind, ChunkRow(), row)


def fill(writer: CatalogWriter, seed: int = 1) -> None:
    writer.set_settings(Settings("model", DIMENSION, "weights"))
    for number, (kind, count) in enumerate(COUNTS.items()):
        add(writer, KINDS[number], unit_vectors(count, seed + number), kind)


@pytest.fixture
def filled(folder: IndexFolder, kind_of_index: Implementation) -> IndexFolder:
    """An index of 300 images and 200 texts, up to date."""
    with open_for_writing(folder) as writer:
        fill(writer)
        kind_of_index.open(folder, writer).sync(writer)
    return folder


def brute_force(
    catalog: Catalog, kind: Kind, query: Vectors, limit: int, among: list[int] | None = None
) -> list[int]:
    ids, rows = map(np.concatenate, zip(*catalog.vectors(kind), strict=True))
    if among is not None:
        chosen = np.isin(ids, among)
        ids, rows = ids[chosen], rows[chosen]
    best: list[int] = ids[np.argsort(-(rows @ query), kind="stable")[:limit]].tolist()
    return best


def assert_exact(index: VectorIndex, catalog: Catalog, among: list[int] | None = None) -> None:
    """Check that a search of each kind returns the same as brute force over the catalog."""
    for kind in KINDS:
        ids = None if among is None else np.intersect1d(catalog.chunk_ids(kind), among)
        for query, limit in zip(QUERIES, (1, 10, 1000), strict=False):

            def search(
                query: Vectors,
                limit: int,
                *_: object,
                kind: Kind = kind,
                ids: NDArray[np.int64] | None = ids,
            ) -> Candidates:
                return index.search(query, limit, kind, among=ids)

            expected = brute_force(catalog, kind, query, limit, among)
            assert rescored(catalog, search, query, limit) == expected


def assert_sound(index: VectorIndex, catalog: Catalog) -> None:
    assert_exact(index, catalog)
    assert index.damaged() == []
    found = index.verify(catalog)
    assert found.problems == {}
    assert found.parts > 0
    assert index.leftovers(catalog) == []


def test_a_search_is_exact(filled: IndexFolder, kind_of_index: Implementation) -> None:
    with Catalog.open(filled.catalog) as catalog:
        assert_sound(kind_of_index.open(filled, catalog), catalog)


def test_scores_are_inner_products(filled: IndexFolder, kind_of_index: Implementation) -> None:
    with Catalog.open(filled.catalog) as catalog:
        ids, scores = kind_of_index.open(filled, catalog).search(QUERIES[0], 20, "image")
        rows = np.concatenate([rows for _, rows in catalog.vectors_of(ids.tolist())])
    np.testing.assert_allclose(scores, rows @ QUERIES[0], atol=1e-3)
    assert (np.diff(scores) <= 0).all()


def test_an_index_that_was_never_synced_searches_the_catalog(
    folder: IndexFolder, kind_of_index: Implementation
) -> None:
    with open_for_writing(folder) as writer:
        index = kind_of_index.open(folder, writer)
        assert len(index.search(QUERIES[0], 10, "text").ids) == 0
        fill(writer)
        assert_exact(index, writer)
        assert index.verify(writer) == (0, {})


@pytest.mark.parametrize("every", [1, 2, 7, 1000])
def test_a_search_among_some_chunks_is_exact(
    filled: IndexFolder, kind_of_index: Implementation, every: int
) -> None:
    with Catalog.open(filled.catalog) as catalog:
        index = kind_of_index.open(filled, catalog)
        assert_exact(index, catalog, list(range(1, 501, every)))
        nothing = index.search(QUERIES[0], 5, "image", among=np.empty(0, np.int64))
        assert nothing.ids.tolist() == []


def test_what_was_added_and_removed_since_is_followed(
    filled: IndexFolder, kind_of_index: Implementation
) -> None:
    with Catalog.open(filled.catalog) as catalog, open_for_writing(filled) as writer:
        index = kind_of_index.open(filled, catalog)
        assert_exact(index, catalog)
        add(writer, "image", np.vstack([QUERIES[0], unit_vectors(50, seed=7)]), "more")
        assert index.search(QUERIES[0], 1, "image").ids.tolist() == [501]
        assert_exact(index, catalog)
        writer.drop_content(b"image")
        assert_exact(index, catalog)
        kind_of_index.open(filled, writer).sync(writer)
        assert_sound(index, catalog)


@pytest.mark.parametrize("count", [1, 4, 30])
def test_submitted_queries_have_the_same_results(
    filled: IndexFolder, kind_of_index: Implementation, count: int
) -> None:
    """Whatever becomes of the handles: some are never used."""
    with Catalog.open(filled.catalog) as catalog:
        alone, index = (kind_of_index.open(filled, catalog) for _ in range(2))
        for kind in KINDS:
            for _ in range(2):
                pending = index.submit(QUERIES[:count], 20, kind)
                assert len(pending) == count
                for handle, query in [*zip(pending, QUERIES, strict=False)][::-3]:
                    for limit in (20, 5, 50):
                        expected = alone.search(query, limit, kind)
                        found = index.search(handle, limit, kind)
                        assert found.ids.tolist() == expected.ids.tolist()


def test_handles_outlive_a_change(filled: IndexFolder, kind_of_index: Implementation) -> None:
    with Catalog.open(filled.catalog) as catalog, open_for_writing(filled) as writer:
        index = kind_of_index.open(filled, catalog)
        pending = index.submit(QUERIES[:4], 20, "image")
        add(writer, "image", QUERIES[0][None], "more")
        kind_of_index.open(filled, writer).sync(writer, compact=True)
        for handle in pending:
            found = index.search(handle, 20, "image").ids.tolist()
            assert found == brute_force(catalog, "image", handle.query, 20)


def test_damage_is_found_and_repaired_and_changes_no_result(
    filled: IndexFolder, kind_of_index: Implementation
) -> None:
    with Catalog.open(filled.catalog) as catalog, open_for_writing(filled) as writer:
        kind_of_index.damage(filled)
        index = kind_of_index.open(filled, catalog)
        assert index.damaged() == [], "nothing was looked at yet"
        assert_exact(index, catalog)
        problems = index.verify(catalog).problems
        assert index.damaged() == sorted(problems)
        assert all(problems.values())
        assert problems
        kind_of_index.open(filled, writer).repair(writer)
        assert_sound(index, catalog)


def test_a_part_that_is_named_is_written_again(
    filled: IndexFolder, kind_of_index: Implementation
) -> None:
    with open_for_writing(filled) as writer:
        kind_of_index.damage(filled)
        index = kind_of_index.open(filled, writer)
        index.repair(writer, index.verify(writer).problems)
        assert_sound(index, writer)


def test_compacting_changes_no_result(filled: IndexFolder, kind_of_index: Implementation) -> None:
    with open_for_writing(filled) as writer:
        index = kind_of_index.open(filled, writer)
        for seed in range(3):
            add(writer, "text", unit_vectors(20, seed), f"more {seed}")
            index.sync(writer)
        parts = index.verify(writer).parts
        index.sync(writer, compact=True)
        assert index.verify(writer).parts <= parts
        assert_sound(index, writer)


def test_an_index_is_written_while_its_catalog_grows(
    folder: IndexFolder, kind_of_index: Implementation
) -> None:
    with open_for_writing(folder) as writer:
        index = kind_of_index.open(folder, writer)
        writer.set_settings(Settings("model", DIMENSION, "weights"))
        with index.background(writer) as added:
            for seed in range(20):
                add(writer, "image", unit_vectors(20, seed), f"more {seed}")
                added(20)
                assert index.search(QUERIES[0], 400, "image").ids.tolist() == brute_force(
                    writer, "image", QUERIES[0], 400
                )
        assert index.verify(writer).problems == {}
        assert index.verify(writer).parts > 0
        add(writer, "text", unit_vectors(20, 30), "text")
        index.sync(writer)
        assert_sound(index, writer)


def test_a_rebuilt_index_is_adopted(filled: IndexFolder, kind_of_index: Implementation) -> None:
    with Catalog.open(filled.catalog) as catalog, open_for_writing(filled) as writer:
        index = kind_of_index.open(filled, catalog)
        assert_exact(index, catalog)
        with open_for_writing(filled.rebuild) as new:
            continue_from(new, writer)
            fill(new, seed=20)
            kind_of_index.open(filled.rebuild, new).sync(new)
        kind_of_index.open(filled, writer).adopt(filled.rebuild)
        assert_exact(index, catalog)  # of the old vectors, until the catalog is replaced
        replace_contents_with(writer, filled.rebuild.catalog)
        assert_exact(index, catalog)
        assert index.damaged() == []
        filled.rebuild.delete()
        kind_of_index.open(filled, writer).sync(writer)
        assert_sound(index, catalog)


def test_a_dropped_index_searches_the_catalog_until_it_is_synced(
    filled: IndexFolder, kind_of_index: Implementation
) -> None:
    with Catalog.open(filled.catalog) as catalog, open_for_writing(filled) as writer:
        index = kind_of_index.open(filled, catalog)
        kind_of_index.open(filled, writer).drop(writer)
        assert_exact(index, catalog)
        assert (index.verify(catalog), index.leftovers(catalog)) == ((0, {}), [])
        kind_of_index.open(filled, writer).sync(writer)
        assert_sound(index, catalog)
