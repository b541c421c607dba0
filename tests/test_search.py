"""A search: its results, their order and scores, in any state of the index."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import searching
from numpy.typing import NDArray

from nmm.cli.console.hints import lines_of
from nmm.index.encoders.base import Task
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import ModelError, NoIndexError, UsageError
from nmm.index.events import Event, FileProcessed
from nmm.index.indexing import indexer as build_module
from nmm.index.indexing.indexer import build
from nmm.index.search import engine as search_module
from nmm.index.search.engine import open_search
from nmm.index.search.response import IndexDamaged
from nmm.index.search.result import SearchResult
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.removal import drop_orphans, forget
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.types import KINDS, Calibration, Kind, Settings
from nmm.index.store.catalog.writer import CatalogWriter, ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors import segments
from nmm.index.store.vectors.segment_table import read_segments

pytestmark = pytest.mark.usefixtures("short_tail")

QUERY = "a cat on a piano"
ROOT = Path("/library").absolute()

# Error of a cosine from half precision.
TOLERANCE = 1e-3


@pytest.fixture(autouse=True)
def loaded(mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the model once for all tests; loading takes longer than most tests."""
    for module in (build_module, search_module):
        monkeypatch.setattr(module, "load_encoder", lambda *_, **__: mini)
    monkeypatch.setattr(build_module, "prepare", lambda *_, **__: None)


@pytest.fixture(scope="module")
def query(mini: OnnxEncoder) -> NDArray[np.float32]:
    found: NDArray[np.float32] = mini.embed_texts([QUERY], Task.QUERY)[0]
    return found


class Library:
    """An index whose chunks have the cosines to the query that a test requests."""

    def __init__(self, folder: IndexFolder, mini: OnnxEncoder, query: NDArray[np.float32]) -> None:
        self.folder = folder
        self._mini = mini
        self._query = query
        self._random = np.random.default_rng(0)
        with open_for_writing(folder) as writer:
            writer.set_settings(Settings("mini", mini.model.dimension, mini.weights))
            for kind in KINDS:
                writer.set_calibration(kind, Calibration(0.0, 1.0))
            adopt_root(writer, ROOT)

    def add(self, files: Mapping[str, Sequence[float]], kind: Kind = "text") -> None:
        """Add files, each with the cosines of its chunks; equal lists are not equal contents."""
        with open_for_writing(self.folder) as writer, writer.batch():
            for path, cosines in files.items():
                self._add(writer, path, cosines, kind)

    def _add(self, writer: CatalogWriter, path: str, cosines: Sequence[float], kind: Kind) -> None:
        size = (640, 480) if kind == "image" else (None, None)
        number = writer.add_content(Content(path.encode(), kind, *size))
        for line, cosine in enumerate(cosines, 1):
            chunk = ChunkRow(line, line, f"{path}:{line}") if kind == "text" else ChunkRow()
            writer.add_chunk(number, kind, chunk, self._vector(cosine))
        (root,) = writer.roots()
        writer.put_file(root, path, 1, 2, status="indexed", content_id=number)

    def _vector(self, cosine: float) -> NDArray[np.float32]:
        """Return a unit vector with that cosine to the query, otherwise in a random direction."""
        if abs(cosine) == 1:
            return cosine * self._query
        across = self._random.normal(size=len(self._query)).astype(np.float32)
        across -= (across @ self._query) * self._query
        across /= np.linalg.norm(across)
        vector: NDArray[np.float32] = cosine * self._query + np.sqrt(1 - cosine**2) * across
        return vector

    def add_copy(self, path: str, of: str) -> None:
        with open_for_writing(self.folder) as writer, writer.batch():
            (root,) = writer.roots()
            number = writer.content_id(of.encode())
            writer.put_file(root, path, 1, 2, status="indexed", content_id=number)

    def refresh(self) -> None:
        with open_for_writing(self.folder) as writer:
            segments.refresh(writer, self.folder, self._mini.model.dimension)

    def find(self, count: int, kinds: Sequence[Kind] = KINDS) -> list[SearchResult]:
        with open_search(self.folder) as search:
            return searching.find(search, QUERY, count, kinds)

    def ranking(self, count: int, kinds: Sequence[Kind] = KINDS) -> list[tuple[str, float]]:
        """Return the paths found, each with its score to two digits."""
        return [
            (Path(found.path).relative_to(ROOT).as_posix(), round(found.score, 2))
            for found in self.find(count, kinds)
        ]


@pytest.fixture
def library(folder: IndexFolder, mini: OnnxEncoder, query: NDArray[np.float32]) -> Library:
    return Library(folder, mini, query)


