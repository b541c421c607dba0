"""Disks that are not mounted: their files stay in the index unless the user forces removal."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support import Nmm

from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import UsageError
from nmm.index.events import Event, MountMissing, RootMissing
from nmm.index.indexing import indexer as build_module
from nmm.index.indexing.entries import FoundFile
from nmm.index.indexing.indexer import build
from nmm.index.indexing.options import IndexOptions
from nmm.index.indexing.scopes import mount_point
from nmm.index.indexing.walk import walk
from nmm.index.maintenance.status import status
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.layout import IndexFolder

Mount = Callable[[Path], None]


@pytest.fixture(autouse=True)
def loaded(mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the model once for all tests."""
    monkeypatch.setattr(build_module, "load_encoder", lambda *_, **__: mini)
    monkeypatch.setattr(build_module, "prepare", lambda *_, **__: None)


@pytest.fixture
def mount() -> Iterator[Mount]:
    """A function that mounts a small disk on a folder (root only); it is unmounted at the end."""
    mounted: list[Path] = []

    def on(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command here")
        if done.returncode:
            pytest.skip("who runs the tests may not mount a disk")
        mounted.append(folder)

    yield on
    for folder in reversed(mounted):
        subprocess.run(["umount", "-l", folder], capture_output=True, check=False)


def unmount(folder: Path) -> None:
    subprocess.run(["umount", folder], check=True)


def note(path: Path, text: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or f"The note called {path.name} about {path.parent.name}.")
    return path


def change(folder: IndexFolder, sql: str, *parameters: object) -> None:
    with closing(sqlite3.connect(folder.catalog)) as connection, connection:
        connection.execute(sql, parameters)


def kept_mounts(folder: IndexFolder) -> list[tuple[Path, Path | None, list[str]]]:
    with Catalog.open(folder.catalog) as catalog:
        return [(root.path, catalog.mount(root), catalog.mounts(root)) for root in catalog.roots()]


# With a real mount


def test_a_root_on_a_disk_that_is_unmounted_is_kept(
    tmp_path: Path, folder: IndexFolder, mount: Mount
) -> None:
    disk = tmp_path.resolve() / "disk"
    mount(disk)
    note(disk / "photos" / "a.txt")
    photos = disk / "photos"
    build([photos], folder)
    assert kept_mounts(folder) == [(photos, disk, [])]
    unmount(disk)
    note(photos / "stray.txt")  # so that the root is neither missing nor empty
    events: list[Event] = []
    for paths in ([], [photos]):
        summary = build(paths, folder, on_event=events.append)
        assert (summary.removed, summary.added, status(folder).files) == (0, 0, 1)
    assert events == [RootMissing(str(photos), str(disk))] * 2
    pruned = build([], folder, prune=True, on_event=events.append)
    assert (pruned.removed, pruned.added, len(events)) == (1, 1, 3)
    assert kept_mounts(folder) == [(photos, mount_point(tmp_path.resolve()), [])]
    assert build([], folder).unchanged == 1


def test_a_disk_mounted_below_a_root_is_noted_and_kept(
    tmp_path: Path, folder: IndexFolder, mount: Mount
) -> None:
    root = tmp_path.resolve() / "root"
    note(root / "a.txt")
    mount(root / "sub" / "disk")
    note(root / "sub" / "disk" / "deep" / "b.txt")
    assert build([root], folder).added == 2
    assert kept_mounts(folder) == [(root, mount_point(root), ["sub/disk"])]
    unmount(root / "sub" / "disk")
    (root / "a.txt").unlink()
    note(root / "c.txt")
    events: list[Event] = []
    summary = build([], folder, on_event=events.append)
    assert (summary.removed, summary.added, status(folder).files) == (1, 1, 2)
    assert events[0] == MountMissing(str(root / "sub" / "disk"))
    assert build([root / "sub"], folder).removed == 0
    assert build([root / "sub" / "disk"], folder).removed == 0
    with pytest.raises(UsageError, match=r"cannot be rebuilt while .*disk is not available"):
        build([], folder, rebuild=True)
    mount(root / "sub" / "disk")
    note(root / "sub" / "disk" / "deep" / "b.txt")
    back: list[Event] = []
    assert build([], folder, on_event=back.append).unchanged == 2
    assert not any(isinstance(event, MountMissing) for event in back)
    unmount(root / "sub" / "disk")
    assert build([], folder, prune=True).removed == 1
    assert kept_mounts(folder) == [(root, mount_point(root), [])]


def test_a_mount_point_is_recorded_before_its_files(
    tmp_path: Path, folder: IndexFolder, mount: Mount
) -> None:
    """A run that is interrupted after its first batch has recorded the mount points."""
    root = tmp_path.resolve() / "root"
    mount(root / "disk")
    for number in range(20):
        note(root / "disk" / f"{number:02}.txt")
    import threading

    stop = threading.Event()
    seen: list[Event] = []

    def on_event(event: Event) -> None:
        seen.append(event)
        if len(seen) == 10:
            stop.set()

    summary = build(
        [root],
        folder,
        model="mini",
        options=IndexOptions(batch_size=1),
        on_event=on_event,
        stop=stop,
    )
    assert (summary.interrupted, kept_mounts(folder)[0][2]) == (True, ["disk"])


def test_the_walk_reports_a_mount_point_before_its_files(tmp_path: Path, mount: Mount) -> None:
    mount(tmp_path / "sub" / "disk")
    note(tmp_path / "sub" / "disk" / "inner" / "b.txt")
    note(tmp_path / "sub" / "a.txt")
    told: list[str] = []
    entries = walk(tmp_path, on_mount=told.append)
    found: list[str] = []
    for entry in entries:
        assert isinstance(entry, FoundFile)
        found.append(f"{entry.path} {told}")
    assert found == ["sub/a.txt []", "sub/disk/inner/b.txt ['sub/disk']"]
    told.clear()
    list(walk(tmp_path / "sub" / "disk", on_mount=told.append))
    assert told == []


# With the mount points that the catalog recorded


@pytest.fixture
def root(tmp_path: Path, folder: IndexFolder) -> Path:
    """A folder with two notes that is indexed."""
    root = tmp_path.resolve() / "root"
    note(root / "a.txt")
    note(root / "sub" / "b.txt")
    build([root], folder)
    return root


def test_the_mount_point_of_a_root_is_kept(root: Path, folder: IndexFolder) -> None:
    ((path, mount, below),) = kept_mounts(folder)
    assert (path, below) == (root, [])
    assert mount is not None
    assert os.path.ismount(mount)
    assert root.is_relative_to(mount)
    assert not any(
        os.path.ismount(between) for between in root.parents if between.is_relative_to(mount / "x")
    )
    change(folder, "UPDATE roots SET mount = NULL")  # as in an older index
    assert build([], folder).unchanged == 2
    assert kept_mounts(folder) == [(root, mount, [])]


def test_a_root_whose_mount_point_is_unmounted_is_missing(root: Path, folder: IndexFolder) -> None:
    change(folder, "UPDATE roots SET mount = ?", str(root.parent))
    (root / "a.txt").unlink()
    events: list[Event] = []
    assert build([], folder, on_event=events.append).removed == 0
    assert build([root / "sub"], folder, on_event=events.append).unchanged == 0
    assert events == [RootMissing(str(root), str(root.parent))] * 2
    assert status(folder).files == 2
    with pytest.raises(UsageError, match="cannot be rebuilt while"):
        build([], folder, rebuild=True)
    assert build([], folder, prune=True).removed == 1
    assert build([], folder).unchanged == 1


def test_a_folder_above_takes_over_known_mount_points(root: Path, folder: IndexFolder) -> None:
    change(folder, "UPDATE roots SET mount = ?", str(root))
    change(folder, "INSERT INTO mounts SELECT id, 'sub' FROM roots")
    (root / "a.txt").unlink()
    (root / "sub" / "b.txt").unlink()
    events: list[Event] = []
    assert build([root.parent], folder, on_event=events.append).removed == 0
    assert events[:2] == [MountMissing(str(root)), MountMissing(str(root / "sub"))]
    assert [(path, below) for path, _, below in kept_mounts(folder)] == [
        (root.parent, ["root", "root/sub"])
    ]


def test_a_mount_point_without_indexed_files_is_forgotten(root: Path, folder: IndexFolder) -> None:
    change(folder, "INSERT INTO mounts SELECT id, 'empty' FROM roots")
    events: list[Event] = []
    build([], folder, on_event=events.append)
    assert not any(isinstance(event, MountMissing) for event in events)
    assert kept_mounts(folder)[0][2] == []


def test_forcing_removes_the_files_of_a_missing_root_and_keeps_it(
    root: Path, folder: IndexFolder
) -> None:
    other = note(root.parent / "other" / "c.txt").parent
    build([other], folder)
    root.rename(root.parent / "unplugged")
    assert build([], folder).removed == 0
    assert build([], folder, prune=True).removed == 2
    assert (status(folder).files, status(folder).roots) == (1, [str(other), str(root)])
    (root.parent / "unplugged").rename(root)
    assert build([], folder).added == 2


def test_forcing_removes_the_files_of_an_empty_root(root: Path, folder: IndexFolder) -> None:
    (root / "a.txt").unlink()
    (root / "sub" / "b.txt").unlink()
    (root / "sub").rmdir()
    assert build([], folder).removed == 0
    assert build([], folder, prune=True).removed == 2
    assert status(folder).roots == [str(root)]


def test_a_forced_rebuild_leaves_missing_roots_out(root: Path, folder: IndexFolder) -> None:
    other = note(root.parent / "other" / "c.txt").parent
    build([other], folder)
    root.rename(root.parent / "unplugged")
    assert build([], folder, rebuild=True, prune=True).added == 1
    assert (status(folder).files, status(folder).roots) == (1, [str(other), str(root)])


def test_the_command_reports_kept_files_and_how_to_force_removal(nmm: Nmm, tmp_path: Path) -> None:
    root = note(tmp_path.resolve() / "notes" / "a.txt").parent
    assert nmm("index", root, "--model", "mini").returncode == 0
    root.rename(tmp_path / "unplugged")
    kept = nmm("index")
    assert (kept.returncode, kept.stderr) == (
        0,
        f"{root} is not available. Its files stay in the index. "
        "Remove them with: nmm index --prune\n",
    )
    assert nmm("index", "--prune").stdout.startswith("0 added, 0 updated, 0 unchanged, 0 moved, 1 ")
