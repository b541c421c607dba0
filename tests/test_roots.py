"""The roots of an index: listed, added, moved, forgotten."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import searching
from support import Nmm

from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import IndexLockedError, NoIndexError, UsageError
from nmm.index.indexing import indexer as build_module
from nmm.index.indexing.indexer import build
from nmm.index.indexing.scopes import State, mount_point
from nmm.index.maintenance.roots import (
    AddedRoot,
    MovedRoot,
    RootStatus,
    add_roots,
    list_roots,
    move_roots,
    remove_root,
)
from nmm.index.maintenance.status import status
from nmm.index.search import engine as search_module
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.roots import set_mount
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.layout import IndexFolder


@pytest.fixture(autouse=True)
def loaded(mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the model once for all tests."""
    for module in (build_module, search_module):
        monkeypatch.setattr(module, "load_encoder", lambda *_, **__: mini)
    monkeypatch.setattr(build_module, "prepare", lambda *_, **__: None)


@pytest.fixture
def disk(tmp_path: Path, folder: IndexFolder) -> Path:
    """A folder, `disk`, with the roots `disk/notes`, `disk/photos` and `disk/photos/.hidden`.

    Beside it is the root `diskette`, whose name begins in the same way.
    """
    disk = tmp_path.resolve() / "disk"
    roots = [disk / "notes", disk / "photos", disk / "photos" / ".hidden", disk.parent / "diskette"]
    for root in roots:
        root.mkdir(parents=True)
        (root / "a.txt").write_text(f"A note in {root.name}.")
    (disk / "notes" / "broken.png").write_bytes(bytes(100))
    build(roots, folder)
    return disk


def paths(folder: IndexFolder) -> list[str]:
    return [root.path for root in list_roots(folder)]


def found(folder: IndexFolder) -> list[str]:
    with search_module.open_search(folder) as search:
        return sorted(result.path for result in searching.find(search, "a note", 100))


def test_roots_are_listed_with_what_they_hold(disk: Path, folder: IndexFolder) -> None:
    from PIL import Image

    Image.new("RGB", (40, 30), "red").save(disk / "photos" / "red.png")
    (disk / "photos" / "data.bin").write_bytes(bytes(range(256)))
    build([], folder)
    shutil.rmtree(disk.parent / "diskette")
    (disk / "photos" / ".hidden" / "a.txt").unlink()
    assert list_roots(folder) == [
        RootStatus(str(disk / "notes"), 1, 0, 1, 1, State.THERE),
        RootStatus(str(disk / "photos"), 2, 1, 1, 0, State.THERE),
        RootStatus(str(disk / "photos" / ".hidden"), 1, 0, 1, 0, State.EMPTY),
        RootStatus(str(disk.parent / "diskette"), 1, 0, 1, 0, State.MISSING),
    ]