# Results


def test_a_text_is_found_by_its_best_passage(library: Library) -> None:
    library.add({"notes/a.txt": [0.1, 0.6, 0.3]})
    (found,) = library.find(10)
    assert found.score == pytest.approx(0.6, abs=TOLERANCE)
    assert found == SearchResult(
        rank=1,
        score=found.score,
        path=str(ROOT / "notes" / "a.txt"),
        type="text",
        lines=(2, 2),
        text="notes/a.txt:2",
        weak=True,
    )


def test_an_image_is_found_with_its_size(library: Library) -> None:
    library.add({"i.png": [0.2]}, "image")
    (found,) = library.find(10)
    assert found.score == pytest.approx(0.2, abs=TOLERANCE)
    assert found == SearchResult(
        rank=1,
        score=found.score,
        path=str(ROOT / "i.png"),
        type="image",
        width=640,
        height=480,
        weak=True,
    )


def test_copies_are_results_of_one_score(library: Library) -> None:
    library.add({"z.txt": [0.5], "m.txt": [0.4]})
    library.add_copy("a.txt", of="z.txt")
    first, second, third = library.find(10)
    assert [Path(found.path).name for found in (first, second, third)] == [
        "a.txt",
        "z.txt",
        "m.txt",
    ]
    assert (first.score, first.text) == (second.score, second.text)


def test_equal_scores_are_in_the_order_of_their_paths(library: Library) -> None:
    library.add({"c.txt": [1.0], "a.txt": [1.0]})
    library.add({"b.png": [1.0]}, "image")
    assert [(found.rank, Path(found.path).name) for found in library.find(10)] == [
        (1, "a.txt"),
        (2, "b.png"),
        (3, "c.txt"),
    ]


# Number of results


@pytest.mark.parametrize("refreshed", [True, False])
@pytest.mark.parametrize(("count", "found"), [(1, 1), (3, 3), (50, 50), (1000, 50)])
def test_the_best_files_are_found_in_order(
    library: Library, refreshed: bool, count: int, found: int
) -> None:
    expected = [(f"{n:02}.txt", round(0.9 - n / 100, 2)) for n in range(50)]
    library.add({path: [cosine] for path, cosine in reversed(expected)})
    if refreshed:
        library.refresh()
    assert library.ranking(count) == expected[:found]


def test_a_file_of_many_chunks_does_not_crowd_out_others(library: Library) -> None:
    library.add({"long.txt": [0.9] * 300, "b.txt": [0.5], "c.txt": [0.4], "d.txt": [0.3]})
    library.refresh()
    assert library.ranking(3) == [("long.txt", 0.9), ("b.txt", 0.5), ("c.txt", 0.4)]


def test_removed_chunks_do_not_crowd_out_others(library: Library) -> None:
    library.add({"gone.txt": [0.9] * 300, "b.txt": [0.5], "c.txt": [0.4]})
    library.refresh()
    with open_for_writing(library.folder) as writer:
        forget(writer, ROOT / "gone.txt")
        drop_orphans(writer)
    assert library.ranking(2) == [("b.txt", 0.5), ("c.txt", 0.4)]


# Both kinds


