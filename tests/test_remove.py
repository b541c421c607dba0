"""Removing files from an index: what is removed, what stays, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import searching

from nmm.cli.console.hints import hint_of
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import IndexLockedError, NoIndexError, UsageError
from nmm.index.indexing import indexer as build_module
from nmm.index.indexing.indexer import build
from nmm.index.indexing.options import IndexOptions
from nmm.index.maintenance.remove import remove
from nmm.index.maintenance.status import status
from nmm.index.search import engine as search_module
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors.segment_table import read_segments

FILES = ["a.txt", "ab.txt", "sub.txt", "sub/b.txt", "sub/c.txt"]

pytestmark = pytest.mark.usefixtures("short_tail")


@pytest.fixture(autouse=True)
def loaded(mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the model once for all tests; loading takes longer than most tests."""
    for module in (build_module, search_module):
        monkeypatch.setattr(module, "load_encoder", lambda *_, **__: mini)
    monkeypatch.setattr(build_module, "prepare", lambda *_, **__: None)


@pytest.fixture
def root(tmp_path: Path, folder: IndexFolder) -> Path:
    """A folder of five notes and one broken image; it is indexed."""
    root = tmp_path.resolve() / "root"
    (root / "sub").mkdir(parents=True)
    for name in FILES:
        (root / name).write_text(f"The note called {name}.")
    (root / "sub" / "broken.png").write_bytes(bytes(100))
    build([root], folder)
    return root


def found(folder: IndexFolder, root: Path) -> list[str]:
    with search_module.open_search(folder) as search:
        results = searching.find(search, "a note", 100)
    return sorted(Path(result.path).relative_to(root).as_posix() for result in results)


@pytest.mark.parametrize(
    ("names", "gone"),
    [
        (["a.txt"], ["a.txt"]),
        (["sub"], ["sub/b.txt", "sub/c.txt"]),
        (["sub", "sub/b.txt"], ["sub/b.txt", "sub/c.txt"]),
        (["sub.txt", "a.txt"], ["a.txt", "sub.txt"]),
        (["sub/broken.png"], []),
        (["."], FILES),
        ([".."], FILES),
    ],
)
def test_given_paths_and_files_below_them_are_removed(
    root: Path, folder: IndexFolder, names: list[str], gone: list[str]
) -> None:
    assert remove([root / name for name in names], folder) == len(gone)
    kept = [name for name in FILES if name not in gone]
    assert found(folder, root) == kept
    assert status(folder).vectors == len(kept)
    assert all((root / name).is_file() for name in FILES)


def test_a_root_that_is_named_is_forgotten(root: Path, folder: IndexFolder) -> None:
    other = root.parent / "other"
    other.mkdir()
    build([other], folder)
    remove([root], folder)
    now = status(folder)
    assert (now.roots, now.files, now.skipped, now.errors) == ([str(other)], 0, 0, [])


def test_a_folder_of_a_root_leaves_the_root(root: Path, folder: IndexFolder) -> None:
    remove([root / "sub"], folder)
    assert status(folder).roots == [str(root)]
    assert build([], folder).added == 2


def test_files_deleted_from_disk_can_be_removed(root: Path, folder: IndexFolder) -> None:
    shutil.rmtree(root)
    assert remove([root], folder) == 5


def test_a_copy_stays(root: Path, folder: IndexFolder) -> None:
    shutil.copy(root / "a.txt", root / "copy.txt")
    build([], folder)
    assert remove([root / "a.txt"], folder) == 1
    assert found(folder, root) == ["ab.txt", "copy.txt", *FILES[2:]]


def test_the_derived_files_follow(root: Path, folder: IndexFolder) -> None:
    remove([root / "sub"], folder)
    with Catalog.open(folder.catalog) as catalog:
        known = [read_segments(catalog, kind) for kind in KINDS]
    assert [[file.total for file in of_kind] for of_kind in known] == [[], [3]]
    assert {path.name for path in folder.vectors.iterdir()} == {known[1][0].name}


@pytest.mark.parametrize("name", ["missing.txt", "sub/d", "a", "a.txt/below", "../other"])
def test_unknown_paths_are_refused_and_nothing_is_removed(
    root: Path, folder: IndexFolder, name: str
) -> None:
    with pytest.raises(UsageError) as raised:
        remove([root / "a.txt", root / name], folder)
    assert str(raised.value) == f"The index holds nothing at {(root / name).resolve()}."
    assert hint_of(raised.value) == "See what the index holds with: nmm status"
    assert found(folder, root) == FILES


def test_a_missing_index_is_not_created(tmp_path: Path, folder: IndexFolder) -> None:
    with pytest.raises(NoIndexError):
        remove([tmp_path], folder)
    assert not folder.path.exists()


def test_an_index_that_is_being_written_to_is_refused(root: Path, folder: IndexFolder) -> None:
    with open_for_writing(folder), pytest.raises(IndexLockedError):
        remove([root], folder)
    assert found(folder, root) == FILES


def test_paths_printed_through_a_link_can_be_removed(tmp_path: Path, folder: IndexFolder) -> None:
    root = tmp_path / "links"
    root.mkdir()
    (root / "real.txt").write_text("A note about tea.")
    (root / "alias.txt").symlink_to(root / "real.txt")
    build([root], folder, options=IndexOptions(follow_symlinks=True))
    assert remove([root / "alias.txt"], folder) == 1
    assert status(folder).files == 1
    with Catalog.open(folder.catalog) as catalog:
        (kept,) = catalog.roots()
        assert catalog.file_row(kept, "real.txt") is not None
