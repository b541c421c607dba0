"""Watching folders: which changes start a run, and which do not."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import NoIndexError, UsageError
from nmm.index.events import Event, FileSkipped, RootMissing, Summary, WaitingForLock
from nmm.index.indexing import indexer as build_module
from nmm.index.indexing import prepare as ready_module
from nmm.index.indexing import watcher
from nmm.index.indexing.indexer import build
from nmm.index.indexing.options import IndexOptions
from nmm.index.indexing.watcher import watch
from nmm.index.maintenance.status import status
from nmm.index.media.identify import HashedFile, hash_file
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import locate
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.layout import IndexFolder


@pytest.fixture(autouse=True)
def loaded(mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Load the model once for all tests; return the requested names."""
    asked: list[str] = []

    def load(model: Any, **_: Any) -> OnnxEncoder:
        asked.append(model.name)
        return mini

    monkeypatch.setattr(build_module, "load_encoder", load)
    monkeypatch.setattr(build_module, "prepare", lambda *_, **__: None)
    return asked


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with two notes."""
    root = tmp_path.resolve() / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("A cat sleeps on the piano.")
    (root / "sub" / "b.txt").write_text("The train leaves at nine.")
    return root


class Watching:
    """A running watch. `burst` waits for the next summary, and fails after a while."""

    def __init__(self, *paths: Path, folder: IndexFolder, **more: Any) -> None:
        self.events: list[Event] = []
        self.stop = threading.Event()
        self.bursts = watch(
            paths, folder, on_event=self.events.append, stop=self.stop, **{"model": "mini", **more}
        )
        self.first = self.burst()

    def burst(self, seconds: float = 20) -> Summary | None:
        """Return the next summary. After so many seconds, stop the watch and return None."""
        timer = threading.Timer(seconds, self.stop.set)
        timer.start()
        try:
            return next(self.bursts, None)
        finally:
            timer.cancel()


@pytest.fixture
def watching(root: Path, folder: IndexFolder) -> Iterator[Watching]:
    with closing_watch(Watching(root, folder=folder)) as at_work:
        yield at_work


@contextmanager
def closing_watch(at_work: Watching) -> Iterator[Watching]:
    yield at_work
    at_work.stop.set()
    assert next(at_work.bursts, None) is None


def told(summary: Summary | None) -> dict[str, int]:
    assert summary is not None, "nothing was noticed"
    names = ("added", "updated", "unchanged", "moved", "removed")
    numbers = {name: getattr(summary, name) for name in names}
    numbers["skipped"] = len(summary.skipped)
    return {name: number for name, number in numbers.items() if number}


def files(folder: IndexFolder) -> list[str]:
    with Catalog.open(folder.catalog) as catalog:
        rows = catalog.connection.rows(
            "SELECT roots.path, files.path FROM files JOIN roots ON roots.id = root_id "
            "WHERE status = 'indexed' ORDER BY 1, 2"
        )
        return [locate(*row) for row in rows]


def test_only_changed_files_are_indexed(
    root: Path, folder: IndexFolder, watching: Watching, loaded: list[str]
) -> None:
    assert told(watching.first) == {"added": 2}
    (root / "sub" / "c.txt").write_text("A dog barks.")
    assert told(watching.burst()) == {"added": 1}
    (root / "a.txt").write_text("A cat sleeps on the sofa.")
    assert told(watching.burst()) == {"updated": 1}
    (root / "sub" / "c.txt").rename(root / "C.txt")
    assert told(watching.burst()) == {"moved": 1}
    (root / "sub").rename(root / "renamed")
    assert told(watching.burst()) == {"moved": 1}
    shutil.rmtree(root / "renamed")
    assert told(watching.burst()) == {"removed": 1}
    assert files(folder) == [str(root / "C.txt"), str(root / "a.txt")]
    assert loaded == ["mini"], "the model is loaded once"


def test_an_index_among_what_is_watched_causes_no_burst(root: Path) -> None:
    folder = IndexFolder(root / "index")
    with closing_watch(Watching(root, folder=folder)) as at_work:
        (root / "c.txt").write_text("A dog barks.")
        assert told(at_work.burst()) == {"added": 1}
        assert at_work.burst(2) is None


def test_files_excluded_by_the_walk_are_not_watched(root: Path, folder: IndexFolder) -> None:
    for name in (".git", "node_modules", "ignored", "cache", "logs"):
        (root / name / "deep").mkdir(parents=True)
    (root / "cache" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55")
    (root / ".nmmignore").write_text("ignored/\n")
    options = IndexOptions(exclude=["logs"])
    with closing_watch(Watching(root, folder=folder, options=options)) as at_work:
        for name in (".git", "node_modules", "ignored", "cache", "logs"):
            (root / name / "deep" / "x.txt").write_text(f"Not wanted: {name}.")
        (root / ".hidden.txt").write_text("Not wanted.")
        (root / "wanted.txt").write_text("A dog barks.")
        assert told(at_work.burst()) == {"added": 1}
        with Catalog.open(folder.catalog) as catalog:
            assert [found.path for found in catalog.roots()] == [root]
        (root / ".nmmignore").write_text("sub/\n")
        assert told(at_work.burst()) == {"added": 1, "removed": 1, "unchanged": 2}
        tag = root / "ignored" / "CACHEDIR.TAG"
        tag.write_text("Signature: 8a477f597d28d172789f06886806bc55")
        assert told(at_work.burst()) == {"removed": 1, "unchanged": 2}


def test_many_changes_in_a_folder_are_one_burst_or_few(
    root: Path, folder: IndexFolder, watching: Watching
) -> None:
    for number in range(120):
        (root / "sub" / f"{number}.txt").write_text(f"Note {number % 7}.")
    bursts = 0
    while status(folder).files < 122:
        assert watching.burst() is not None
        bursts += 1
    assert bursts < 10


def test_a_file_that_is_still_being_written_is_told_only_once_it_is_at_rest(
    root: Path, folder: IndexFolder, watching: Watching
) -> None:
    from PIL import Image

    whole = root.parent / "whole.png"
    Image.effect_noise((200, 200), 80).save(whole)
    data = whole.read_bytes()
    half = root / "half.png"
    half.write_bytes(data[: len(data) // 2])
    timer = threading.Timer(0.8, lambda: half.write_bytes(data))
    timer.start()
    assert told(watching.burst()) == {"added": 1}
    broken = root / "broken.png"
    broken.write_bytes(data[: len(data) // 2])
    summary = watching.burst()
    assert told(summary) == {"skipped": 1}
    skipped = [event for event in watching.events if isinstance(event, FileSkipped)]
    assert [one.path for one in skipped] == [str(broken)]
    # It is not told again when its folder is looked at for something else.
    (root / ".nmmignore").write_text("nothing\n")
    (root / "c.txt").write_text("A dog barks.")
    again = watching.burst()
    assert again is not None
    assert (again.added, again.skipped) == (1, [])


def test_a_file_that_could_not_be_read_is_tried_again_without_a_further_change(
    root: Path, folder: IndexFolder, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example a file that its writer had locked, or that changed while it was read."""
    from nmm.index.errors import UnreadableError

    tries: list[str] = []

    def read(path: Path) -> HashedFile:
        tries.append(path.name)
        if len(tries) == 1:
            raise UnreadableError("changed while it was read")
        return hash_file(path)

    monkeypatch.setattr(ready_module, "hash_file", read)
    (root / "c.txt").write_text("A dog barks.")
    assert told(watching.burst()) == {"added": 1}
    assert tries == ["c.txt", "c.txt"]
    assert not any(isinstance(event, FileSkipped) for event in watching.events)