def test_a_root_whose_disk_is_not_mounted_is_listed_so(disk: Path, folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        for root in writer.roots():
            set_mount(writer, root, disk)
    assert {root.state for root in list_roots(folder)} == {State.UNMOUNTED}


def test_a_root_is_added_and_not_indexed_yet(tmp_path: Path, folder: IndexFolder) -> None:
    notes = tmp_path.resolve() / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text("A note about tea.")
    assert add_roots([notes, notes / "a.txt"], folder) == [
        AddedRoot(str(notes), str(notes)),
        AddedRoot(str(notes / "a.txt"), str(notes)),
    ]
    assert list_roots(folder) == [RootStatus(str(notes), 0, 0, 0, 0, State.THERE)]
    assert build([], folder).added == 1


def test_of_paths_one_of_which_does_not_exist_none_is_added(
    disk: Path, folder: IndexFolder
) -> None:
    before = paths(folder)
    (disk / "new").mkdir()
    with pytest.raises(UsageError, match="missing cannot be indexed"):
        add_roots([disk / "new", disk / "missing"], folder)
    assert paths(folder) == before


def test_a_disk_that_is_mounted_elsewhere_takes_its_roots_along(
    disk: Path, folder: IndexFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = disk.parent / "media" / "other"
    shutil.copytree(disk, new)  # with other inodes, as on a copy or another disk
    before = found(folder)
    shutil.rmtree(disk)
    assert move_roots(disk, new, folder) == [
        MovedRoot(str(disk / name), str(new / name), is_there=True)
        for name in ("notes", "photos", "photos/.hidden")
    ]
    assert paths(folder) == [
        str(disk.parent / "diskette"),
        *(str(new / name) for name in ("notes", "photos", "photos/.hidden")),
    ]
    assert found(folder) == sorted(path.replace(f"{disk}/", f"{new}/") for path in before)
    monkeypatch.setattr(OnnxEncoder, "embed_texts", None)  # fails if anything is embedded
    assert (build([], folder).unchanged, status(folder).files) == (4, 4)


def test_roots_can_be_moved_to_where_nothing_is_yet(disk: Path, folder: IndexFolder) -> None:
    new = disk.parent / "later"
    notes = disk / "notes"
    assert move_roots(notes, new, folder) == [MovedRoot(str(notes), str(new), is_there=False)]
    assert (build([], folder).removed, status(folder).files) == (0, 4)
    notes.rename(new)
    assert build([], folder).unchanged == 4


def test_a_move_keeps_on_which_disk_the_new_place_is(disk: Path, folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        for root in writer.roots():
            set_mount(writer, root, disk)
    move_roots(disk / "notes", disk.parent / "later", folder)
    (disk.parent / "here").mkdir()
    move_roots(disk / "photos", disk.parent / "here", folder)
    with Catalog.open(folder.catalog) as catalog:
        known = {root.path: catalog.mount(root) for root in catalog.roots()}
    assert known[disk.parent / "later"] is None
    assert known[disk.parent / "here"] == mount_point(disk.parent)


def test_a_root_can_take_the_place_of_one_that_moves_too(disk: Path, folder: IndexFolder) -> None:
    hidden = disk / "photos" / ".hidden"
    move_roots(disk / "photos", hidden, folder)
    assert {str(hidden), str(hidden / ".hidden")} <= set(paths(folder))


@pytest.mark.parametrize("new", ["disk/photos", "disk/photos/sub", "."])
def test_a_place_that_another_root_has_is_refused(
    disk: Path, folder: IndexFolder, new: str
) -> None:
    before = paths(folder)
    with pytest.raises(UsageError) as raised:
        move_roots(disk / "notes", disk.parent / new, folder)
    assert raised.value.what == (
        f"{disk}/notes cannot be moved to {(disk.parent / new).resolve()}."
    )
    assert raised.value.why.endswith(" is a root already.")
    assert paths(folder) == before


def test_a_root_can_move_to_a_hidden_folder_below_another(disk: Path, folder: IndexFolder) -> None:
    assert move_roots(disk / "notes", disk / "photos" / ".notes", folder)
    assert str(disk / "photos" / ".notes") in paths(folder)


@pytest.mark.parametrize("name", ["disk/notes/a.txt", "dis", "disk/photos/sub"])
def test_paths_that_are_no_roots_are_refused(disk: Path, folder: IndexFolder, name: str) -> None:
    what = f"The index has no root at {disk.parent / name} or below."
    with pytest.raises(UsageError) as moved:
        move_roots(disk.parent / name, disk.parent / "new", folder)
    with pytest.raises(UsageError) as removed:
        remove_root(disk.parent / name, folder)
    assert (moved.value.what, removed.value.what) == (what, what)
    assert len(paths(folder)) == 4


def test_a_root_is_forgotten_with_its_files(disk: Path, folder: IndexFolder) -> None:
    assert remove_root(disk / "notes", folder) == 1
    assert remove_root(disk, folder) == 2
    assert paths(folder) == [str(disk.parent / "diskette")]
    assert found(folder) == [str(disk.parent / "diskette" / "a.txt")]
    assert (disk / "notes" / "a.txt").is_file()


def test_a_missing_index_has_no_roots(tmp_path: Path, folder: IndexFolder) -> None:
    for ask in (
        lambda: list_roots(folder),
        lambda: move_roots(tmp_path, tmp_path / "new", folder),
        lambda: remove_root(tmp_path, folder),
    ):
        with pytest.raises(NoIndexError):
            ask()
    assert not folder.path.exists()


def test_an_index_that_is_being_written_to_is_refused(disk: Path, folder: IndexFolder) -> None:
    with open_for_writing(folder):
        with pytest.raises(IndexLockedError):
            move_roots(disk / "notes", disk / "new", folder)
        with pytest.raises(IndexLockedError):
            add_roots([disk], folder)
        assert len(list_roots(folder)) == 4


def test_the_commands_print_what_they_did(nmm: Nmm, tmp_path: Path) -> None:
    notes = tmp_path.resolve() / "no\ntes"
    notes.mkdir()
    (notes / "a.txt").write_text("A note about tea.")
    shown = str(notes).replace("\n", "\\n")
    added = nmm("roots", "add", notes)
    assert (added.returncode, added.stdout) == (
        0,
        f"{shown} is a root. Index it with: nmm index\n",
    )
    nested = nmm("roots", "add", notes / "a.txt")
    assert nested.stdout == (
        f"{shown}/a.txt is in {shown}, which is a root. Index it with: nmm index\n"
    )
    assert nmm("index", "--model", "mini", "-q").returncode == 0
    new = tmp_path.resolve() / "new"
    moved = nmm("roots", "move", notes, new)
    assert moved.stdout == f"{shown} -> {new} (not there yet: its files are kept)\n"
    text, as_json = nmm("roots"), nmm("roots", "list", "--json")
    assert text.stdout == f"{new} (missing)\n    1 files: 0 images, 1 texts; 0 skipped\n"
    assert json.loads(as_json.stdout) == [
        {"path": str(new), "files": 1, "images": 0, "texts": 1, "skipped": 0, "state": "missing"}
    ]
    assert nmm("roots", "remove", tmp_path / "none").returncode == 2
    assert nmm("roots", "remove", new, "--json").stdout == '{"removed": 1}\n'
