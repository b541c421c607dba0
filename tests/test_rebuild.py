"""Changing the model of an index: its cost is reported, and the new index replaces the old one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import searching
from pairs import write_tiny_pair
from PIL import Image

from nmm.cli.console.hints import hint_of, lines_of
from nmm.index.encoders.runtime.batching import BatchedEncoder
from nmm.index.errors import IndexLockedError, ModelError, UsageError
from nmm.index.events import Event, FileProcessed, RebuildStarted, RebuildUnfinished
from nmm.index.indexing.indexer import build
from nmm.index.indexing.options import IndexOptions
from nmm.index.maintenance.status import status
from nmm.index.search.engine import open_search
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors.segment_table import read_segments

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
ONE_BY_ONE = IndexOptions(batch_size=1)

pytestmark = pytest.mark.usefixtures("short_tail")


@pytest.fixture(scope="module")
def pair(tiny_pair: Path) -> str:
    """The name of a model other than the built-in one: a tiny pair in a folder."""
    return str(tiny_pair)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with three notes and a picture."""
    root = tmp_path.resolve() / "root"
    root.mkdir()
    for name, text in (("a", "A cat sleeps."), ("b", "Trains to Vienna."), ("c", "Tea at five.")):
        (root / f"{name}.txt").write_text(text, "utf-8")
    Image.new("RGB", (40, 30), "red").save(root / "red.png")
    return root