def test_a_burst_waits_for_another_process_that_writes(
    root: Path, folder: IndexFolder, watching: Watching
) -> None:
    with open_for_writing(folder):
        (root / "c.txt").write_text("A dog barks.")
        assert watching.burst(2) is None
    assert any(isinstance(event, WaitingForLock) for event in watching.events)
    assert status(folder).files == 2


def test_between_bursts_the_index_can_be_written_to(
    root: Path, folder: IndexFolder, watching: Watching
) -> None:
    with open_for_writing(folder):
        pass
    (root / "c.txt").write_text("A dog barks.")
    assert told(watching.burst()) == {"added": 1}


def test_a_root_that_goes_and_comes_back_keeps_its_files_and_is_watched_again(
    root: Path, folder: IndexFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "ROOT_CHECK_SECONDS", 0)
    other = root.parent / "other"
    other.mkdir()
    (other / "c.txt").write_text("A dog barks.")
    with closing_watch(Watching(root, other, folder=folder)) as at_work:
        root.rename(root.parent / "unplugged")
        (other / "d.txt").write_text("A bird sings.")
        assert told(at_work.burst()) == {"added": 1}
        assert status(folder).files == 4
        (root.parent / "unplugged" / "e.txt").write_text("A horse.")
        (root.parent / "unplugged").rename(root)
        assert told(at_work.burst()) == {"added": 1, "unchanged": 2}
        assert RootMissing(str(root)) in at_work.events
        (root / "f.txt").write_text("A fish.")
        assert told(at_work.burst()) == {"added": 1}


def test_a_single_file_is_watched_also_when_it_is_replaced(root: Path, folder: IndexFolder) -> None:
    note = root / "a.txt"
    with closing_watch(Watching(note, folder=folder)) as at_work:
        for text in ("A dog.", "A bird."):
            (root / "new").write_text(text)
            (root / "new").replace(note)
            assert told(at_work.burst()) == {"updated": 1}
    assert files(folder) == [str(note)]


def test_without_paths_the_roots_are_watched(root: Path, folder: IndexFolder) -> None:
    build([root], folder)
    with closing_watch(Watching(folder=folder, model=None)) as at_work:
        assert told(at_work.first) == {"unchanged": 2}
        (root / "c.txt").write_text("A dog barks.")
        assert told(at_work.burst()) == {"added": 1}


def test_an_index_that_is_deleted_is_not_made_again(
    root: Path, folder: IndexFolder, watching: Watching
) -> None:
    shutil.rmtree(folder.path)
    (root / "c.txt").write_text("A dog barks.")
    with pytest.raises(NoIndexError):
        watching.burst()


@pytest.mark.parametrize("name", ["missing", None])
def test_paths_that_cannot_be_watched_are_refused(
    root: Path, folder: IndexFolder, name: str | None
) -> None:
    refuse: type[Exception] = UsageError if name else NoIndexError
    ask: Callable[[], object] = lambda: next(  # noqa: E731
        watch([root / name] if name else [], folder)
    )
    with pytest.raises(refuse):
        ask()
