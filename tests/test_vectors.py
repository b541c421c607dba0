"""The derived files of vectors: a search finds the same with them, without them, and with
what a crash or a bad disk has left of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nmm.index import scale
from nmm.index.store import vectors
from nmm.index.store.catalog import KINDS, Catalog, Kind, Scale
from nmm.index.store.location import IndexFolder
from nmm.index.store.vectors import NearestVectors
from nmm.index.store.writer import CatalogWriter, ChunkRow, Content, open_for_writing

DIMENSION = 32

Vectors = NDArray[np.float32]


def unit_vectors(count: int, seed: int = 0, dimension: int = DIMENSION) -> Vectors:
    found = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


QUERY = unit_vectors(1, seed=99)[0]


def add(writer: CatalogWriter, kind: Kind, rows: Vectors, name: bytes = b"") -> None:
    with writer.batch():
        number = writer.add_content(Content(name or kind.encode(), kind))
        for row in rows:
            writer.add_chunk(number, kind, ChunkRow(), row)


@pytest.fixture
def filled(folder: IndexFolder) -> IndexFolder:
    """An index of 300 images and 200 texts, up to date."""
    with open_for_writing(folder) as writer:
        add(writer, "image", unit_vectors(300, seed=1))
        add(writer, "text", unit_vectors(200, seed=2))
        vectors.refresh(writer, folder, DIMENSION)
    return folder


def derived(folder: IndexFolder, kind: Kind) -> Path:
    with Catalog.open(folder.catalog) as catalog:
        known = catalog.vector_file(kind)
    assert known is not None
    return folder.vectors / known.name


def nearest(folder: IndexFolder, kind: Kind, count: int, query: Vectors = QUERY) -> list[int]:
    with Catalog.open(folder.catalog) as catalog:
        found: list[int] = NearestVectors(catalog, folder, kind).search(query, count).tolist()
    return found


def brute_force(folder: IndexFolder, kind: Kind, count: int, query: Vectors = QUERY) -> list[int]:
    with Catalog.open(folder.catalog) as catalog:
        ids, rows = map(np.concatenate, zip(*catalog.vectors(kind), strict=True))
    best: list[int] = ids[np.argsort(-(rows @ query), kind="stable")[:count]].tolist()
    return best


def uses_derived(folder: IndexFolder, kind: Kind) -> bool:
    with Catalog.open(folder.catalog) as catalog:
        return NearestVectors(catalog, folder, kind).derived


# A search is exact


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1, 10, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_search_is_exact(filled: IndexFolder, kind: Kind, count: int, seed: int) -> None:
    query = unit_vectors(1, seed=100 + seed)[0]
    assert uses_derived(filled, kind)
    assert nearest(filled, kind, count, query) == brute_force(filled, kind, count, query)


def test_a_search_for_more_than_there_is_finds_all(filled: IndexFolder) -> None:
    assert sorted(nearest(filled, "image", 1000)) == list(range(1, 301))


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_index_has_nothing_near(folder: IndexFolder, kind: Kind) -> None:
    with open_for_writing(folder) as writer:
        before = NearestVectors(writer, folder, kind).search(QUERY, 5).tolist()
        vectors.refresh(writer, folder, DIMENSION)
    assert (before, nearest(folder, kind, 5)) == ([], [])


# What can happen to a derived file


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


def noise_in_the_header(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(64) + path.read_bytes()[64:])


def another_index_of_that_length(path: Path) -> None:
    """One vector fewer, and padded."""
    import faiss

    size = path.stat().st_size
    flat = faiss.IndexScalarQuantizer(
        DIMENSION, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index = faiss.IndexIDMap(flat)
    index.add_with_ids(unit_vectors(299), np.arange(1, 300))
    faiss.write_index(index, str(path))
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))


def a_folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


damages = pytest.mark.parametrize(
    "damage",
    [
        remove,
        truncate,
        empty,
        noise,
        noise_in_the_header,
        another_index_of_that_length,
        a_folder_in_its_place,
    ],
)


@damages
def test_without_a_sound_file_the_search_finds_the_same(
    filled: IndexFolder, damage: Callable[[Path], None]
) -> None:
    expected = nearest(filled, "image", 20)
    damage(derived(filled, "image"))
    assert not uses_derived(filled, "image")
    assert nearest(filled, "image", 20) == expected == brute_force(filled, "image", 20)


@damages
def test_a_file_that_is_not_sound_is_written_again(
    filled: IndexFolder, damage: Callable[[Path], None]
) -> None:
    damage(derived(filled, "image"))
    with open_for_writing(filled) as writer:
        vectors.refresh(writer, filled, DIMENSION)
    assert uses_derived(filled, "image")
    assert nearest(filled, "image", 20) == brute_force(filled, "image", 20)


def test_vectors_added_since_are_found(filled: IndexFolder) -> None:
    with open_for_writing(filled) as writer:
        add(writer, "image", np.vstack([QUERY, unit_vectors(50, seed=3)]), b"more")
    assert uses_derived(filled, "image")
    assert nearest(filled, "image", 1) == [501]
    assert nearest(filled, "image", 400) == brute_force(filled, "image", 400)


def test_vectors_removed_since_are_passed_over(filled: IndexFolder) -> None:
    with open_for_writing(filled) as writer:
        add(writer, "image", unit_vectors(50, seed=3), b"more")
        writer.drop_content(b"image")
    found = nearest(filled, "image", 1000)
    kept = brute_force(filled, "image", 1000)
    assert [number for number in found if number in set(kept)] == kept
    assert len(kept) == 50


def test_many_vectors_without_a_file_are_searched_block_by_block(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        add(writer, "text", unit_vectors(9000, dimension=4))
    query = QUERY[:4]
    assert nearest(folder, "text", 50, query) == brute_force(folder, "text", 50, query)


# Refreshing


def test_a_refresh_replaces_the_files_and_deletes_the_old(filled: IndexFolder) -> None:
    before = set(filled.vectors.iterdir())
    with open_for_writing(filled) as writer:
        add(writer, "image", unit_vectors(1, seed=3), b"more")
        vectors.refresh(writer, filled, DIMENSION)
        known = [writer.vector_file(kind) for kind in KINDS]
        generation = writer.generation()
    after = set(filled.vectors.iterdir())
    assert after == {derived(filled, kind) for kind in KINDS}
    assert before & after == set()
    assert [file and (file.total, file.last_chunk, file.generation) for file in known] == [
        (301, 501, generation),
        (200, 500, generation),
    ]


def test_a_refresh_deletes_what_a_crash_left(filled: IndexFolder) -> None:
    (filled.vectors / "image-1-0123abcd.faiss").write_bytes(b"half of a file")
    with open_for_writing(filled) as writer:
        vectors.refresh(writer, filled, DIMENSION)
    assert set(filled.vectors.iterdir()) == {derived(filled, kind) for kind in KINDS}


def test_a_refresh_of_what_is_up_to_date_writes_nothing(filled: IndexFolder) -> None:
    before = {path: path.stat().st_mtime_ns for path in filled.vectors.iterdir()}
    with open_for_writing(filled) as writer:
        vectors.refresh(writer, filled, DIMENSION)
    assert {path: path.stat().st_mtime_ns for path in filled.vectors.iterdir()} == before


def test_an_open_search_outlives_its_file(filled: IndexFolder) -> None:
    expected = brute_force(filled, "image", 20)
    with Catalog.open(filled.catalog) as catalog:
        search = NearestVectors(catalog, filled, "image")
        try:
            derived(filled, "image").unlink()
        except PermissionError:
            pytest.skip("this system deletes no file that is open")
        assert search.search(QUERY, 20).tolist() == expected


# Scales


def test_a_scale_reaches_from_the_median_to_one_in_a_thousand() -> None:
    found = scale.fit(np.linspace(0, 1, 1001, dtype=np.float32))
    assert found == pytest.approx(Scale(centre=0.5, unit=0.499))


@pytest.mark.parametrize(("shift", "stretch"), [(0.3, 1), (0, 0.2), (-0.5, 3)])
def test_scores_are_blind_to_shift_and_stretch(shift: float, stretch: float) -> None:
    cosines = unit_vectors(100) @ unit_vectors(30, seed=1).T
    plain, moved = scale.fit(cosines), scale.fit(cosines * stretch + shift)
    scores = (cosines - plain.centre) / plain.unit
    np.testing.assert_allclose(
        (cosines * stretch + shift - moved.centre) / moved.unit, scores, atol=1e-4
    )


def test_items_that_every_query_fits_the_same_have_a_finite_score() -> None:
    assert scale.fit(np.full(100, 0.25, np.float32)) == Scale(0.25, scale.LEAST_UNIT)


def test_a_scale_is_of_its_kind_alone(filled: IndexFolder) -> None:
    neutral = unit_vectors(10, seed=7)
    with Catalog.open(filled.catalog) as catalog:
        ((_, texts),) = catalog.vectors("text")
        measured = scale.measure(catalog, "text", neutral)
    assert measured == pytest.approx(scale.fit(texts @ neutral.T))


def test_without_vectors_there_is_no_scale(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        assert scale.measure(writer, "image", unit_vectors(10)) is None


def test_a_large_collection_is_sampled_whatever_its_ids(folder: IndexFolder) -> None:
    rows = unit_vectors(scale.SAMPLE + 1, dimension=8)
    neutral = unit_vectors(10, seed=7, dimension=8)
    with open_for_writing(folder) as writer:
        with writer.batch():
            image, text = (writer.add_content(Content(k.encode(), k)) for k in KINDS)
            for row in rows:  # the ids of images are odd, those of texts even
                writer.add_chunk(image, "image", ChunkRow(), row)
                writer.add_chunk(text, "text", ChunkRow(), row)
        measured = [scale.measure(writer, kind, neutral) for kind in KINDS]
    expected = pytest.approx(scale.fit(rows[1::2].astype(np.float16) @ neutral.T), abs=1e-6)
    assert measured == [expected, expected]


def test_what_was_in_the_folder_before_is_left_alone(filled: IndexFolder) -> None:
    (filled.vectors / "logo.svg").write_text("<svg/>")
    (filled.vectors / "my.faiss").write_text("somebody's own")
    with open_for_writing(filled) as writer:
        add(writer, "image", unit_vectors(3, seed=9), b"new")
        vectors.refresh(writer, filled, DIMENSION)
    assert (filled.vectors / "logo.svg").exists()
    assert (filled.vectors / "my.faiss").exists()