@pytest.fixture
def old(root: Path, folder: IndexFolder) -> IndexFolder:
    """An index of that folder with the built-in model."""
    build([root], folder, model="mini")
    return folder


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record which models embedded a passage or an image, once for each."""
    models: list[str] = []

    def counting(name: str) -> None:
        real: Callable[..., object] = getattr(BatchedEncoder, name)

        def count(self: BatchedEncoder, items: list[object], *rest: object) -> object:
            models.extend([Path(self.model.name).name] * len(items))
            return real(self, items, *rest)

        monkeypatch.setattr(BatchedEncoder, name, count)

    counting("submit_texts")
    counting("submit_images")
    return models


def answer(folder: IndexFolder) -> tuple[str, list[str]]:
    """Return the model that answers, and the names of the files found."""
    with open_search(folder) as search:
        found = searching.find(search, "a cat", 10)
        return Path(search.model).name, sorted(Path(result.path).name for result in found)


ALL = ["a.txt", "b.txt", "c.txt", "red.png"]


def files_of(folder: IndexFolder) -> list[str]:
    """Return the files of an index, with derived files by kind."""
    paths = (p for p in folder.path.rglob("*") if p.is_file() and not p.name.endswith("-shm"))
    return sorted(p.name.partition("-")[0] for p in paths if p.stat().st_size)


def stop_after(files: int) -> tuple[threading.Event, Callable[[Event], None]]:
    """Return an event, and a listener that sets it once so many files are done."""
    stop, passed = threading.Event(), 0

    def on_event(event: Event) -> None:
        nonlocal passed
        passed += isinstance(event, FileProcessed)
        if passed >= files:
            stop.set()

    return stop, on_event


def test_another_model_is_refused_with_the_cost_of_a_rebuild(
    root: Path, old: IndexFolder, pair: str
) -> None:
    with pytest.raises(UsageError) as raised:
        build([root], old, model=pair)
    assert lines_of(raised.value) == [
        f"This index was made with the model mini, not {pair}.",
        "1 images and 3 texts (3 passages) would be embedded again. Until that is done, the "
        "index answers as before.",
        f"Do it with: nmm index --model {pair} --rebuild",
    ]
    assert answer(old) == ("mini", ALL)


def test_a_rebuilt_index_is_that_of_the_other_model(old: IndexFolder, pair: str) -> None:
    with Catalog.open(old.catalog) as catalog:
        last, generation = catalog.last_id("chunks"), catalog.generation()
    told: list[Event] = []
    summary = build([], old, model=pair, rebuild=True, on_event=told.append)
    assert (summary.model, summary.added, summary.rebuild) == (pair, 4, True)
    assert RebuildStarted(pair, "mini") in told
    assert answer(old) == ("pair", ALL)
    found = status(old)
    assert (found.model, found.dimension, found.images, found.texts) == (pair, 48, 1, 3)
    assert files_of(old) == ["catalog.db", "image", "text"]
    with Catalog.open(old.catalog) as catalog:
        ids = [int(i) for kind in KINDS for block, _ in catalog.vectors(kind) for i in block]
        assert min(ids) > last, "an id was used twice"
        assert catalog.generation() > generation
        for kind in KINDS:
            (segment,) = read_segments(catalog, kind)
            assert segment.last_chunk == catalog.last_chunk(kind)


def test_the_run_after_a_rebuild_is_an_ordinary_one(
    root: Path, old: IndexFolder, pair: str, embedded: list[str]
) -> None:
    build([], old, model=pair, rebuild=True)
    embedded.clear()
    (root / "d.txt").write_text("A new note.", "utf-8")
    summary = build([root], old)
    assert (summary.model, summary.added, summary.unchanged) == (pair, 1, 4)
    assert (embedded, answer(old)) == (["pair"], ("pair", sorted([*ALL, "d.txt"])))


def test_a_rebuild_takes_new_folders_along(tmp_path: Path, old: IndexFolder, pair: str) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "d.txt").write_text("More.", "utf-8")
    build([tmp_path / "more"], old, model=pair, rebuild=True)
    assert answer(old) == ("pair", sorted([*ALL, "d.txt"]))


def test_a_rebuild_without_a_name_embeds_again_with_the_model_of_the_index(
    old: IndexFolder, embedded: list[str]
) -> None:
    embedded.clear()
    assert build([], old, rebuild=True).added == 4
    assert (embedded, answer(old)) == (["mini"] * 4, ("mini", ALL))


def test_a_rebuild_repairs_an_index_of_other_weights(root: Path, old: IndexFolder) -> None:
    with open_for_writing(old) as writer:
        settings = writer.settings()
        assert settings
        writer.set_settings(settings._replace(weights="others"))
    with pytest.raises(ModelError, match="other weights of the model mini") as raised:
        build([root], old)
    assert hint_of(raised.value) == "Rebuild it with: nmm index --rebuild"
    build([], old, rebuild=True)
    assert answer(old) == ("mini", ALL)


def test_the_old_index_answers_until_the_new_one_is_whole(old: IndexFolder, pair: str) -> None:
    answers: list[tuple[str, list[str]]] = []

    def on_event(event: Event) -> None:
        if isinstance(event, FileProcessed):
            answers.append(answer(old))
            with pytest.raises(IndexLockedError):
                build([], old)

    build([], old, model=pair, rebuild=True, options=ONE_BY_ONE, on_event=on_event)
    assert answers == [("mini", ALL)] * 4
    assert answer(old) == ("pair", ALL)


def test_an_open_search_switches_to_the_new_model(old: IndexFolder, pair: str) -> None:
    with open_search(old) as search:
        requests = [searching.request(text, 10) for text in ("a cat", "a dog", "a cat")]
        responses = search.search_many(requests)
        before = next(responses).results
        next(responses)
        build([], old, model=pair, rebuild=True)
        after = next(responses).results
        assert (search.model, len(before), len(after)) == (pair, 4, 4)
    with open_search(old) as search:
        assert tuple(searching.find(search, "a cat", 10)) == after != before


def test_an_open_search_reports_that_the_new_model_is_missing(
    old: IndexFolder, tmp_path: Path
) -> None:
    pair = write_tiny_pair(tmp_path / "away")
    with open_search(old) as search:
        build([], old, model=str(pair), rebuild=True)
        shutil.rmtree(pair)
        with pytest.raises(ModelError, match="There is no model named"):
            searching.find(search, "a cat", 10)


def test_a_stopped_rebuild_leaves_the_old_index_and_is_resumed(
    old: IndexFolder, pair: str, embedded: list[str]
) -> None:
    stop, on_event = stop_after(2)
    stopped = build(
        [], old, model=pair, rebuild=True, options=ONE_BY_ONE, on_event=on_event, stop=stop
    )
    assert (stopped.interrupted, stopped.rebuild, answer(old)) == (True, True, ("mini", ALL))
    done = stopped.added
    assert 1 <= done <= embedded.count("pair") < 4
    told: list[Event] = []
    assert build([], old, on_event=told.append).unchanged == 4
    assert RebuildUnfinished(pair, 48) in told
    embedded.clear()
    summary = build([], old, model=pair, rebuild=True)
    assert (summary.added, summary.unchanged) == (4 - done, done)
    assert (embedded, answer(old)) == (["pair"] * (4 - done), ("pair", ALL))


def test_a_rebuild_with_a_third_model_begins_anew(old: IndexFolder, pair: str) -> None:
    stop, on_event = stop_after(2)
    build([], old, model=pair, rebuild=True, options=ONE_BY_ONE, on_event=on_event, stop=stop)
    assert build([], old, model="mini", rebuild=True).added == 4
    assert (answer(old), files_of(old)) == (("mini", ALL), ["catalog.db", "image", "text"])


def test_a_rebuild_is_refused_while_a_root_is_missing(
    root: Path, old: IndexFolder, pair: str
) -> None:
    root.rename(root.with_name("elsewhere"))
    with pytest.raises(UsageError) as raised:
        build([], old, model=pair, rebuild=True)
    assert lines_of(raised.value) == [
        f"The index cannot be rebuilt while {root} is not available.",
        "The new index would not contain its files.",
        f"Mount its disk, or remove it from the index. To remove it: nmm remove {root}",
    ]
    assert answer(old) == ("mini", ALL)


def test_a_rebuild_inside_the_folder_it_indexes_does_not_index_itself(
    root: Path, pair: str
) -> None:
    inside = IndexFolder(root / "index")
    (root / "index" / "rebuild").mkdir(parents=True)
    (root / "index" / "rebuild" / "mine.txt").write_text("Not part of the index.", "utf-8")
    build([root], inside, model="mini")
    build([], inside, model=pair, rebuild=True)
    assert answer(inside) == ("pair", sorted([*ALL, "mine.txt"]))
    assert (root / "index" / "rebuild" / "mine.txt").exists()


# After the embedding, the derived files are moved, the new catalog replaces the old one, and
# leftovers are deleted.
KILLED = """
import os, signal, sys
from pathlib import Path
from nmm.index.indexing import indexer, rebuild
from nmm.index.store import layout
from nmm.index.store.catalog import replacement
from nmm.index.store.vectors import segments

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

