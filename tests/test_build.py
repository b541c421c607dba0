"""Indexing runs: their counts, the work they avoid, and the state after an interruption."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import searching
from numpy.typing import NDArray
from PIL import Image

from nmm.cli.console.hints import lines_of
from nmm.index.encoders.base import PendingEmbeddings, Task
from nmm.index.encoders.provision import prepare
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import IndexLockedError, MediaError, ModelError, NoIndexError, UsageError
from nmm.index.events import (
    CompileStarted,
    Event,
    FileProcessed,
    FilesCounted,
    FileSkipped,
    IndexCreated,
    RootMissing,
    Summary,
)
from nmm.index.indexing import indexer as build_module
from nmm.index.indexing import prepare as ready_module
from nmm.index.indexing.commit import commit_batches
from nmm.index.indexing.diff import ChangedFile
from nmm.index.indexing.embed import MAX_PENDING, TEXTS_PER_IMAGE, Embedder
from nmm.index.indexing.indexer import build
from nmm.index.indexing.options import IndexOptions
from nmm.index.indexing.pipeline import BATCHES_AHEAD
from nmm.index.indexing.prepare import PreparedFile, PreparedUnit
from nmm.index.indexing.read import ReadFile
from nmm.index.indexing.recorder import RunRecorder
from nmm.index.maintenance.remove import remove
from nmm.index.maintenance.status import status
from nmm.index.media.base import Locator, MediaInfo
from nmm.index.media.identify import HashedFile, hash_file
from nmm.index.media.text.reader import SMALL_TEXT
from nmm.index.search import engine as search_module
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.types import Settings
from nmm.index.store.catalog.writer import CatalogWriter, open_for_writing
from nmm.index.store.layout import IndexFolder

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and file modes")

# Batches of 2 images or 8 chunks.
SMALL = IndexOptions(batch_size=2)

pytestmark = pytest.mark.usefixtures("short_tail")


@pytest.fixture(autouse=True)
def loaded(mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the model once for all tests; loading takes longer than most tests."""
    for module in (build_module, search_module):
        monkeypatch.setattr(module, "load_encoder", lambda *_, **__: mini)
    monkeypatch.setattr(build_module, "prepare", lambda *_, **__: None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder to index, with two notes and an image."""
    root = tmp_path.resolve() / "root"
    write(root / "a.txt", "A cat sleeps on the piano.")
    write(root / "sub" / "b.txt", "The train to Vienna leaves at nine.")
    picture(root / "sub" / "red.png", "red")
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def picture(path: Path, colour: str) -> None:
    from PIL import Image

    Image.new("RGB", (40, 30), colour).save(path, "PNG")


def write_notes(root: Path, count: int) -> None:
    for n in range(count):
        write(root / f"{n:03}.txt", f"This is the note with the number {n}.")


def write_long_text(path: Path, paragraphs: int = 40) -> None:
    """Write a text long enough to be streamed, with few chunks: most of it is white space."""
    gap = "\n" + " " * (SMALL_TEXT // (paragraphs - 1)) + "\n"
    write(path, gap.join(f"Paragraph {n}. {'The sea is blue. ' * 9}" for n in range(paragraphs)))


def passage(line: int, text: str) -> PreparedUnit:
    return PreparedUnit("text", text, Locator(lines=(line, line)))


def embed_and_commit(
    writer: CatalogWriter, encoder: OnnxEncoder, files: Iterable[tuple[ChangedFile, PreparedFile]]
) -> RunRecorder:
    """Run the last two stages, in batches of one image or four passages."""
    recorder = RunRecorder("mini", lambda _: None)
    embedder = Embedder(encoder, 1, writer.content_id, recorder, threading.Event())
    batches = embedder.batches(ReadFile(*file) for file in files)
    for committed in commit_batches(batches, writer):
        recorder.committed(committed.changes)
    return recorder


def told(summary: Summary) -> dict[str, int]:
    """Return the counts of a run that are not zero."""
    names = ("added", "updated", "unchanged", "moved", "removed")
    numbers = {name: getattr(summary, name) for name in names}
    numbers["skipped"] = len(summary.skipped)
    return {name: number for name, number in numbers.items() if number}


def rows(folder: IndexFolder, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder.catalog)) as connection:
        return connection.execute(sql).fetchall()


def indexed(folder: IndexFolder, root: Path) -> list[str]:
    """Return the indexed files, relative to a folder."""
    found = rows(
        folder,
        "SELECT roots.path, files.path FROM files JOIN roots ON roots.id = root_id "
        "WHERE status = 'indexed'",
    )
    return sorted(Path(*pair).relative_to(root).as_posix() for pair in found)


def chunk_ids(folder: IndexFolder) -> list[int]:
    return [number for (number,) in rows(folder, "SELECT id FROM chunks ORDER BY id")]


def found_by_search(folder: IndexFolder, root: Path, query: str = "a cat") -> list[str]:
    with search_module.open_search(folder) as search:
        results = searching.find(search, query, 1000)
    return sorted(Path(result.path).relative_to(root).as_posix() for result in results)


def keep_times(path: Path, change: Callable[[], object]) -> None:
    """Change a file without changing its time stamps."""
    before = path.stat()
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the names of the files that are read."""
    seen: list[str] = []

    def read(path: Path) -> HashedFile:
        seen.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(ready_module, "hash_file", read)
    return seen


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what is embedded for the index: each text, and "image" for an image."""
    seen: list[str] = []
    submit_texts, submit_images = OnnxEncoder.submit_texts, OnnxEncoder.submit_images

    def texts(self: OnnxEncoder, texts: Sequence[str], task: Task) -> PendingEmbeddings:
        seen.extend(texts)
        return submit_texts(self, texts, task)

    def images(self: OnnxEncoder, pixels: Sequence[NDArray[np.uint8]]) -> PendingEmbeddings:
        seen.extend(["image"] * len(pixels))
        return submit_images(self, pixels)

    monkeypatch.setattr(OnnxEncoder, "submit_texts", texts)
    monkeypatch.setattr(OnnxEncoder, "submit_images", images)
    return seen


AtBatch = Callable[[int, Callable[[], object]], None]


@pytest.fixture
def at_batch(monkeypatch: pytest.MonkeyPatch) -> AtBatch:
    """A function that sets an action to run before batch number N of texts is embedded."""
    submit_texts = OnnxEncoder.submit_texts

    def arrange(number: int, act: Callable[[], object]) -> None:
        batches = 0

        def texts(self: OnnxEncoder, texts: Sequence[str], task: Task) -> PendingEmbeddings:
            nonlocal batches
            batches += 1
            if batches == number:
                act()
            return submit_texts(self, texts, task)

        monkeypatch.setattr(OnnxEncoder, "submit_texts", texts)

    return arrange


# Counts of a run


def test_a_first_run_adds_all(root: Path, folder: IndexFolder, embedded: list[str]) -> None:
    summary = build([root], folder)
    assert told(summary) == {"added": 3}
    assert (summary.model, summary.interrupted, summary.seconds > 0) == ("mini", False, True)
    assert indexed(folder, root) == ["a.txt", "sub/b.txt", "sub/red.png"]
    assert sorted(embedded) == [
        "A cat sleeps on the piano.",
        "The train to Vienna leaves at nine.",
        "image",
    ]


def test_a_run_reports_each_file(root: Path, folder: IndexFolder) -> None:
    write(root / "n.png", "no image")
    events: list[Event] = []
    summary = build(
        [root], folder, model="mini", on_event=events.append, options=IndexOptions(count=True)
    )
    assert sorted(map(repr, events)) == sorted(
        map(
            repr,
            [
                IndexCreated("mini"),
                FilesCounted(4),
                FileProcessed(str(root / "a.txt")),
                FileProcessed(str(root / "sub" / "b.txt")),
                FileProcessed(str(root / "sub" / "red.png")),
                *summary.skipped,
            ],
        )
    )
    assert [skipped.path for skipped in summary.skipped] == [str(root / "n.png")]


def test_a_second_run_reads_nothing(root: Path, folder: IndexFolder, reads: list[str]) -> None:
    build([root], folder)
    before = folder.catalog.read_bytes(), set(folder.vectors.iterdir())
    reads.clear()
    keep_times(root / "a.txt", lambda: write(root / "a.txt", "A dog sleeps on the piano."))
    summary = build([root], folder)
    assert (told(summary), reads) == ({"unchanged": 3}, [])
    assert (folder.catalog.read_bytes(), set(folder.vectors.iterdir())) == before


def test_a_changed_file_is_embedded_again(
    root: Path, folder: IndexFolder, embedded: list[str]
) -> None:
    build([root], folder)
    embedded.clear()
    write(root / "a.txt", "A dog barks.")
    assert told(build([root], folder)) == {"updated": 1, "unchanged": 2}
    assert embedded == ["A dog barks."]
    assert rows(folder, "SELECT count(*) FROM chunks WHERE text LIKE 'A cat%'") == [(0,)]


def test_a_touched_file_is_read_once_and_not_embedded(
    root: Path, folder: IndexFolder, embedded: list[str], reads: list[str]
) -> None:
    build([root], folder)
    embedded.clear()
    reads.clear()
    os.utime(root / "a.txt", ns=(0, 1))
    assert told(build([root], folder)) == {"unchanged": 3}
    assert (embedded, reads) == ([], ["a.txt"])
    reads.clear()
    assert told(build([root], folder)) == {"unchanged": 3}
    assert reads == []


@pytest.mark.parametrize("new", ["renamed.txt", "A.txt", "a.TXT", "sub/a.txt", "new/folder/a.txt"])
def test_a_moved_file_keeps_its_vectors(
    root: Path, folder: IndexFolder, embedded: list[str], new: str
) -> None:
    build([root], folder)
    before = chunk_ids(folder)
    embedded.clear()
    (root / new).parent.mkdir(parents=True, exist_ok=True)
    (root / "a.txt").rename(root / new)
    assert told(build([root], folder)) == {"moved": 1, "unchanged": 2}
    assert indexed(folder, root) == sorted([new, "sub/b.txt", "sub/red.png"])
    assert (embedded, chunk_ids(folder)) == ([], before)


def test_a_file_moved_to_another_root_keeps_its_vectors(
    root: Path, folder: IndexFolder, embedded: list[str]
) -> None:
    other = root.parent / "other"
    other.mkdir()
    build([root, other], folder)
    embedded.clear()
    (root / "a.txt").rename(other / "a.txt")
    assert told(build([], folder)) == {"moved": 1, "unchanged": 2}
    assert indexed(folder, root.parent) == ["other/a.txt", "root/sub/b.txt", "root/sub/red.png"]
    assert embedded == []


def test_a_folder_that_is_renamed_keeps_the_vectors_of_all_in_it(
    root: Path, folder: IndexFolder, embedded: list[str]
) -> None:
    build([root], folder)
    before = chunk_ids(folder)
    embedded.clear()
    (root / "sub").rename(root / "SUB")
    assert told(build([root], folder)) == {"moved": 2, "unchanged": 1}
    assert indexed(folder, root) == ["SUB/b.txt", "SUB/red.png", "a.txt"]
    assert (embedded, chunk_ids(folder)) == ([], before)


def test_two_files_that_swap_their_names_keep_their_vectors(
    root: Path, folder: IndexFolder, embedded: list[str]
) -> None:
    write(root / "c.txt", "A dog barks at the postman.")
    build([root], folder)
    before = chunk_ids(folder)
    embedded.clear()
    (root / "a.txt").rename(root / "swap")
    (root / "c.txt").rename(root / "a.txt")
    (root / "swap").rename(root / "c.txt")
    assert told(build([root], folder)) == {"updated": 2, "unchanged": 2}
    assert (embedded, chunk_ids(folder)) == ([], before)
    found = rows(folder, "SELECT path, text FROM files JOIN chunks USING (content_id)")
    assert dict(found)["a.txt"] == "A dog barks at the postman."


def test_a_hard_link_is_a_file_of_its_own_with_the_same_vectors(
    root: Path, folder: IndexFolder, embedded: list[str]
) -> None:
    build([root], folder)
    before = chunk_ids(folder)
    embedded.clear()
    (root / "link.txt").hardlink_to(root / "a.txt")
    assert told(build([root], folder)) == {"added": 1, "unchanged": 3}
    (root / "a.txt").unlink()
    assert told(build([root], folder)) == {"removed": 1, "unchanged": 3}
    assert indexed(folder, root) == ["link.txt", "sub/b.txt", "sub/red.png"]
    write(root / "link.txt", "A dog barks.")
    (root / "sub" / "other.txt").hardlink_to(root / "link.txt")
    assert told(build([root], folder)) == {"updated": 1, "added": 1, "unchanged": 2}
    assert embedded == ["A dog barks."]
    assert len(chunk_ids(folder)) == len(before)


@pytest.mark.parametrize("name", ["a.txt", "sub/red.png"])
def test_a_copy_is_added_and_not_embedded(
    root: Path, folder: IndexFolder, embedded: list[str], name: str
) -> None:
    build([root], folder)
    before = chunk_ids(folder)
    embedded.clear()
    shutil.copy(root / name, root / "copy")
    assert told(build([root], folder)) == {"added": 1, "unchanged": 3}
    assert (embedded, chunk_ids(folder)) == ([], before)


def test_copies_in_one_run_are_embedded_once(
    root: Path, folder: IndexFolder, embedded: list[str]
) -> None:
    for n in range(5):
        shutil.copy(root / "a.txt", root / f"{n}.txt")
        shutil.copy(root / "sub" / "red.png", root / f"{n}.png")
    assert told(build([root], folder, options=SMALL)) == {"added": 13}
    assert len(embedded) == 3


def test_one_copy_stays_when_the_other_is_deleted(root: Path, folder: IndexFolder) -> None:
    shutil.copy(root / "a.txt", root / "copy.txt")
    build([root], folder)
    both = found_by_search(folder, root)
    (root / "a.txt").unlink()
    assert told(build([root], folder)) == {"removed": 1, "unchanged": 3}
    assert both == ["a.txt", "copy.txt", "sub/b.txt", "sub/red.png"]
    assert found_by_search(folder, root) == ["copy.txt", "sub/b.txt", "sub/red.png"]


def test_a_deleted_file_is_removed_with_its_vectors(root: Path, folder: IndexFolder) -> None:
    build([root], folder)
    (root / "a.txt").unlink()
    shutil.rmtree(root / "sub")
    assert told(build([root], folder)) == {"removed": 3}
    assert (indexed(folder, root), chunk_ids(folder)) == ([], [])
    assert found_by_search(folder, root) == []


def test_a_file_that_becomes_another_kind_is_updated(root: Path, folder: IndexFolder) -> None:
    build([root], folder)
    picture(root / "a.txt", "blue")
    assert told(build([root], folder)) == {"updated": 1, "unchanged": 2}
    now = status(folder)
    assert (now.images, now.texts, now.vectors) == (2, 1, 3)


def test_a_file_replaced_by_a_folder_is_removed(root: Path, folder: IndexFolder) -> None:
    build([root], folder)
    (root / "a.txt").unlink()
    write(root / "a.txt" / "inside.txt", "Something else.")
    assert told(build([root], folder)) == {"added": 1, "removed": 1, "unchanged": 2}
    assert indexed(folder, root) == ["a.txt/inside.txt", "sub/b.txt", "sub/red.png"]


def test_a_newly_ignored_file_is_removed(root: Path, folder: IndexFolder) -> None:
    build([root], folder)
    write(root / "sub" / ".nmmignore", "*.png\n")
    assert told(build([root], folder)) == {"removed": 1, "unchanged": 2}
    assert indexed(folder, root) == ["a.txt", "sub/b.txt"]


def test_options_reach_the_walk(root: Path, folder: IndexFolder) -> None:
    write(root / ".hidden.txt", "A secret.")
    options = IndexOptions(exclude=["*.png"], hidden=True)
    assert told(build([root], folder, options=options)) == {"added": 3}
    assert indexed(folder, root) == [".hidden.txt", "a.txt", "sub/b.txt"]


# Files that cannot be indexed


def test_a_skipped_file_is_reported_and_does_not_stop_the_run(
    root: Path, folder: IndexFolder
) -> None:
    (root / "a.png").write_bytes(b"\0" * 100)
    (root / "z.png").write_bytes((root / "sub" / "red.png").read_bytes()[:60])
    summary = build([root], folder)
    assert told(summary) == {"added": 3, "skipped": 2}
    assert [skipped.path for skipped in summary.skipped] == [
        str(root / "a.png"),
        str(root / "z.png"),
    ]
    assert status(folder).errors == [(s.path, s.reason) for s in summary.skipped]
    assert all(skipped.reason for skipped in summary.skipped)


def test_a_skipped_file_is_tried_again_though_nothing_seems_changed(
    root: Path, folder: IndexFolder
) -> None:
    good = (root / "sub" / "red.png").read_bytes()
    broken = root / "broken.png"
    broken.write_bytes(bytes(len(good)))
    first = build([root], folder)
    keep_times(broken, lambda: broken.write_bytes(good))
    second = build([root], folder)
    assert told(first) == {"added": 3, "skipped": 1}
    assert told(second) == {"added": 1, "unchanged": 3}
    assert status(folder).errors == []


def test_a_damaged_file_is_removed_until_it_is_repaired(root: Path, folder: IndexFolder) -> None:
    build([root], folder)
    (root / "sub" / "red.png").write_bytes(b"\0" * 100)
    assert told(build([root], folder)) == {"skipped": 1, "unchanged": 2}
    assert indexed(folder, root) == ["a.txt", "sub/b.txt"]
    assert len(chunk_ids(folder)) == 2
    picture(root / "sub" / "red.png", "red")
    assert told(build([root], folder)) == {"added": 1, "unchanged": 2}


def test_an_option_can_admit_a_skipped_file(root: Path, folder: IndexFolder) -> None:
    few = IndexOptions(max_pixels=40 * 30 - 1)
    assert told(build([root], folder, options=few)) == {"added": 2, "skipped": 1}
    enough = IndexOptions(max_pixels=40 * 30)
    assert told(build([root], folder, options=enough)) == {"added": 1, "unchanged": 2}


@pytest.mark.parametrize("content", [bytes(range(256)), b"", b" \n\n \n"])
def test_other_file_types_are_ignored_and_not_read_again(
    root: Path, folder: IndexFolder, reads: list[str], content: bytes
) -> None:
    (root / "data.bin").write_bytes(content)
    first = build([root], folder)
    reads.clear()
    second = build([root], folder)
    assert (told(first), told(second)) == ({"added": 3}, {"unchanged": 3})
    assert reads == []
    assert rows(folder, "SELECT path FROM files WHERE status = 'left out'") == [("data.bin",)]


def test_deleted_ignored_or_skipped_files_are_not_counted(root: Path, folder: IndexFolder) -> None:
    (root / "data.bin").write_bytes(bytes(range(256)))
    (root / "broken.png").write_bytes(b"\0" * 100)
    build([root], folder)
    (root / "data.bin").unlink()
    (root / "broken.png").unlink()
    assert told(build([root], folder)) == {"unchanged": 3}
    assert rows(folder, "SELECT count(*) FROM files") == [(3,)]


@posix
def test_a_folder_that_cannot_be_read_keeps_its_files(
    public_path: Path, as_plain_user: Callable[[], AbstractContextManager[None]]
) -> None:
    root, folder = public_path / "root", IndexFolder(public_path / "index")
    write(root / "a.txt", "A cat sleeps on the piano.")
    write(root / "closed" / "b.txt", "The train to Vienna leaves at nine.")
    build([root], folder)
    with as_plain_user():
        user = os.geteuid()
    for path in (public_path, *public_path.rglob("*")):
        os.chown(path, user, -1)
    (root / "closed").chmod(0)
    try:
        with as_plain_user():
            summary = build([root], folder)
    finally:
        (root / "closed").chmod(0o755)
    assert told(summary) == {"unchanged": 1, "skipped": 1}
    assert summary.skipped == [FileSkipped(str(root / "closed"), "not readable: Permission denied")]
    assert indexed(folder, root) == ["a.txt", "closed/b.txt"]
    assert told(build([root], folder)) == {"unchanged": 2}
    assert status(folder).errors == []


# Roots


def test_a_parent_replaces_the_root_below_it(
    root: Path, folder: IndexFolder, embedded: list[str]
) -> None:
    build([root / "sub"], folder)
    embedded.clear()
    assert told(build([root], folder)) == {"added": 1, "unchanged": 2}
    assert embedded == ["A cat sleeps on the piano."]
    assert status(folder).roots == [str(root)]
    assert indexed(folder, root) == ["a.txt", "sub/b.txt", "sub/red.png"]


def test_a_folder_below_a_root_can_be_indexed_alone(
    root: Path, folder: IndexFolder, embedded: list[str]
) -> None:
    build([root], folder)
    embedded.clear()
    (root / "a.txt").unlink()
    (root / "sub" / "b.txt").unlink()
    assert told(build([root / "sub"], folder)) == {"removed": 1, "unchanged": 1}
    assert status(folder).roots == [str(root)]
    assert indexed(folder, root) == ["a.txt", "sub/red.png"]
    assert embedded == []


@pytest.mark.parametrize("names", [("", "sub"), ("sub", ""), ("sub", "", "sub/b.txt", "")])
def test_paths_that_overlap_are_indexed_once(
    root: Path, folder: IndexFolder, reads: list[str], names: Sequence[str]
) -> None:
    assert told(build([root / name for name in names], folder)) == {"added": 3}
    assert status(folder).roots == [str(root)]
    assert sorted(reads) == ["a.txt", "b.txt", "red.png"]


def test_folders_whose_names_begin_alike_are_two_roots(root: Path, folder: IndexFolder) -> None:
    write(root / "sub b" / "c.txt", "Two loaves of bread.")
    write(root / "sub.txt", "Three pounds of flour.")
    build([root / "sub", root / "sub b", root / "sub.txt"], folder)
    assert status(folder).roots == [str(root / name) for name in ("sub", "sub b", "sub.txt")]
    assert indexed(folder, root) == ["sub b/c.txt", "sub.txt", "sub/b.txt", "sub/red.png"]


def test_a_single_file_can_be_a_root(root: Path, folder: IndexFolder) -> None:
    assert told(build([root / "a.txt"], folder)) == {"added": 1}
    assert status(folder).roots == [str(root / "a.txt")]
    assert found_by_search(folder, root) == ["a.txt"]
    write(root / "a.txt", "A dog barks.")
    assert told(build([], folder)) == {"updated": 1}


def test_without_paths_all_roots_are_indexed_again(root: Path, folder: IndexFolder) -> None:
    other = root.parent / "other"
    write(other / "c.txt", "Two loaves of bread.")
    build([root], folder)
    build([other], folder)
    write(root / "d.txt", "New here.")
    write(other / "e.txt", "New there.")
    assert told(build([], folder)) == {"added": 2, "unchanged": 4}


def test_a_missing_root_is_reported_and_kept(root: Path, folder: IndexFolder) -> None:
    other = root.parent / "other"
    write(other / "c.txt", "Two loaves of bread.")
    build([root, other], folder)
    root.rename(root.parent / "unmounted")
    events: list[Event] = []
    assert told(build([], folder, on_event=events.append)) == {"unchanged": 1}
    assert events == [RootMissing(str(root)), FileProcessed(str(other / "c.txt"))]
    assert len(found_by_search(folder, root.parent)) == 4


def test_a_link_to_a_root_is_that_root(root: Path, folder: IndexFolder) -> None:
    link = root.parent / "link"
    try:
        link.symlink_to(root, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links for this user")
    build([root], folder)
    assert told(build([link], folder)) == {"unchanged": 3}
    assert status(folder).roots == [str(root)]


# What is refused


def test_a_path_that_does_not_exist_is_refused(root: Path, folder: IndexFolder) -> None:
    missing = root / "missing"
    with pytest.raises(UsageError) as raised:
        build([root, missing], folder)
    assert str(raised.value) == (
        f"{missing} cannot be indexed.\nNo such file or directory\n"
        "Check its spelling, and that its disk is mounted."
    )
    assert not folder.path.exists()


def test_a_missing_index_has_no_roots_to_index(folder: IndexFolder) -> None:
    with pytest.raises(NoIndexError):
        build([], folder)
    assert not folder.path.exists()


def test_an_index_without_roots_has_nothing_to_index(folder: IndexFolder) -> None:
    with open_for_writing(folder):
        pass
    with pytest.raises(UsageError) as raised:
        build([], folder)
    assert lines_of(raised.value) == [
        "The index has no folders to update.",
        "Give the folder to index. For example: nmm index ~/Pictures",
    ]


def test_an_unknown_model_creates_no_index(root: Path, folder: IndexFolder) -> None:
    with pytest.raises(ModelError, match="There is no model named 'maxi'"):
        build([root], folder, model="maxi")
    assert not folder.path.exists()


@pytest.mark.parametrize(
    ("settings", "asked", "what"),
    [
        (
            Settings("other", 384, "abc"),
            "mini",
            "This index was made with the model other, not mini.",
        ),
        (
            Settings("other", 384, "abc"),
            None,
            "There is no model named 'other', and no folder of that name.",
        ),
        (
            Settings("mini", 384, "abc"),
            None,
            "This index was made with other weights of the model mini.",
        ),
    ],
)
def test_an_index_of_another_model_is_refused_and_left_alone(
    root: Path, folder: IndexFolder, settings: Settings, asked: str | None, what: str
) -> None:
    with open_for_writing(folder) as writer:
        writer.set_settings(settings)
    with pytest.raises((ModelError, UsageError)) as raised:
        build([root], folder, model=asked)
    assert raised.value.what == what
    with Catalog.open(folder.catalog) as catalog:
        assert (catalog.settings(), catalog.roots()) == (settings, [])


def test_an_index_that_is_being_written_to_is_refused(root: Path, folder: IndexFolder) -> None:
    holder = (
        "import sys; from pathlib import Path\n"
        "from nmm.index.store.layout import IndexFolder\n"
        "from nmm.index.store.catalog.writer import CatalogWriter, open_for_writing\n"
        "with open_for_writing(IndexFolder(Path(sys.argv[1]))):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, folder.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        with pytest.raises(IndexLockedError):
            build([root], folder)
        process.communicate()
    assert told(build([root], folder)) == {"added": 3}


def test_two_copies_can_change_in_one_run(root: Path, folder: IndexFolder) -> None:
    shutil.copy(root / "a.txt", root / "copy.txt")
    build([root], folder)
    write(root / "a.txt", "A dog barks.")
    write(root / "copy.txt", "A dog barks.")
    assert told(build([root], folder)) == {"updated": 2, "unchanged": 2}
    assert len(chunk_ids(folder)) == 3


# A run that is stopped


@pytest.mark.parametrize("files", [1, 8, 13])
def test_a_stopped_run_is_resumed(tmp_path: Path, folder: IndexFolder, files: int) -> None:
    root = tmp_path.resolve() / "root"
    write_notes(root, 20)
    stop = threading.Event()
    passed: list[Event] = []

    def on_event(event: Event) -> None:
        passed.extend([event] if isinstance(event, FileProcessed) else [])
        if len(passed) == files:
            stop.set()

    first = build([root], folder, options=SMALL, on_event=on_event, stop=stop)
    kept = found_by_search(folder, root)
    second = build([root], folder, options=SMALL)
    done = first.added
    assert (told(first), first.interrupted) == ({"added": done}, True)
    # At least the first batch is committed, and no part of one that was not embedded.
    assert min(files, TEXTS_PER_IMAGE * 2 - 1) <= done <= files
    assert kept == [f"{n:03}.txt" for n in range(done)]
    assert (told(second), second.interrupted) == ({"added": 20 - done, "unchanged": done}, False)
    assert len(found_by_search(folder, root)) == 20


def test_a_stopped_run_removes_no_files(root: Path, folder: IndexFolder) -> None:
    build([root], folder)
    shutil.rmtree(root / "sub")
    stop = threading.Event()
    stop.set()
    summary = build([root], folder, stop=stop)
    assert (told(summary), summary.interrupted) == ({}, True)
    assert indexed(folder, root) == ["a.txt", "sub/b.txt", "sub/red.png"]


KILLED = """
import os, signal, sys
from pathlib import Path
from nmm.index.indexing.indexer import build
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.indexing.options import IndexOptions
from nmm.index.store.layout import IndexFolder

begin, batches = OnnxEncoder.submit_texts, int(sys.argv[3])

def begin_or_die(*arguments):
    global batches
    if not batches:
        os.kill(os.getpid(), signal.SIGKILL)
    batches -= 1
    return begin(*arguments)

OnnxEncoder.submit_texts = begin_or_die
build([Path(sys.argv[1])], IndexFolder(Path(sys.argv[2])), options=IndexOptions(batch_size=2))
"""


@posix
def test_a_killed_run_loses_only_uncommitted_batches(tmp_path: Path, folder: IndexFolder) -> None:
    root = tmp_path.resolve() / "root"
    write_notes(root, 30)
    done = subprocess.run([sys.executable, "-c", KILLED, root, folder.path, "3"], check=False)
    kept = found_by_search(folder, root)
    summary = build([root], folder)
    assert done.returncode == -signal.SIGKILL
    # Whole batches of 8 chunks, at least all but the last two that were begun; the file of a
    # batch's last chunk comes with the next one.
    assert len(kept) in {7, 15, 23}
    assert kept == [f"{n:03}.txt" for n in range(len(kept))]
    assert told(summary) == {"added": 30 - len(kept), "unchanged": len(kept)}
    assert found_by_search(folder, root) == [f"{n:03}.txt" for n in range(30)]


@posix
def test_a_run_killed_in_a_long_text_begins_it_again(tmp_path: Path, folder: IndexFolder) -> None:
    root = tmp_path.resolve() / "root"
    write_long_text(root / "long.txt")
    whole = IndexFolder(tmp_path / "whole")
    build([root], whole)
    done = subprocess.run([sys.executable, "-c", KILLED, root, folder.path, "4"], check=False)
    killed = chunk_ids(folder)
    assert done.returncode == -signal.SIGKILL
    assert killed == list(range(1, len(killed) + 1))
    assert len(killed) in {16, 24, 32}
    assert found_by_search(folder, root) == []
    assert told(build([root], folder)) == {"added": 1}
    texts = "SELECT line_start, line_end, text FROM chunks ORDER BY id"
    assert rows(folder, texts) == rows(whole, texts)


# Long texts, and what is in memory


def test_a_long_text_is_committed_in_parts_and_its_file_at_the_end(
    folder: IndexFolder, mini: OnnxEncoder
) -> None:
    with open_for_writing(folder) as writer, Catalog.open(folder.catalog) as reader:
        root, _ = adopt_root(writer, Path("/notes"))
        seen: list[tuple[int, bool]] = []

        def units() -> Iterator[PreparedUnit]:
            for n in range(40):
                seen.append((reader.vector_count(), reader.file_row(root, "long.txt") is None))
                yield passage(n + 1, f"Part {n}.")

        long = PreparedFile(b"hash", "text", MediaInfo(), units())
        recorder = embed_and_commit(writer, mini, [(ChangedFile(root, "long.txt", 1, 2), long)])
        assert told(recorder.summary) == {"added": 1}
        assert all(without_file for _, without_file in seen)
        for n, (vectors, _) in enumerate(seen):
            assert vectors % TEXTS_PER_IMAGE == 0
            # At most two of the batches that were begun are not committed.
            begun = n // TEXTS_PER_IMAGE
            assert begun - MAX_PENDING <= vectors // TEXTS_PER_IMAGE <= begun
        assert reader.vector_count() == 40
        assert reader.file_row(root, "long.txt") is not None


@pytest.mark.parametrize("parts", [0, 1, 4, 6])
def test_an_unreadable_rest_of_a_text_leaves_no_chunks(
    folder: IndexFolder, mini: OnnxEncoder, parts: int
) -> None:
    def units() -> Iterator[PreparedUnit]:
        for n in range(1, parts + 1):
            yield passage(n, f"Part {n}.")
        raise MediaError("changed while it was read")

    with open_for_writing(folder) as writer:
        root, _ = adopt_root(writer, Path("/notes"))
        before = PreparedFile(b"a", "text", MediaInfo(), [passage(1, "Before it.")])
        long = PreparedFile(b"long", "text", MediaInfo(), units())
        files = [
            (ChangedFile(root, "a.txt", 1, 2), before),
            (ChangedFile(root, "long.txt", 1, 2), long),
        ]
        recorder = embed_and_commit(writer, mini, files)
        assert told(recorder.summary) == {"added": 1, "skipped": 1}
        assert writer.content_id(b"long") is None
        row = writer.file_row(root, "long.txt")
        assert row
        assert (row.status, row.content_id) == ("skipped", None)
    assert rows(folder, "SELECT text FROM chunks") == [("Before it.",)]


def test_a_long_text_that_changes_while_it_is_read_is_skipped(
    root: Path, folder: IndexFolder, at_batch: AtBatch
) -> None:
    shutil.rmtree(root)
    long = root / "long.txt"
    write_long_text(long)
    at_batch(2, lambda: os.utime(long, ns=(0, 1)))
    summary = build([root], folder, options=SMALL)
    assert summary.skipped == [
        FileSkipped(str(long), "changed while it was read; the next run takes it up")
    ]
    assert rows(folder, "SELECT count(*) FROM contents UNION ALL SELECT count(*) FROM vectors") == [
        (0,),
        (0,),
    ]
    assert told(build([root], folder)) == {"added": 1}
    assert len(chunk_ids(folder)) == 40


def test_the_copy_of_a_long_text_that_changes_is_indexed(
    root: Path, folder: IndexFolder, at_batch: AtBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(root)
    write_long_text(root / "1.txt")
    shutil.copy(root / "1.txt", root / "2.txt")
    committed, read = threading.Event(), threading.Event()

    def read_the_copy_late(path: Path) -> HashedFile:
        if path.name == "2.txt":
            assert committed.wait(60)
        hashed = hash_file(path)
        if path.name == "2.txt":
            read.set()
        return hashed

    def change() -> None:
        os.utime(root / "1.txt", ns=(0, 1))
        committed.set()
        assert read.wait(60)

    monkeypatch.setattr(ready_module, "hash_file", read_the_copy_late)
    at_batch(4, change)  # the first batch is committed by then
    assert told(build([root], folder, options=SMALL)) == {"added": 1, "skipped": 1}
    assert indexed(folder, root) == ["2.txt"]
    assert len(chunk_ids(folder)) == 40


def test_a_run_stopped_in_a_long_text_begins_it_again(
    root: Path, folder: IndexFolder, at_batch: AtBatch
) -> None:
    write_long_text(root / "long.txt")
    stop = threading.Event()
    at_batch(1, stop.set)
    first = build([root / "long.txt"], folder, options=SMALL, stop=stop)
    stopped = chunk_ids(folder), indexed(folder, root)
    second = build([root / "long.txt"], folder, options=SMALL)
    assert (told(first), first.interrupted) == ({}, True)
    assert stopped == (list(range(1, 9)), [])
    assert told(second) == {"added": 1}
    assert len(chunk_ids(folder)) == 40


def test_read_ahead_is_limited(
    root: Path, folder: IndexFolder, reads: list[str], mini: OnnxEncoder
) -> None:
    limit = BATCHES_AHEAD * mini.batch_size
    for n in range(2 * limit):
        shutil.copy(root / "a.txt", root / f"{n}.txt")
    ahead: list[int] = []

    def on_event(event: Event) -> None:
        if isinstance(event, FileProcessed) and not ahead:
            time.sleep(0.5)  # so that the threads read as much as they are allowed to
            ahead.append(len(reads))

    summary = build([root], folder, on_event=on_event)
    assert told(summary) == {"added": 2 * limit + 3}
    assert ahead[0] <= limit + 1


def test_an_index_inside_the_folder_it_indexes_is_not_indexed(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("A note about tea.")
    folder = IndexFolder(tmp_path / "own index")
    first = build([tmp_path], folder)
    second = build([tmp_path], folder)
    assert (first.added, first.skipped) == (1, [])
    assert (second.unchanged, second.skipped) == (1, [])


def test_a_run_that_embeds_nothing_writes_no_vectors(tmp_path: Path, folder: IndexFolder) -> None:
    note = tmp_path / "notes" / "note.txt"
    note.parent.mkdir()
    note.write_text("A note about tea.")
    build([note.parent], folder)
    before = sorted(path.name for path in folder.vectors.iterdir())
    note.rename(note.with_name("renamed.txt"))
    (note.parent / "renamed.txt").touch()
    assert build([note.parent], folder).moved == 1
    assert sorted(path.name for path in folder.vectors.iterdir()) == before


def test_single_files_are_roots_until_a_folder_above_replaces_them(
    tmp_path: Path, folder: IndexFolder
) -> None:
    """Each file is a root of its own; a folder above them replaces them all."""
    notes = tmp_path / "notes"
    notes.mkdir()
    files = [notes / f"{number}.txt" for number in range(1000)]
    for number, file in enumerate(files):
        file.write_text(f"Note {number % 5}.")
    assert build(files, folder).added == 1000
    assert build(files, folder).unchanged == 1000
    assert build([notes], folder).unchanged == 1000
    assert status(folder).roots == [str(notes)]


def test_a_missing_root_is_kept_when_a_folder_above_is_indexed(
    tmp_path: Path, folder: IndexFolder
) -> None:
    disk = tmp_path / "above" / "disk"
    disk.mkdir(parents=True)
    (disk / "note.txt").write_text("A note about tea.")
    build([disk], folder)
    disk.rename(tmp_path / "unplugged")
    away = build([tmp_path / "above"], folder)
    assert (away.removed, status(folder).files) == (0, 1)
    (tmp_path / "unplugged").rename(disk)
    back = build([tmp_path / "above"], folder)
    assert (back.removed, back.unchanged) == (0, 1)
    assert status(folder).roots == [str(tmp_path / "above")]


def test_an_explicit_hidden_folder_stays_a_root_of_its_own(
    tmp_path: Path, folder: IndexFolder
) -> None:
    hidden = tmp_path / "notes" / ".secret"
    hidden.mkdir(parents=True)
    (hidden / "a.txt").write_text("A note about tea.")
    (hidden.parent / "b.txt").write_text("A note about rum.")
    assert build([hidden.parent, hidden], folder).added == 2
    assert build([], folder).unchanged == 2
    assert build([hidden.parent], folder).unchanged == 1
    assert status(folder).roots == [str(hidden.parent), str(hidden)]
    assert status(folder).files == 2


def test_a_deleted_single_file_root_is_removed(tmp_path: Path, folder: IndexFolder) -> None:
    note = tmp_path / "note.txt"
    note.write_text("A note about tea.")
    build([note], folder)
    note.unlink()
    assert build([], folder).removed == 1
    assert (status(folder).files, status(folder).roots) == (0, [])


def test_a_root_that_disappears_during_a_run_does_not_end_it(
    tmp_path: Path, folder: IndexFolder
) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for root in (first, second):
        root.mkdir()
        (root / "note.txt").write_text(f"A note about tea in {root.name}.")
    build([second], folder)

    class Leaving(threading.Event):
        """Removes the second root when the walk of the first starts."""

        def is_set(self) -> bool:
            if second.exists():
                second.rename(tmp_path / "gone")
            return super().is_set()

    summary = build([first, second], folder, stop=Leaving())
    assert (summary.added, summary.removed) == (1, 0)
    assert summary.skipped == [FileSkipped(str(second), "no longer there")]
    assert status(folder).files == 2


def test_a_run_that_is_stopped_before_the_model_is_ready_leaves_nothing(
    tmp_path: Path, folder: IndexFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_module, "load_encoder", load_encoder)
    monkeypatch.setattr(build_module, "prepare", prepare)
    monkeypatch.setenv("NMM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "note.txt").write_text("A note about tea.")
    stop = threading.Event()
    told: list[Event] = []

    def on_event(event: Event) -> None:
        told.append(event)
        if isinstance(event, CompileStarted):
            threading.Timer(0.5, stop.set).start()

    started = time.monotonic()
    summary = build([tmp_path / "note.txt"], folder, model="mini", on_event=on_event, stop=stop)
    assert (summary.interrupted, summary.added) == (True, 0)
    assert told == [IndexCreated("mini"), CompileStarted("mini")]
    assert time.monotonic() - started < 10, "the process that prepares the model was awaited"
    assert [p.suffix for p in (tmp_path / "cache" / "models").iterdir()] == [".lock"]


@posix
def test_a_temporarily_unreadable_file_keeps_its_content(
    public_path: Path,
    as_plain_user: Callable[[], AbstractContextManager[None]],
) -> None:
    root, folder = public_path / "notes", IndexFolder(public_path / "index")
    public_path.chmod(0o777)
    root.mkdir()
    note = root / "note.txt"
    note.write_text("A note about tea.")
    # A run may import modules from folders that only root can read.
    build([root], IndexFolder(public_path / "warmed up"))
    with as_plain_user():
        build([root], folder)
    before = chunk_ids(folder)
    note.write_text("A longer note about tea.")
    note.chmod(0)
    with as_plain_user():
        summary = build([root], folder)
    assert [skipped.reason for skipped in summary.skipped] == ["not readable: Permission denied"]
    assert (summary.removed, status(folder).files, chunk_ids(folder)) == (0, 1, before)
    note.chmod(0o644)
    with as_plain_user():
        assert build([root], folder).updated == 1


def test_an_index_above_its_root_excludes_only_itself(tmp_path: Path) -> None:
    """For example a disk that carries its own index."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "note.txt").write_text("A note about tea.")
    (tmp_path / "readme.txt").write_text("What is on this disk.")
    folder = IndexFolder(tmp_path)
    assert build([photos], folder).added == 1
    assert build([tmp_path], folder).added == 1
    assert build([], folder).unchanged == 2


def test_an_empty_root_is_assumed_to_be_an_unmounted_disk(
    tmp_path: Path, folder: IndexFolder
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "note.txt").write_text("A note about tea.")
    build([disk], folder)
    (disk / "note.txt").unlink()
    events: list[Event] = []
    assert build([], folder, on_event=events.append).removed == 0
    assert events == [RootMissing(str(disk))]
    assert status(folder).files == 1
    assert build([disk], folder).removed == 1, "who names it means it"


def test_a_text_with_an_image_suffix_is_skipped_in_every_run(
    tmp_path: Path, folder: IndexFolder
) -> None:
    root = tmp_path / "notes"
    root.mkdir()
    (root / "a.jpg").write_text("A note about tea.")
    (root / "b.txt").write_text("A note about tea.")
    for _ in range(2):
        summary = build([root], folder)
        assert [Path(skipped.path).name for skipped in summary.skipped] == ["a.jpg"]
        assert status(folder).files == 1


def test_the_calibration_follows_removals(tmp_path: Path, folder: IndexFolder) -> None:
    root = tmp_path / "notes"
    root.mkdir()
    for number, subject in enumerate(("tea", "the sea", "tax forms", "a broken bicycle")):
        (root / f"{number}.txt").write_text(f"A note about {subject}.")
    build([root], folder)
    with Catalog.open(folder.catalog) as catalog:
        before = catalog.calibration("text")
    remove([root / "1.txt", root / "2.txt"], folder)
    build([root / "0.txt"], folder)
    with Catalog.open(folder.catalog) as catalog:
        assert catalog.calibration("text") != before


def test_a_second_run_over_images_embeds_no_text(
    tmp_path: Path, folder: IndexFolder, mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calibration embeds neutral queries, and no new calibration is needed."""
    monkeypatch.setattr(mini, "folder", tmp_path)  # the cached vectors are not there yet
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (40, 30), "red").save(photos / "red.png")
    real, embedded = OnnxEncoder.embed_texts, []

    def spy(self: OnnxEncoder, texts: Sequence[str], task: Task, **more: Any) -> Any:
        embedded.append(len(texts))
        return real(self, texts, task, **more)

    monkeypatch.setattr(OnnxEncoder, "embed_texts", spy)
    build([photos], folder)
    first = len(embedded)
    build([photos], folder)
    assert (first, len(embedded)) == (1, 1)
