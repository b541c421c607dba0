"""Searches beside a writer: no errors, no half batches, and every answer is exact."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import searching
from crash import tree
from crash.runner import MINI, Runner, job, running

from nmm.index.encoders.base import Task
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import NoIndexError
from nmm.index.search import engine as search_module
from nmm.index.search.engine import SearchEngine, open_search
from nmm.index.search.query import SearchMode
from nmm.index.store.catalog.connection import VECTOR_DTYPE
from nmm.index.store.layout import IndexFolder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork")

PARAGRAPHS = 24
QUERIES = ("a cat", "the sea is blue", "a red picture", "coffee by the bridge")
ALL = 1000


@pytest.fixture(scope="module")
def runner(mini: OnnxEncoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with running(MINI, tmp_path_factory.mktemp("encoder")) as started:
        yield started


@pytest.fixture(autouse=True)
def loaded(mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "load_encoder", lambda *_, **__: mini)


class Writer(threading.Thread):
    """Successive index runs in other processes for some seconds; every fifth is a rebuild."""

    def __init__(self, runner: Runner, root: Path, folder: IndexFolder, seconds: float) -> None:
        super().__init__()
        self._runner, self._root, self._folder = runner, root, folder
        self._seconds = seconds
        self.runs = 0

    def run(self) -> None:
        end = time.monotonic() + self._seconds
        while time.monotonic() < end or self.runs < 5:
            self._change()
            todo = job(self._folder, self._root)
            # Every fifth run is a rebuild, beside the index, which it then replaces at once.
            self._runner.finish(replace(todo, rebuild=self.runs % 5 == 4))
            self.runs += 1

    def _change(self) -> None:
        """Give some files another content, and add and delete others."""
        turn = self.runs
        for n in range(6):
            tree.write(self._root / "turns" / f"{(turn + n) % 9}.txt", tree.note(7 * turn + n))
        tree.picture(self._root / "turns" / "picture.png", turn % 12)
        (self._root / "turns" / f"{(turn + 4) % 9}.txt").unlink(missing_ok=True)
        long = self._root / "middle" / "long.txt"
        tree.write(long, tree.long_text(PARAGRAPHS) + f"\nThis is turn {turn}.")


class Reader:
    """A search that stays open; each answer is compared with brute force.

    Brute force reads the same snapshot as the search. The generations of the index that were seen
    are added to a set.
    """

    def __init__(self, search: SearchEngine, mini: OnnxEncoder, met: set[int]) -> None:
        self._search = search
        self._queries = {query: mini.embed_texts([query], Task.QUERY)[0] for query in QUERIES}
        self._met = met

    def ask(self, query: str) -> None:
        catalog = self._search._catalog
        relevance = self._search._relevance
        scale = relevance._calibration_of
        truth: dict[str, list[str]] = {}

        def look(kind: str) -> Any:
            # The search calls this within its snapshot, once per kind.
            rows = list(catalog.connection.rows(SQL, (kind,)))
            truth[kind] = best_first(rows, self._queries[query])
            check_whole(rows)
            self._met.add(catalog.generation())
            return scale(kind)  # type: ignore[arg-type]

        relevance._calibration_of = look  # type: ignore[assignment]
        found = searching.find(self._search, query, ALL, mode=SearchMode.SEMANTIC)
        relevance._calibration_of = scale
        for kind, paths in truth.items():
            assert [result.path for result in found if result.type == kind] == paths


SQL = (
    "SELECT roots.path || '/' || files.path, contents.id, text, vector FROM files "
    "JOIN roots ON roots.id = root_id JOIN contents ON contents.id = files.content_id "
    "JOIN chunks ON chunks.content_id = contents.id LEFT JOIN vectors ON chunk_id = chunks.id "
    "WHERE contents.medium = ? ORDER BY chunks.id"
)


def best_first(rows: list[tuple[Any, ...]], query: np.ndarray[Any, Any]) -> list[str]:
    best: dict[str, float] = {}
    for path, _, _, vector in rows:
        score = float(np.frombuffer(vector, VECTOR_DTYPE).astype(np.float32) @ query)
        best[path] = max(best.get(path, -2.0), score)
    return sorted(best, key=lambda path: (-best[path], path))


def check_whole(rows: list[tuple[Any, ...]]) -> None:
    """Check that the long text is complete or absent."""
    said = [text for path, _, text, _ in rows if path.endswith("long.txt")]
    if said:
        assert [n for n in range(PARAGRAPHS) if not any(f"Paragraph {n}." in t for t in said)] == []
        turns = {turn for text in said for turn in re.findall("This is turn ([0-9]+)", text)}
        assert len(turns) <= 1


@pytest.mark.parametrize("keep_open", [True, False], ids=["one search", "a search each time"])
def test_a_reader_beside_a_writer(
    runner: Runner, tmp_path: Path, folder: IndexFolder, mini: OnnxEncoder, keep_open: bool
) -> None:
    root = tree.plant(tmp_path.resolve() / "root", notes=16, pictures=4, paragraphs=PARAGRAPHS)
    runner.finish(job(folder, root))
    writer = Writer(runner, root, folder, seconds=8)
    writer.start()
    met: set[int] = set()
    answers = 0
    try:
        while writer.is_alive():
            with open_search(folder) as search:
                reader = Reader(search, mini, met)
                while writer.is_alive():
                    reader.ask(QUERIES[answers % len(QUERIES)])
                    answers += 1
                    if not keep_open:
                        break
    finally:
        writer.join()
    print(f"{answers} answers of {len(met)} states beside {writer.runs} runs")
    assert len(met) > writer.runs >= 5


def test_a_search_while_the_first_run_goes_on(
    runner: Runner, tmp_path: Path, folder: IndexFolder, mini: OnnxEncoder
) -> None:
    root = tree.plant(tmp_path.resolve() / "root", paragraphs=PARAGRAPHS)
    first = threading.Thread(target=runner.finish, args=(job(folder, root),))
    first.start()
    counts = []
    while first.is_alive():
        # Before the index exists, and as long as it has no tables or no model.
        with suppress(NoIndexError), open_search(folder) as search:
            Reader(search, mini, set()).ask(QUERIES[0])
            counts.append(len(searching.find(search, QUERIES[0], ALL)))
    first.join()
    assert counts == sorted(counts)
    assert len(set(counts)) > 2
