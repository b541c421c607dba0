"""After any sequence of edits and runs, the index equals a new one of the same tree."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from crash.checks import check, check_finished
from crash.tree import long_text, note, picture, write
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.events import Event, FileProcessed
from nmm.index.indexing import indexer as build_module
from nmm.index.indexing.indexer import build
from nmm.index.indexing.options import IndexOptions
from nmm.index.search import engine as search_module
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors import segments

FOLDERS = ("", "a", "b", "a/deep")
NAMES = ("one.txt", "One.txt", "two.md", "picture.png", "a")
LONG = 6


@pytest.fixture(scope="module", autouse=True)
def loaded(mini: OnnxEncoder) -> Iterator[None]:
    """Load the model once. It embeds one by one, so that a vector depends on its input only."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (build_module, search_module):
            patch.setattr(module, "load_encoder", lambda *_, **__: mini)
        patch.setattr(build_module, "prepare", lambda *_, **__: None)
        patch.setattr(mini, "_images_per_run", 1)
        patch.setattr(mini, "_tokens_per_run", 1)
        patch.setattr(segments, "MIN_SEGMENT_SIZE", 3)
        yield


class Tree:
    """A tree that is edited. Every change has a time of its own, like changes by hand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._times = itertools.count(1_700_000_000)
        write(root / "stays.txt", "This file is never touched.")

    def create(self, path: str, content: int) -> None:
        """Write a file; its content is one of a few, so that there are copies."""
        file = self.root / path
        if content < 4:
            write(file, note(content))
        elif content < 6:
            picture(file, content)
        elif content == 6:
            write(file, long_text(LONG))
        else:
            write(file, "\0 neither text nor image")
        self._stamp(file)

    def touch(self, path: str, _: str) -> None:
        self._stamp(self.root / path)

    def rename(self, path: str, other: str) -> None:
        (self.root / other).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).rename(self.root / other)

    def copy(self, path: str, other: str) -> None:
        (self.root / other).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.root / path, self.root / other)
        self._stamp(self.root / other)

    def link(self, path: str, other: str) -> None:
        (self.root / other).hardlink_to(self.root / path)

    def delete(self, path: str, _: str) -> None:
        if (self.root / path).is_dir():
            shutil.rmtree(self.root / path)
        else:
            (self.root / path).unlink()

    def _stamp(self, path: Path) -> None:
        time = next(self._times)
        os.utime(path, (time, time))


@dataclass(frozen=True)
class Edit:
    """A change to a tree. It has no effect if it is impossible in the current tree."""

    what: str
    path: str
    more: str | int

    def apply(self, tree: Tree) -> None:
        with suppress(OSError):
            getattr(tree, self.what)(self.path, self.more)


@dataclass(frozen=True)
class Update:
    """A run over all or a part, stopped after so many files."""

    scope: str | None
    stop_after: int

    def apply(self, tree: Tree, folder: IndexFolder) -> None:
        stop = threading.Event()
        scope = tree.root / (self.scope or "")
        paths = [] if self.scope is None else [scope]
        if not scope.exists():
            return
        build(
            paths,
            folder,
            model="mini",
            options=IndexOptions(batch_size=1),
            on_event=_stopping(stop, self.stop_after),
            stop=stop,
        )


def _stopping(stop: threading.Event, after: int) -> Callable[[Event], None]:
    passed = itertools.count(1)

    def on_event(event: Event) -> None:
        if isinstance(event, FileProcessed) and next(passed) >= after:
            stop.set()

    return on_event


paths = st.builds(os.path.join, st.sampled_from(FOLDERS), st.sampled_from(NAMES))
places = st.one_of(paths, st.sampled_from(FOLDERS[1:]))
creations = st.builds(Edit, st.just("create"), paths, st.integers(0, 7))
edits = st.one_of(
    creations,
    st.builds(Edit, st.sampled_from(["rename", "copy", "link"]), places, places),
    st.builds(Edit, st.sampled_from(["touch", "delete"]), places, st.just("")),
)
updates = st.builds(
    Update, st.sampled_from([None, None, *FOLDERS]), st.sampled_from([1, 3, 1000, 1000])
)
bursts = st.tuples(st.lists(edits, min_size=1, max_size=6), updates)


@settings(max_examples=25, deadline=None, print_blob=True, database=None)
@given(st.lists(creations, min_size=3, max_size=8), st.lists(bursts, min_size=1, max_size=4))
@example(  # an image and a text swap places, while a folder is renamed
    [Edit("create", "a/one.txt", 1), Edit("create", "picture.png", 4)],
    [
        ([], Update("", 1000)),
        (
            [
                Edit("rename", "picture.png", "b/picture.png"),
                Edit("rename", "a/one.txt", "picture.png"),
                Edit("rename", "b/picture.png", "a/one.txt"),
                Edit("rename", "a", "b/a"),
            ],
            Update(None, 1),
        ),
    ],
)
@example(  # the last file with a content is deleted and comes back
    [Edit("create", "one.txt", 6), Edit("create", "a/two.md", 6)],
    [
        ([], Update("a", 1000)),
        ([Edit("delete", "one.txt", ""), Edit("delete", "a", "")], Update("", 1000)),
        ([Edit("create", "b/one.txt", 6)], Update(None, 1000)),
    ],
)
def test_edits_and_runs_end_in_the_index_of_the_tree(
    planted: list[Edit], done: list[tuple[list[Edit], Update]]
) -> None:
    with tempfile.TemporaryDirectory() as base:
        place = Path(base).resolve()
        tree = Tree(place / "root")
        folder, fresh = IndexFolder(place / "index"), IndexFolder(place / "fresh")
        for edit in planted:
            edit.apply(tree)
        # The folder is the root from the first run on. Otherwise a part that had been a root of its
        # own and is gone would be kept like an unmounted disk.
        Update("", 2).apply(tree, folder)
        for burst, update in done:
            for edit in burst:
                edit.apply(tree)
            update.apply(tree, folder)
            check(folder, place / "scratch")
        Update("", 1000).apply(tree, folder)
        Update("", 1000).apply(tree, fresh)
        check_finished(folder, fresh, place / "scratch")