def test_kinds_are_merged_by_score_and_not_by_cosine(library: Library) -> None:
    library.add({"a.txt": [0.6], "b.txt": [0.45]})
    library.add({"a.png": [0.3], "b.png": [0.15]}, "image")
    with open_for_writing(library.folder) as writer:
        writer.set_calibration("text", Calibration(0.4, 0.1))
        writer.set_calibration("image", Calibration(0.1, 0.05))
    found = library.find(10)
    assert [Path(each.path).name for each in found] == ["a.png", "a.txt", "b.png", "b.txt"]
    assert [each.score for each in found] == pytest.approx([4, 2, 1, 0.5], abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_alone_has_the_scores_of_both(library: Library, kind: Kind) -> None:
    library.add({"a.txt": [0.6], "b.txt": [0.5]})
    library.add({"a.png": [0.3], "b.png": [0.1]}, "image")
    with open_for_writing(library.folder) as writer:
        writer.set_calibration("image", Calibration(0.05, 0.1))
    together = [(found.path, found.score) for found in library.find(10) if found.type == kind]
    alone = [(found.path, found.score) for found in library.find(10, [kind])]
    assert alone == together
    assert len(alone) == 2


def test_a_search_without_kinds_finds_nothing(library: Library) -> None:
    library.add({"a.txt": [0.6]})
    assert library.find(10, ["image"]) == []


# The state of the index


def test_scores_come_from_the_catalog_if_the_derived_file_is_wrong(library: Library) -> None:
    import faiss

    library.add({f"{n}.txt": [n / 10, n / 20] for n in range(10)})
    library.refresh()
    expected = library.find(10)
    with Catalog.open(library.folder.catalog) as catalog:
        ((ids, rows),) = catalog.vectors("text")
        (known,) = read_segments(catalog, "text")
    file = library.folder.vectors / known.name
    index = faiss.read_index(str(file))
    index.reset()
    index.add_with_ids(rows, ids[::-1].copy())
    faiss.write_index(index, str(file))
    os.utime(file, ns=(known.mtime_ns, known.mtime_ns))
    assert file.stat().st_size == known.bytes
    with open_search(library.folder) as search:
        assert searching.find(search, QUERY, 10) == expected
        assert searching.find(search, QUERY, 1) == expected[:1]
        # The derived file was searched, and its error detected: it proposed the worst instead of
        # the best.
        response = search.search(searching.request(QUERY))
        assert response.warnings == (IndexDamaged((known.name,)),)


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_an_empty_query_is_refused(library: Library, text: str) -> None:
    with open_search(library.folder) as search, pytest.raises(UsageError) as raised:
        searching.find(search, text, 10)
    assert lines_of(raised.value) == [
        "The query is empty.",
        'Give a text or an image. For example: nmm search "a cat"',
    ]


def test_a_missing_index_is_not_created(folder: IndexFolder) -> None:
    with pytest.raises(NoIndexError), open_search(folder):
        pass
    assert not folder.path.exists()


def test_an_index_that_was_never_filled_says_so(folder: IndexFolder) -> None:
    with open_for_writing(folder):
        pass
    with pytest.raises(NoIndexError) as raised, open_search(folder):
        pass
    assert lines_of(raised.value) == [
        f"The index in {folder.path} is empty.",
        "Fill it with: nmm index FOLDER",
    ]


def test_an_index_of_other_weights_is_not_searched(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        writer.set_settings(Settings("mini", 384, "abc"))
    with open_search(folder) as search, pytest.raises(ModelError) as raised:
        searching.find(search, QUERY)
    assert lines_of(raised.value) == [
        "This index was made with other weights of the model mini.",
        "Vectors of different weights cannot be compared.",
        "Rebuild it with: nmm index --rebuild",
    ]


def test_an_index_without_files_has_no_results(library: Library) -> None:
    library.refresh()
    assert library.find(10) == []


def test_an_open_search_finds_what_is_added_meanwhile(library: Library) -> None:
    library.add({"a.txt": [0.5]})
    library.refresh()
    with open_search(library.folder) as search:
        before = [Path(found.path).name for found in searching.find(search, QUERY, 10)]
        library.add({"b.txt": [0.6]})
        added = [Path(found.path).name for found in searching.find(search, QUERY, 10)]
        library.refresh()
        refreshed = [Path(found.path).name for found in searching.find(search, QUERY, 10)]
    assert (before, added, refreshed) == (["a.txt"], ["b.txt", "a.txt"], ["b.txt", "a.txt"])


# End to end


def test_an_index_whose_first_run_was_cut_short_answers(
    sample_data: Path, folder: IndexFolder
) -> None:
    stop = threading.Event()
    passed: list[Event] = []

    def on_event(event: Event) -> None:
        passed.extend([event] if isinstance(event, FileProcessed) else [])
        if len(passed) == 8:
            stop.set()

    summary = build([sample_data], folder, on_event=on_event, stop=stop)
    assert summary.interrupted
    assert summary.added == 8
    with Catalog.open(folder.catalog) as catalog:
        assert [catalog.calibration(kind) for kind in KINDS] == [None, None]
    with open_search(folder) as search:
        results = searching.find(search, QUERY, 100)
    assert sorted(found.path for found in results) == sorted(
        event.path for event in passed if isinstance(event, FileProcessed)
    )
    assert [found.score for found in results] == sorted(
        (found.score for found in results), reverse=True
    )


def test_the_expected_file_is_first_of_its_kind(sample_data: Path, folder: IndexFolder) -> None:
    names = ["photos/bricks.jpg", "photos/espresso.jpg", "notes/chelsea.md"]
    build([sample_data / name for name in [*names, "recipes/lentil_soup.txt"]], folder)
    with open_search(folder) as search:
        first = [
            Path(searching.find(search, query, 1, [kind])[0].path).name
            for query, kind in [("coffee", KINDS[0]), ("a cat", KINDS[1]), ("soup", KINDS[1])]
        ]
    assert first == ["espresso.jpg", "chelsea.md", "lentil_soup.txt"]