replace_contents_with = rebuild.replace_contents_with

def replace_and_die(*arguments):
    try:
        replace_contents_with(*arguments)
    finally:
        die()

where, folder, model = sys.argv[1:]
if where == "before the files are moved":
    segments.move_files = die
elif where == "before the catalog changes":
    rebuild.replace_contents_with = die
elif where == "while the catalog changes":
    replacement.REBUILT_TABLES = (*replacement.REBUILT_TABLES[:5], "none such")
    rebuild.replace_contents_with = replace_and_die
elif where == "before what was beside is deleted":
    rebuild.replace_contents_with = replace_and_die
indexer.build([], layout.IndexFolder(Path(folder)), model=model, rebuild=True)
"""


@posix
@pytest.mark.parametrize(
    ("where", "model"),
    [
        ("before the files are moved", "mini"),
        ("before the catalog changes", "mini"),
        ("while the catalog changes", "mini"),
        ("before what was beside is deleted", "pair"),
    ],
)
def test_a_killed_rebuild_is_the_old_index_or_the_new_one(
    old: IndexFolder, pair: str, where: str, model: str, embedded: list[str]
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, where, old.path, pair], check=False)
    assert done.returncode == -9
    assert answer(old) == (model, ALL)
    embedded.clear()
    build([], old, model=pair, rebuild=True)
    # Unless the new index was already in place, all of it was there to be adopted.
    assert (embedded, answer(old)) == (["pair"] * 4 if model == "pair" else [], ("pair", ALL))
    assert files_of(old) == ["catalog.db", "image", "text"]


def test_an_index_of_a_dimension_that_its_model_does_not_have_is_refused(
    root: Path, old: IndexFolder
) -> None:
    with open_for_writing(old) as writer:
        settings = writer.settings()
        assert settings
        writer.set_settings(settings._replace(dimension=100))
    with pytest.raises(ModelError, match="other weights of the model mini"):
        build([root], old)
