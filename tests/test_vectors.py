"""Derived vector files: a search returns the same with them, without them, and if damaged."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray
from vector_search import nearest_chunks, open_searcher, rescored

from nmm.index import calibration
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS, Calibration, Kind
from nmm.index.store.catalog.writer import CatalogWriter, ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors import faiss_search, flat_scans, searcher, segments
from nmm.index.store.vectors.flat_scans import PendingScan
from nmm.index.store.vectors.searcher import SegmentSearcher
from nmm.index.store.vectors.segment_table import read_segments

pytestmark = pytest.mark.usefixtures("short_tail")

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
        segments.refresh(writer, folder, DIMENSION)
    return folder


def derived(folder: IndexFolder, kind: Kind) -> Path:
    (path,) = derived_files(folder, kind)
    return path


def derived_files(folder: IndexFolder, kind: Kind) -> list[Path]:
    with Catalog.open(folder.catalog) as catalog:
        return [folder.vectors / segment.name for segment in read_segments(catalog, kind)]


def nearest(folder: IndexFolder, kind: Kind, count: int, query: Vectors = QUERY) -> list[int]:
    with Catalog.open(folder.catalog) as catalog:
        found: list[int] = nearest_chunks(catalog, folder, kind, query, count)
    return found


def brute_force(folder: IndexFolder, kind: Kind, count: int, query: Vectors = QUERY) -> list[int]:
    with Catalog.open(folder.catalog) as catalog:
        ids, rows = map(np.concatenate, zip(*catalog.vectors(kind), strict=True))
    best: list[int] = ids[np.argsort(-(rows @ query), kind="stable")[:count]].tolist()
    return best


def uses_derived(folder: IndexFolder, kind: Kind) -> bool:
    """Return whether there are derived files, and a search can use all of them."""
    with Catalog.open(folder.catalog) as catalog:
        search = open_searcher(catalog, folder, kind)
        search.search(QUERY, 10)
        return bool(read_segments(catalog, kind)) and not search.damaged


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


@pytest.mark.parametrize("count", [1, 20, 1000])
def test_a_flat_file_is_compared_in_parts_by_threads_with_the_same_result(
    filled: IndexFolder, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    expected = brute_force(filled, "image", count)
    among = np.arange(3, 300, 7, np.int64)
    parts: list[int] = []
    threads = faiss_search._threads
    monkeypatch.setattr(faiss_search, "_threads", lambda n: parts.append(n) or threads(n))
    monkeypatch.setattr(faiss_search, "VECTORS_PER_THREAD", 40)
    monkeypatch.setattr(searcher, "MAX_EXACT_SUBSET", 0)
    usual = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(7)
    try:
        assert nearest(filled, "image", count) == expected
        with Catalog.open(filled.catalog) as catalog:
            near = nearest_chunks(catalog, filled, "image", QUERY, count, among)
        assert faiss.omp_get_max_threads() == 7
    finally:
        faiss.omp_set_num_threads(usual)
    every = brute_force(filled, "image", 1000)
    assert near == [number for number in every if number in set(among.tolist())][:count]
    assert set(parts) == {7}


def submit(search: SegmentSearcher, queries: list[Vectors], count: int) -> list[PendingScan]:
    """Submit many queries, which use the codes: after this, the codes exist."""
    search.submit(queries, count)
    assert [made.result() is not None for made in search._scans.codes.values()] == [True]
    pending = search.submit(queries, count)
    assert all(one.batch and len(one.batch) == 1 for one in pending)
    assert [one.position for one in pending] == list(range(len(queries)))
    return pending


def test_many_queries_are_looked_for_at_once_with_the_same_result(filled: IndexFolder) -> None:
    queries = [*unit_vectors(flat_scans.MIN_QUERIES_FOR_CODES, seed=5)]
    with Catalog.open(filled.catalog) as catalog:
        search, alone = (open_searcher(catalog, filled, "image") for _ in range(2))
        for pending in submit(search, queries, 20):
            ids, scores = search.search(pending, 20)
            expected_ids, expected_scores = alone.search(pending.query, 20)
            assert (ids.tolist(), scores.tolist()) == (
                expected_ids.tolist(),
                expected_scores.tolist(),
            )
        assert not alone._scans.codes


def test_codes_are_kept_when_others_are_added(filled: IndexFolder) -> None:
    queries = [*unit_vectors(flat_scans.MIN_QUERIES_FOR_CODES, seed=5)]
    with Catalog.open(filled.catalog) as catalog:
        search = open_searcher(catalog, filled, "image")
        before = submit(search, queries, 20)
        with open_for_writing(filled) as writer:
            add(writer, "image", unit_vectors(60, seed=3), b"more")
            segments.refresh(writer, filled, DIMENSION)
        later = open_searcher(catalog, filled, "image", search)
        assert later._scans.codes == search._scans.codes
        pending = later.submit(queries, 20)
        assert len(later._scans.codes) == len(derived_files(filled, "image")) == 2
        for query in [*pending, *before]:  # codes of a file stay valid as long as the file exists
            ids, _ = later.search(query, 20)
            assert ids.tolist() == brute_force(filled, "image", 20, query.query)


def test_there_are_no_codes_for_few_queries(filled: IndexFolder) -> None:
    with Catalog.open(filled.catalog) as catalog:
        search = open_searcher(catalog, filled, "image")
        for query in unit_vectors(flat_scans.MIN_QUERIES_FOR_CODES, seed=5):
            pending, _ = search.submit([query, QUERY], 20)
            ids, _ = search.search(pending, 20)
            assert ids.tolist() == brute_force(filled, "image", 20, query)
        assert not search._scans.codes


def test_the_next_query_is_begun_when_one_is_searched_with(filled: IndexFolder) -> None:
    queries = [*unit_vectors(4, seed=5)]
    with Catalog.open(filled.catalog) as catalog:
        search = open_searcher(catalog, filled, "image")
        pending = search.submit(queries, 20)
        begun = [[one.batch is not None for one in pending]]
        for one in pending:
            search.search(one, 20)
            begun.append([other.batch is not None for other in pending])
    assert [sum(some) for some in begun] == [2, 2, 3, 4, 4]


@pytest.mark.parametrize("asked", [(3, 0, 2), (1, 1), (0,)])
def test_pending_searches_may_be_asked_for_in_any_order_and_for_more(
    filled: IndexFolder, asked: tuple[int, ...]
) -> None:
    queries = [*unit_vectors(4, seed=5)]
    with Catalog.open(filled.catalog) as catalog:
        search = open_searcher(catalog, filled, "image")
        pending = search.submit(queries, 20)
        for place in asked:
            for count in (5, 20, 100):
                expected = brute_force(filled, "image", count, queries[place])
                assert rescored(catalog, search.search, pending[place], count) == expected


def test_a_file_has_no_codes_if_they_were_too_many(
    filled: IndexFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flat_scans, "MAX_CODE_BYTES", 299 * DIMENSION)
    queries = [*unit_vectors(flat_scans.MIN_QUERIES_FOR_CODES, seed=5)]
    with Catalog.open(filled.catalog) as catalog:
        search = open_searcher(catalog, filled, "image")
        for place, query in enumerate(queries):
            pending = search.submit(queries[place:], 20)[0]
            assert not search._scans.codes
            ids, _ = search.search(pending, 20)
            assert ids.tolist() == brute_force(filled, "image", 20, query)


def test_what_codes_propose_of_a_damaged_file_is_found_out(filled: IndexFolder) -> None:
    path = derived(filled, "image")
    before = path.stat()
    content = bytearray(path.read_bytes())
    at = content.index(unit_vectors(1, seed=1).astype(np.float16).tobytes()[:8])
    content[at : at + 64 * 299] = np.roll(unit_vectors(299, seed=7).astype(np.float16), 1).tobytes()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    queries = [*unit_vectors(flat_scans.MIN_QUERIES_FOR_CODES, seed=5)]
    with Catalog.open(filled.catalog) as catalog:
        search = open_searcher(catalog, filled, "image")
        for pending in submit(search, queries, 300):
            expected = brute_force(filled, "image", 300, pending.query)
            assert rescored(catalog, search.search, pending, 300) == expected
        assert search.damaged == [path.name]


def resident(path: Path) -> int:
    """Return the resident size of a mapped file in this process, in KiB."""
    text = Path("/proc/self/smaps").read_text()
    blocks = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.MULTILINE)
    mapped = [block for block in blocks if block.partition("\n")[0].endswith(str(path))]
    assert mapped
    return sum(
        int(found[1]) for one in mapped if (found := re.search(r"^Rss: +(\d+)", one, re.MULTILINE))
    )


@pytest.mark.skipif(sys.platform != "linux", reason="pages are given back on Linux alone")
def test_the_pages_of_a_large_file_are_given_back(
    folder: IndexFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    dimension = 256
    with open_for_writing(folder) as writer:
        add(writer, "image", unit_vectors(8000, seed=1, dimension=dimension))
        segments.refresh(writer, folder, dimension)
    path = derived(folder, "image")
    query = unit_vectors(1, seed=9, dimension=dimension)[0]
    expected = brute_force(folder, "image", 50, query)
    size = path.stat().st_size // 1024
    for large, least, most in ((1 << 30, size // 2, 2 * size), (1 << 20, 0, size // 4)):
        monkeypatch.setattr(faiss_search, "LARGE_FILE_BYTES", large)
        monkeypatch.setattr(faiss_search, "MAX_PART_BYTES", 1 << 18)
        with Catalog.open(folder.catalog) as catalog:
            search = open_searcher(catalog, folder, "image")
            for _ in range(2):  # they are read again
                found, _ = search.search(query, 50)
                assert found.tolist() == expected
            assert least <= resident(path) <= most
            among = np.array(expected[::2], np.int64)
            monkeypatch.setattr(searcher, "MAX_EXACT_SUBSET", 0)
            assert search.search(query, 9, among)[0].tolist() == expected[::2][:9]


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_index_has_nothing_near(folder: IndexFolder, kind: Kind) -> None:
    with open_for_writing(folder) as writer:
        before = nearest_chunks(writer, folder, kind, QUERY, 5)
        segments.refresh(writer, folder, DIMENSION)
    assert (before, nearest(folder, kind, 5)) == ([], [])


# Damage of a derived file


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
    """Write an index with one vector fewer, padded to the same length."""
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
        segments.refresh(writer, filled, DIMENSION)
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


# Refresh


def totals(folder: IndexFolder, kind: Kind = "image") -> list[int]:
    with Catalog.open(folder.catalog) as catalog:
        return [segment.total for segment in read_segments(catalog, kind)]


def grow(folder: IndexFolder, count: int, seed: int) -> None:
    """Add images, and refresh."""
    with open_for_writing(folder) as writer:
        add(writer, "image", unit_vectors(count, seed), f"more {seed}".encode())
        segments.refresh(writer, folder, DIMENSION)


def test_what_is_added_is_a_segment_of_its_own_until_it_is_as_large_as_the_one_before(
    filled: IndexFolder,
) -> None:
    first = derived(filled, "image")
    sizes = []
    for n, count in enumerate((20, 9, 4, 2, 20, 200)):
        grow(filled, count, 10 + n)
        sizes.append(totals(filled))
        assert nearest(filled, "image", 700) == brute_force(filled, "image", 700)
        assert (first in derived_files(filled, "image")) == (n < 5)
    assert sizes == [
        [300, 20],
        [300, 20, 9],
        [300, 20, 9, 4],
        [300, 20, 9, 4, 2],
        [300, 55],
        [555],
    ]
    assert set(filled.vectors.iterdir()) == {
        path for kind in KINDS for path in derived_files(filled, kind)
    }


def test_a_short_tail_stays_in_the_catalog(
    filled: IndexFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MIN_SEGMENT_SIZE", 30)
    grow(filled, 29, 10)
    assert totals(filled) == [300]
    assert nearest(filled, "image", 400) == brute_force(filled, "image", 400)
    grow(filled, 1, 11)
    assert totals(filled) == [300, 30]


def test_a_damaged_segment_takes_only_those_after_it_along(filled: IndexFolder) -> None:
    grow(filled, 100, 10)
    grow(filled, 40, 11)
    assert totals(filled) == [300, 100, 40]
    first, middle, last = derived_files(filled, "image")
    noise(middle)
    with open_for_writing(filled) as writer:
        segments.refresh(writer, filled, DIMENSION)
    assert totals(filled) == [300, 140]
    assert derived_files(filled, "image")[0] == first
    assert not middle.exists()
    assert not last.exists()
    assert nearest(filled, "image", 500) == brute_force(filled, "image", 500)


def test_many_removed_vectors_are_dropped_from_the_segments(filled: IndexFolder) -> None:
    grow(filled, 90, 10)
    for gone, left in (("more 10", [300, 90]), ("image", [90])):
        with open_for_writing(filled) as writer:
            if gone == "image":
                grow_back = unit_vectors(90, 12)
                add(writer, "image", grow_back, b"back")
            writer.drop_content(gone.encode())
            segments.refresh(writer, filled, DIMENSION)
        assert totals(filled) == left
        assert nearest(filled, "image", 500) == brute_force(filled, "image", 500)


def test_compacting_leaves_one_segment_without_what_is_gone(filled: IndexFolder) -> None:
    grow(filled, 20, 10)
    grow(filled, 4, 11)
    with open_for_writing(filled) as writer:
        writer.drop_content(b"more 10")
        segments.refresh(writer, filled, DIMENSION, compact=True)
    assert totals(filled) == [304]
    before = derived(filled, "image")
    with open_for_writing(filled) as writer:
        segments.refresh(writer, filled, DIMENSION, compact=True)
    assert derived(filled, "image") == before, "what is compact is left alone"
    assert nearest(filled, "image", 500) == brute_force(filled, "image", 500)


def test_a_kind_of_which_all_is_gone_has_no_segment(filled: IndexFolder) -> None:
    with open_for_writing(filled) as writer:
        writer.drop_content(b"image")
        segments.refresh(writer, filled, DIMENSION)
    assert derived_files(filled, "image") == []
    assert set(filled.vectors.iterdir()) == {derived(filled, "text")}


def test_a_file_that_was_copied_is_believed_once_it_was_read(filled: IndexFolder) -> None:
    path = derived(filled, "image")
    os.utime(path)
    assert uses_derived(filled, "image")
    with open_for_writing(filled) as writer:
        segments.refresh(writer, filled, DIMENSION)
        (segment,) = read_segments(writer, "image")
    assert (segment.name, segment.mtime_ns) == (path.name, path.stat().st_mtime_ns)


# The inverted file

CENTRES = unit_vectors(60, seed=5)


def clustered(count: int, seed: int) -> Vectors:
    """Return vectors around a few centres, like embeddings of similar things."""
    chance = np.random.default_rng(seed)
    noise = chance.normal(size=(count, DIMENSION)).astype(np.float32)
    found: Vectors = CENTRES[chance.integers(0, len(CENTRES), count)] + noise / 8
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


@pytest.fixture
def large(folder: IndexFolder, monkeypatch: pytest.MonkeyPatch) -> IndexFolder:
    """An index of 3,000 images, above the lowered threshold, so that it has an inverted file."""
    monkeypatch.setattr(segments, "IVF_FROM", 3000)
    monkeypatch.setattr(segments, "MAX_FLAT_VECTORS", 500)
    with open_for_writing(folder) as writer:
        add(writer, "image", clustered(3000, seed=1))
        segments.refresh(writer, folder, DIMENSION)
    return folder


def forms(folder: IndexFolder) -> list[tuple[str, int]]:
    with Catalog.open(folder.catalog) as catalog:
        return [(segment.form, segment.total) for segment in read_segments(catalog, "image")]


def recall(folder: IndexFolder) -> float:
    """Return recall at 10 over 50 queries."""
    found = [
        len({*nearest(folder, "image", 10, query)} & {*brute_force(folder, "image", 10, query)})
        for query in clustered(50, seed=77)
    ]
    return sum(found) / 500


def test_many_vectors_are_in_an_inverted_file(large: IndexFolder) -> None:
    assert forms(large) == [("ivf", 3000)]
    assert recall(large) > 0.97


def test_an_inverted_file_is_a_seventh_of_a_flat_one(large: IndexFolder) -> None:
    import faiss

    ivf = derived(large, "image").stat().st_size
    lists = 4 * int(3000**0.5)
    # Two bits per dimension and five numbers per vector; ids, lists and the rotation come on top.
    codes = 3000 * (2 * DIMENSION // 8 + 20)
    assert ivf < codes + 3000 * 8 + (lists + 2 * DIMENSION) * DIMENSION * 4 + 64 * lists
    assert faiss.read_index(str(derived(large, "image"))).ntotal == 3000


def test_what_is_added_to_an_inverted_file_waits_beside_it_and_is_then_taken_in(
    large: IndexFolder,
) -> None:
    grow(large, 100, 20)
    assert forms(large) == [("ivf", 3000), ("flat", 100)]
    grow(large, 450, 21)
    assert forms(large) == [("ivf", 3550)]
    with Catalog.open(large.catalog) as catalog:
        (segment,) = read_segments(catalog, "image")
    assert segment.trained == 3000, "its lists were not learned again"
    assert recall(large) > 0.97


def test_removed_vectors_are_dropped_when_an_inverted_file_is_extended(large: IndexFolder) -> None:
    grow(large, 100, 20)
    with open_for_writing(large) as writer:
        writer.drop_content(b"more 20")
    grow(large, 600, 21)
    assert forms(large) == [("ivf", 3600)]
    found = nearest(large, "image", 4000)
    assert found == brute_force(large, "image", 4000)


def test_lists_are_learned_anew_when_there_is_much_more(
    large: IndexFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "RETRAIN_GROWTH", 2)
    grow(large, 4000, 20)
    with Catalog.open(large.catalog) as catalog:
        (segment,) = read_segments(catalog, "image")
    assert (segment.total, segment.trained) == (7000, 7000)


@damages
def test_without_its_inverted_file_a_search_finds_the_same_and_more(
    large: IndexFolder, damage: Callable[[Path], None]
) -> None:
    damage(derived(large, "image"))
    assert not uses_derived(large, "image")
    assert recall(large) == 1
    with open_for_writing(large) as writer:
        segments.refresh(writer, large, DIMENSION)
    assert uses_derived(large, "image")
    assert forms(large) == [("ivf", 3000)]


# Within a set of ids


@pytest.mark.parametrize("exact", [0, 10_000])
@pytest.mark.parametrize("every", [2, 7, 300])
def test_a_search_among_some_is_exact(
    filled: IndexFolder, monkeypatch: pytest.MonkeyPatch, every: int, exact: int
) -> None:
    """Some in a segment, some in the tail; read from the catalog, and selected by FAISS."""
    monkeypatch.setattr(searcher, "MAX_EXACT_SUBSET", exact)
    with open_for_writing(filled) as writer:
        add(writer, "image", unit_vectors(50, seed=3), b"more")
    with Catalog.open(filled.catalog) as catalog:
        ids = catalog.chunk_ids("image")[::every]
        rows = np.concatenate([rows for _, rows in catalog.vectors_of(ids.tolist())])
        expected = ids[np.argsort(-(rows @ QUERY), kind="stable")[:20]].tolist()
        search = open_searcher(catalog, filled, "image")
        assert rescored(catalog, search.search, QUERY, 20, ids) == expected
        assert rescored(catalog, search.search, QUERY, 20, ids[:0]) == []


def test_a_search_among_many_looks_into_all_lists(
    large: IndexFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "MAX_EXACT_SUBSET", 10)
    with Catalog.open(large.catalog) as catalog:
        ids = catalog.chunk_ids("image")[::50]
        rows = np.concatenate([rows for _, rows in catalog.vectors_of(ids.tolist())])
        search = open_searcher(catalog, large, "image")
        for query in clustered(20, seed=78):
            expected = ids[np.argsort(-(rows @ query), kind="stable")[:10]].tolist()
            assert rescored(catalog, search.search, query, 10, ids) == expected


def test_a_refresh_deletes_what_a_crash_left(filled: IndexFolder) -> None:
    (filled.vectors / "image-1-0123abcd.faiss").write_bytes(b"half of a file")
    with open_for_writing(filled) as writer:
        segments.refresh(writer, filled, DIMENSION)
    assert set(filled.vectors.iterdir()) == {derived(filled, kind) for kind in KINDS}


def test_a_refresh_of_what_is_up_to_date_writes_nothing(filled: IndexFolder) -> None:
    before = {path: path.stat().st_mtime_ns for path in filled.vectors.iterdir()}
    with open_for_writing(filled) as writer:
        segments.refresh(writer, filled, DIMENSION)
    assert {path: path.stat().st_mtime_ns for path in filled.vectors.iterdir()} == before


def test_noise_under_the_old_time_is_found_out_by_what_it_proposes(filled: IndexFolder) -> None:
    path = derived(filled, "image")
    before = path.stat()
    content = bytearray(path.read_bytes())
    at = content.index(unit_vectors(1, seed=1).astype(np.float16).tobytes()[:8])
    content[at : at + 64 * 299] = np.random.default_rng(1).bytes(64 * 299)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert nearest(filled, "image", 300) == brute_force(filled, "image", 300)
    assert not uses_derived(filled, "image")


def test_an_open_search_outlives_its_file(filled: IndexFolder) -> None:
    expected = brute_force(filled, "image", 20)
    with Catalog.open(filled.catalog) as catalog:
        search = open_searcher(catalog, filled, "image")
        try:
            derived(filled, "image").unlink()
        except PermissionError:
            pytest.skip("this system deletes no file that is open")
        assert rescored(catalog, search.search, QUERY, 20) == expected


# Calibration


def test_a_scale_reaches_from_the_median_to_one_in_a_thousand() -> None:
    found = calibration.fit(np.linspace(0, 1, 1001, dtype=np.float32))
    assert found == pytest.approx(Calibration(median=0.5, spread=0.499))


@pytest.mark.parametrize(("shift", "stretch"), [(0.3, 1), (0, 0.2), (-0.5, 3)])
def test_scores_are_blind_to_shift_and_stretch(shift: float, stretch: float) -> None:
    cosines = unit_vectors(100) @ unit_vectors(30, seed=1).T
    plain, moved = calibration.fit(cosines), calibration.fit(cosines * stretch + shift)
    scores = (cosines - plain.median) / plain.spread
    np.testing.assert_allclose(
        (cosines * stretch + shift - moved.median) / moved.spread, scores, atol=1e-4
    )


def test_items_that_every_query_fits_the_same_have_a_finite_score() -> None:
    assert calibration.fit(np.full(100, 0.25, np.float32)) == Calibration(
        0.25, calibration.MIN_SPREAD
    )


def test_a_scale_is_of_its_kind_alone(filled: IndexFolder) -> None:
    neutral = unit_vectors(10, seed=7)
    with Catalog.open(filled.catalog) as catalog:
        ((_, texts),) = catalog.vectors("text")
        measured = calibration.measure(catalog, "text", neutral)
    assert measured == pytest.approx(calibration.fit(texts @ neutral.T))


def test_without_vectors_there_is_no_calibration(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        assert calibration.measure(writer, "image", unit_vectors(10)) is None


def test_a_large_collection_is_sampled_whatever_its_ids(folder: IndexFolder) -> None:
    rows = unit_vectors(calibration.CALIBRATION_SAMPLE + 1, dimension=8)
    neutral = unit_vectors(10, seed=7, dimension=8)
    with open_for_writing(folder) as writer:
        with writer.batch():
            image, text = (writer.add_content(Content(k.encode(), k)) for k in KINDS)
            for row in rows:  # the ids of images are odd, those of texts even
                writer.add_chunk(image, "image", ChunkRow(), row)
                writer.add_chunk(text, "text", ChunkRow(), row)
        measured = [calibration.measure(writer, kind, neutral) for kind in KINDS]
    expected = pytest.approx(calibration.fit(rows[1::2].astype(np.float16) @ neutral.T), abs=1e-6)
    assert measured == [expected, expected]


def test_other_files_in_the_folder_are_left_alone(filled: IndexFolder) -> None:
    (filled.vectors / "logo.svg").write_text("<svg/>")
    (filled.vectors / "my.faiss").write_text("somebody's own")
    with open_for_writing(filled) as writer:
        add(writer, "image", unit_vectors(3, seed=9), b"new")
        segments.refresh(writer, filled, DIMENSION)
    assert (filled.vectors / "logo.svg").exists()
    assert (filled.vectors / "my.faiss").exists()
