"""Image details that an older nmm did not read are read at the next run, without other work."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from sqlite_utils import Database
from support import column_now

from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import UnreadableError
from nmm.index.events import Event, FileProcessed, MetadataBackfillStarted, Summary
from nmm.index.indexing import indexer as build_module
from nmm.index.indexing import metadata_backfill as details_module
from nmm.index.indexing.indexer import build
from nmm.index.media.base import Metadata
from nmm.index.media.image.files import read_metadata
from nmm.index.store.catalog.migrations import migrations
from nmm.index.store.catalog.writer import DETAILS
from nmm.index.store.layout import IndexFolder

WHOLE = (48.5, -16.25, "Acme X100", "a boat", DETAILS)
NOTHING = (None, None, None, None, 0)


@pytest.fixture(autouse=True)
def loaded(mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the model once for all tests; loading takes longer than most tests."""
    monkeypatch.setattr(build_module, "load_encoder", lambda *_, **__: mini)
    monkeypatch.setattr(build_module, "prepare", lambda *_, **__: None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with three photos with GPS positions, one without, and a note."""
    root = tmp_path.resolve() / "root"
    root.mkdir()
    for number in range(3):
        photo(root / f"{number}.jpg", 60 * number)
    Image.new("RGB", (40, 30), "green").save(root / "bare.png")
    (root / "note.txt").write_text("A cat sleeps on the piano.")
    return root


def photo(path: Path, shade: int) -> None:
    exif = Image.Exif()
    exif.update({Base.Make: "Acme", Base.Model: "X100", Base.ImageDescription: "a boat"})
    exif.get_ifd(IFD.GPSInfo).update(
        {
            GPS.GPSLatitudeRef: "N",
            GPS.GPSLatitude: (48.0, 30.0, 0.0),
            GPS.GPSLongitudeRef: "W",
            GPS.GPSLongitude: (16.0, 15.0, 0.0),
        }
    )
    Image.new("RGB", (40, 30), (shade, 0, 0)).save(path, "JPEG", exif=exif)


def query(folder: IndexFolder, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder.catalog)) as connection:
        return connection.execute(sql).fetchall()


def details(folder: IndexFolder) -> dict[str, tuple[Any, ...]]:
    """Return the details of each image, by the path of a file."""
    rows = query(
        folder,
        "SELECT path, latitude, longitude, camera, caption, details FROM files "
        "JOIN contents ON contents.id = content_id WHERE medium = 'image'",
    )
    return {path: tuple(rest) for path, *rest in rows}


def make_old(folder: IndexFolder) -> None:
    """Convert the catalog to the schema without details, as an older nmm would have made it."""
    old = folder.catalog.with_name("old")
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        migrations.apply(Database(connection), stop_before=["m003_pictures"])
        connection.execute("ATTACH ? AS new", (str(folder.catalog),))
        for table in ("settings", "roots", "contents", "files", "chunks", "vectors", "scales"):
            rows = connection.execute(f"PRAGMA main.table_info({table})").fetchall()
            columns = ", ".join(row[1] for row in rows)
            now = ", ".join(column_now(table, row[1]) for row in rows)
            connection.execute(f"INSERT INTO {table} ({columns}) SELECT {now} FROM new.{table}")
        connection.execute("DELETE FROM loose")
        connection.execute("DETACH new")
    for name in ("", "-wal", "-shm"):
        folder.catalog.with_name(folder.catalog.name + name).unlink(missing_ok=True)
    old.replace(folder.catalog)


def told(summary: Summary) -> tuple[int, int, int, int, bool]:
    return (
        summary.added,
        summary.updated,
        summary.unchanged,
        len(summary.skipped),
        summary.interrupted,
    )


def test_a_run_reads_image_details(root: Path, folder: IndexFolder) -> None:
    build([root], folder)
    bare = (None, None, None, None, DETAILS)
    assert details(folder) == {
        "0.jpg": WHOLE,
        "1.jpg": WHOLE,
        "2.jpg": WHOLE,
        "bare.png": bare,
    }


def test_missing_details_are_read_without_embedding(root: Path, folder: IndexFolder) -> None:
    build([root], folder)
    new = details(folder)
    make_old(folder)
    before = query(folder, "SELECT * FROM vectors")
    events: list[Event] = []
    assert told(build([], folder, on_event=events.append)) == (0, 0, 5, 0, False)
    assert [event for event in events if not isinstance(event, FileProcessed)] == [
        MetadataBackfillStarted(4)
    ]
    assert details(folder) == new
    assert query(folder, "SELECT * FROM vectors") == before
    assert query(folder, "SELECT rowid FROM picture_words WHERE picture_words MATCH 'boat'") == [
        (content,) for (content,) in query(folder, "SELECT id FROM contents WHERE caption NOT NULL")
    ]


def test_only_files_of_the_run_are_read(root: Path, folder: IndexFolder, tmp_path: Path) -> None:
    other = tmp_path.resolve() / "other"
    other.mkdir()
    photo(other / "9.jpg", 250)
    build([root, other], folder)
    make_old(folder)
    build([other], folder)
    assert {path: said[-1] for path, said in details(folder).items() if said[-1]} == {"9.jpg": 1}


def test_a_stop_keeps_what_was_read_and_the_next_run_goes_on(
    root: Path, folder: IndexFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    build([root], folder)
    make_old(folder)
    monkeypatch.setattr(details_module, "COMMIT_SIZE", 1)
    stop = threading.Event()
    save_metadata = details_module.save_metadata

    def save_and_stop(*arguments: Any) -> None:
        save_metadata(*arguments)
        stop.set()

    monkeypatch.setattr(details_module, "save_metadata", save_and_stop)
    assert told(build([], folder, stop=stop)) == (0, 0, 5, 0, True)
    assert sorted(said[-1] for said in details(folder).values()) == [0, 0, 0, 1]
    monkeypatch.setattr(details_module, "save_metadata", save_metadata)
    assert told(build([], folder)) == (0, 0, 5, 0, False)
    assert {said[-1] for said in details(folder).values()} == {DETAILS}


def test_a_damaged_header_is_read_once(root: Path, folder: IndexFolder) -> None:
    build([root], folder)
    make_old(folder)
    file = root / "1.jpg"
    before = file.stat()
    file.write_bytes(b"\xff\xd8\xff".ljust(before.st_size, b"\0"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    build([], folder)
    assert details(folder)["1.jpg"] == (None, None, None, None, DETAILS)


@contextmanager
def gone_after_the_walk(file: Path) -> Iterator[Path]:
    """Move the file, which this yields, after the walk of a run inside has found it."""
    away = file.parent.parent / "away"
    list_images = details_module.images_without_metadata

    def move(*arguments: Any) -> Any:
        found = list_images(*arguments)
        if file.exists():
            file.rename(away)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(details_module, "images_without_metadata", move)
        yield away


def test_a_file_that_cannot_be_read_now_is_read_later(root: Path, folder: IndexFolder) -> None:
    build([root], folder)
    make_old(folder)
    with gone_after_the_walk(root / "1.jpg") as away:
        assert told(build([], folder)) == (0, 0, 5, 0, False)
    assert details(folder)["1.jpg"] == NOTHING
    away.rename(root / "1.jpg")
    build([], folder)
    assert details(folder)["1.jpg"] == WHOLE


def test_one_of_two_copies_is_read(root: Path, folder: IndexFolder) -> None:
    shutil.copy2(root / "1.jpg", root / "copy.jpg")
    build([root], folder)
    make_old(folder)
    with gone_after_the_walk(root / "1.jpg"):
        build([], folder)
    assert details(folder)["copy.jpg"] == WHOLE


def test_a_changed_file_gives_no_details_of_its_old_content(root: Path) -> None:
    file = root / "bare.png"
    before = file.stat()
    with pytest.raises(UnreadableError):
        read_metadata(file, before.st_size, before.st_mtime_ns - 1)
    with pytest.raises(UnreadableError):
        read_metadata(file, before.st_size + 1, before.st_mtime_ns)
    assert read_metadata(file, before.st_size, before.st_mtime_ns) == Metadata()
