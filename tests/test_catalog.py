"""The catalog: written rows can be read, in whole batches, and foreign files are left alone."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlite_utils import Database

from nmm.cli.console.hints import hint_of, lines_of
from nmm.index.errors import CatalogError, IndexLockedError, NoIndexError, StoppedError
from nmm.index.store.catalog.migrations import migrations
from nmm.index.store.catalog.reader import SCHEMA, Catalog
from nmm.index.store.catalog.removal import Changes, delete_unseen, drop_orphans, forget
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.types import KINDS, Calibration, FileRow, Hit, Root, Settings
from nmm.index.store.catalog.vacuum import fts_problem
from nmm.index.store.catalog.writer import (
    CatalogWriter,
    ChunkRow,
    Content,
    open_for_reading,
    open_for_writing,
)
from nmm.index.store.layout import IndexFolder, index_folder
from nmm.index.store.lock import Holder, Wait
from nmm.index.store.vectors.segment_table import Segment, read_segments, replace_segments

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX file modes")

VECTOR = np.array([0.6, 0.8], np.float32)


def rows(folder: IndexFolder, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder.catalog)) as connection:
        return connection.execute(sql).fetchall()


def add_text(
    writer: CatalogWriter, root: Root, path: str, content: bytes = b"", *, chunks: int = 1
) -> int:
    """Add a file in a batch of its own; a content with that name is added once."""
    content = content or path.encode()
    with writer.batch():
        content_id = writer.content_id(content)
        if content_id is None:
            content_id = writer.add_content(Content(content, "text"))
            for line in range(1, chunks + 1):
                writer.add_chunk(content_id, "text", ChunkRow(line, line, path), VECTOR)
        writer.put_file(root, path, 1, 2, status="indexed", content_id=content_id)
    return content_id


def open_to_write(folder: IndexFolder) -> None:
    with open_for_writing(folder):
        pass


def open_to_read(folder: IndexFolder) -> None:
    Catalog.open(folder.catalog).close()


openers = pytest.mark.parametrize("opener", [open_to_read, open_to_write])


def test_the_schema_is_the_number_of_the_migrations() -> None:
    assert len(migrations.pending(Database(memory=True))) == SCHEMA


# Its path


def test_an_explicit_index_overrides_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMM_INDEX", str(tmp_path / "environment"))
    assert index_folder(tmp_path / "named") == IndexFolder(tmp_path / "named")
    assert index_folder() == IndexFolder(tmp_path / "environment")


def test_a_relative_index_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert index_folder(Path("here")) == IndexFolder(Path.cwd() / "here")


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert index_folder(Path("~/photos")) == IndexFolder(tmp_path / "photos")


def test_without_a_name_the_index_is_in_the_users_data() -> None:
    found = index_folder().path
    assert (found.name, found.is_absolute()) == ("index", True)


def test_a_missing_index_is_an_error(folder: IndexFolder) -> None:
    with pytest.raises(NoIndexError) as raised:
        folder.existing()
    assert lines_of(raised.value) == [
        f"There is no index in {folder.path}.",
        "Create one with: nmm index FOLDER",
    ]


def test_the_size_is_that_of_all_files(folder: IndexFolder) -> None:
    folder.vectors.mkdir(parents=True)
    (folder.path / "one").write_bytes(b"123")
    (folder.vectors / "two").write_bytes(b"4567")
    assert folder.size() == 7


# Opening


def test_a_new_catalog_has_the_current_schema(folder: IndexFolder) -> None:
    open_to_write(folder)
    assert rows(folder, "PRAGMA user_version") == [(SCHEMA,)]


def test_a_migration_is_applied_once(folder: IndexFolder) -> None:
    applied = "SELECT name, applied_at FROM _sqlite_migrations"
    open_to_write(folder)
    before = rows(folder, applied)
    open_to_write(folder)
    assert rows(folder, applied) == before
    assert len(before) == SCHEMA


@openers
def test_a_newer_catalog_is_refused_and_left_alone(
    folder: IndexFolder, opener: Callable[[IndexFolder], None]
) -> None:
    open_to_write(folder)
    with closing(sqlite3.connect(folder.catalog)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
        connection.execute("DROP TABLE settings")
    with pytest.raises(CatalogError) as raised:
        opener(folder)
    assert lines_of(raised.value) == [
        f"The index in {folder.path} was written by a newer nmm.",
        f"Its schema is number {SCHEMA + 1}. This nmm supports up to {SCHEMA}.",
        "Upgrade nmm with: python -m pip install --upgrade nmm",
    ]
    assert rows(folder, "SELECT 1 FROM sqlite_schema WHERE name = 'settings'") == []


@openers
@pytest.mark.parametrize("content", [b"a text, and no database\n" * 100, bytes(range(256)) * 32])
def test_a_file_that_is_no_database_is_refused_and_left_alone(
    folder: IndexFolder, opener: Callable[[IndexFolder], None], content: bytes
) -> None:
    folder.path.mkdir()
    folder.catalog.write_bytes(content)
    with pytest.raises(CatalogError) as raised:
        opener(folder)
    assert lines_of(raised.value) == [
        f"The catalog {folder.catalog} cannot be used.",
        "SQLite says: file is not a database",
        "Check that the disk works and has space. To save what is readable: nmm doctor --repair",
    ]
    assert folder.catalog.read_bytes() == content


@openers
def test_a_catalog_that_is_refused_is_not_kept_open(
    folder: IndexFolder, opener: Callable[[IndexFolder], None]
) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("needs /proc")
    open_to_write(folder)
    with closing(sqlite3.connect(folder.catalog)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    with pytest.raises(CatalogError) as raised:
        opener(folder)
    # `raised` keeps objects of the failed call alive.
    files = [link.readlink() for link in descriptors.iterdir() if link.is_symlink()]
    assert [file for file in files if file.is_relative_to(folder.path)] == []
    assert raised.value.what == f"The index in {folder.path} was written by a newer nmm."


def test_opening_to_read_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(CatalogError):
        Catalog.open(tmp_path / "catalog.db")
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_catalog_in_a_folder_that_is_read_only_can_be_read(
    public_path: Path, as_plain_user: Callable[[], AbstractContextManager[None]]
) -> None:
    folder = IndexFolder(public_path / "index")
    with open_for_writing(folder) as writer:
        root, _ = adopt_root(writer, Path("/photos"))
    folder.catalog.chmod(0o444)
    folder.path.chmod(0o555)
    try:
        with as_plain_user(), Catalog.open(folder.catalog) as catalog, catalog.snapshot():
            found = catalog.roots()
    finally:
        folder.path.chmod(0o755)
    assert found == [root]


LEFT = """
import os, signal, sys
from pathlib import Path
from nmm.index.store.layout import IndexFolder
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.writer import open_for_writing

with open_for_writing(IndexFolder(Path(sys.argv[1]))) as writer:
    adopt_root(writer, Path("/photos"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
def test_what_a_killed_writer_left_in_a_folder_that_is_read_only_can_be_read(
    public_path: Path, as_plain_user: Callable[[], AbstractContextManager[None]]
) -> None:
    """For example on a snapshot of a disk: committed rows are in the write-ahead log."""
    folder = IndexFolder(public_path / "index")
    subprocess.run([sys.executable, "-c", LEFT, folder.path], check=False)
    wal = folder.path / "catalog.db-wal"
    assert wal.stat().st_size
    (folder.path / "catalog.db-shm").unlink()
    for path in (folder.catalog, wal):
        path.chmod(0o444)
    folder.path.chmod(0o555)
    before = sorted(folder.path.iterdir())
    try:
        with as_plain_user(), Catalog.open(folder.catalog) as catalog, catalog.snapshot():
            found = catalog.roots()
    finally:
        folder.path.chmod(0o755)
    assert [root.path for root in found] == [Path("/photos")]
    assert sorted(folder.path.iterdir()) == before


@posix
def test_an_index_that_cannot_be_made_says_why(
    public_path: Path, as_plain_user: Callable[[], AbstractContextManager[None]]
) -> None:
    folder = IndexFolder(public_path / "index")
    open_to_write(IndexFolder(public_path / "other"))  # imports modules that this user cannot read
    public_path.chmod(0o555)
    try:
        with as_plain_user(), pytest.raises(CatalogError) as raised:
            open_to_write(folder)
    finally:
        public_path.chmod(0o755)
    assert raised.value.what == f"The index in {folder.path} cannot be written to."
    assert "Permission denied" in raised.value.why
    assert hint_of(raised.value) == (
        "Choose another folder for the index with NMM_INDEX. Or with --index."
    )


# One writer, many readers


def test_a_second_writer_is_refused(folder: IndexFolder) -> None:
    with open_for_writing(folder), pytest.raises(IndexLockedError) as raised:
        open_to_write(folder)
    lines = lines_of(raised.value)
    assert lines[0] == f"Another process is writing to the index in {folder.path}."
    host = re.escape(socket.gethostname())
    since = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(rf"It is process {os.getpid()} on {host}, since {since}\.", lines[1])
    assert lines[2] == "Wait until it is done, and try again. To wait for it, add --wait."
    assert not folder.holder.exists()


def test_a_second_writer_can_wait(folder: IndexFolder) -> None:
    told: list[Holder | None] = []
    wait = Wait(threading.Event(), on_wait=told.append)
    order: list[str] = []

    def second() -> None:
        with open_for_writing(folder, wait):
            order.append("second")

    with open_for_writing(folder):
        thread = threading.Thread(target=second)
        thread.start()
        while not told:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert [one and one.pid for one in told] == [os.getpid()]


def test_waiting_can_be_stopped(folder: IndexFolder) -> None:
    stop = threading.Event()
    wait = Wait(stop, on_wait=lambda _: stop.set())
    with open_for_writing(folder), pytest.raises(StoppedError), open_for_writing(folder, wait):
        pass


def test_the_lock_of_a_process_that_was_killed_is_taken_over(folder: IndexFolder) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from nmm.index.store.layout import IndexFolder\n"
        "from nmm.index.store.catalog.writer import open_for_writing\n"
        "with open_for_writing(IndexFolder(Path(sys.argv[1]))):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, folder.path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert folder.holder.exists(), "it could not tidy up"
    open_to_write(folder)
    assert not folder.holder.exists()


# Catalogs of older releases


def older(folder: IndexFolder) -> None:
    """An index in schema 1, with a text, a content without a file, and no calibration."""
    folder.path.mkdir()
    with closing(sqlite3.connect(folder.catalog)) as connection:
        database = Database(connection)
        migrations.apply(database, stop_before="m002_segments")
        connection.execute("INSERT INTO roots VALUES (1, '/photos', '2026-01-01')")
        for number in (1, 2):
            connection.execute(
                "INSERT INTO contents (id, hash, kind) VALUES (?, ?, 'text')",
                (number, b"%d" % number),
            )
            connection.execute(
                "INSERT INTO chunks VALUES (?, ?, 'text', 1, 2, 'a')", (number, number)
            )
            connection.execute(
                "INSERT INTO vectors VALUES (?, ?)", (number, VECTOR.astype("<f2").tobytes())
            )
        connection.execute("INSERT INTO files VALUES (1, 1, 'a.txt', 1, 2, 'indexed', NULL, 1)")
        connection.execute("INSERT INTO vector_files VALUES ('text', 'text-1.faiss', 1, 1, 1, 1)")
        connection.commit()


def test_an_older_catalog_is_backed_up_and_migrated(folder: IndexFolder) -> None:
    older(folder)
    before = rows(folder, "SELECT * FROM files"), rows(folder, "SELECT * FROM vectors")
    with open_for_reading(folder) as catalog:
        assert catalog.vector_count("text") == 2
        assert read_segments(catalog, "text") == []
        assert fts_problem(catalog) == ""
        for table, word, found in (("passage_words", "a", [1, 2]), ("name_words", "txt", [1])):
            sql = f"SELECT rowid FROM {table} WHERE {table} MATCH ? ORDER BY rowid"
            assert [row for (row,) in catalog.connection.rows(sql, (word,))] == found
    assert (rows(folder, "SELECT * FROM files"), rows(folder, "SELECT * FROM vectors")) == before
    assert rows(folder, "PRAGMA user_version") == [(SCHEMA,)]
    kept = folder.path / "catalog.db.schema-1"
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT name FROM vector_files").fetchall() == [("text-1.faiss",)]
        assert connection.execute("SELECT * FROM files").fetchall() == before[0]
    assert folder.owns(kept)
    with open_for_writing(folder) as writer:
        drop_orphans(writer)
        assert writer.content_id(b"1") is not None
        assert writer.content_id(b"2") is None, "what no file held was known to be loose"


def test_an_older_catalog_that_cannot_be_backed_up_is_not_migrated(folder: IndexFolder) -> None:
    older(folder)
    (folder.path / "catalog.db.schema-1.part").mkdir()
    with pytest.raises(CatalogError):
        open_for_reading(folder)
    assert rows(folder, "PRAGMA user_version") == [(1,)]


def test_the_lock_is_released_after_an_error(folder: IndexFolder) -> None:
    with pytest.raises(KeyboardInterrupt), open_for_writing(folder):
        raise KeyboardInterrupt
    open_to_write(folder)


def test_a_failed_batch_is_rolled_back(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        root, _ = adopt_root(writer, Path("/photos"))
        add_text(writer, root, "kept.txt")
        before = writer.generation()

        def fail() -> None:
            with writer.batch():
                add_text(writer, root, "lost.txt")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
    with Catalog.open(folder.catalog) as catalog:
        assert catalog.generation() == before
        assert catalog.content_id(b"lost.txt") is None
        assert catalog.vector_count() == 1
        assert catalog.file_counts() == {"indexed": 1, "text": 1}


def test_the_generation_grows_with_every_batch(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        root, _ = adopt_root(writer, Path("/photos"))
        first = writer.generation()
        add_text(writer, root, "a.txt")
        add_text(writer, root, "b.txt")
        assert writer.generation() == first + 2


def test_a_new_catalog_has_generation_zero(folder: IndexFolder) -> None:
    open_to_write(folder)
    with Catalog.open(folder.catalog) as catalog:
        assert (catalog.generation(), catalog.settings(), catalog.roots()) == (0, None, [])


def test_a_reader_sees_whole_batches_only(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer, Catalog.open(folder.catalog) as reader:
        with writer.batch():
            number = writer.add_content(Content(b"a", "text"))
            writer.add_chunk(number, "text", ChunkRow(1, 1, "a"), VECTOR)
            meanwhile = reader.vector_count(), reader.content_id(b"a")
        assert meanwhile == (0, None)
        assert (reader.vector_count(), reader.content_id(b"a")) == (1, number)


def test_a_snapshot_is_consistent(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer, Catalog.open(folder.catalog) as reader:
        root, _ = adopt_root(writer, Path("/photos"))
        with reader.snapshot():
            before = reader.generation(), reader.vector_count()
            add_text(writer, root, "a.txt")
            assert (reader.generation(), reader.vector_count()) == before
        assert (reader.generation(), reader.vector_count()) == (before[0] + 1, before[1] + 1)


# Roots


@pytest.mark.parametrize(
    ("known", "adopted", "roots", "relative"),
    [
        ([], "/a", ["/a"], ""),
        (["/a"], "/a", ["/a"], ""),
        (["/a"], "/a/b/c.txt", ["/a"], "b/c.txt"),
        (["/a"], "/ab", ["/a", "/ab"], ""),
        (["/ab"], "/a", ["/a", "/ab"], ""),
        (["/a/b", "/a/c/d", "/e"], "/a", ["/a", "/e"], ""),
        (["/a/b.txt"], "/a", ["/a"], ""),
    ],
)
def test_no_root_lies_below_another(
    folder: IndexFolder, known: list[str], adopted: str, roots: list[str], relative: str
) -> None:
    with open_for_writing(folder) as writer:
        for path in known:
            adopt_root(writer, Path(path))
        root, found = adopt_root(writer, Path(adopted))
        assert found == relative
        assert root in writer.roots()
        assert [known.path for known in writer.roots()] == [Path(path) for path in roots]


def test_a_root_takes_over_the_files_of_roots_below_it(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        inner, _ = adopt_root(writer, Path("/a/b/c"))
        single, _ = adopt_root(writer, Path("/a/single.txt"))
        other, _ = adopt_root(writer, Path("/other"))
        numbers = [
            add_text(writer, inner, "d/x.txt"),
            add_text(writer, single, ""),
            add_text(writer, other, "z.txt"),
        ]
        outer, _ = adopt_root(writer, Path("/a"))
    found = "SELECT root_id, path, content_id FROM files ORDER BY content_id"
    assert rows(folder, found) == [
        (outer.id, "b/c/d/x.txt", numbers[0]),
        (outer.id, "single.txt", numbers[1]),
        (other.id, "z.txt", numbers[2]),
    ]


# What is written is read


def test_settings_are_read_as_written(folder: IndexFolder) -> None:
    settings = Settings("mini", 384, "abc")
    with open_for_writing(folder) as writer:
        writer.set_settings(settings)
    with Catalog.open(folder.catalog) as catalog:
        assert catalog.settings() == settings


@pytest.mark.parametrize("kind", KINDS)
def test_derived_data_is_read_as_written(folder: IndexFolder, kind: Any) -> None:
    with open_for_writing(folder) as writer:
        for n in (1, 2):
            writer.set_calibration(kind, Calibration(0.25 * n, 0.5))
        first, second, third = (
            Segment(f"{n}.faiss", "flat", n, 2, "ab", 3, 0, last_chunk=10 * n) for n in (1, 2, 3)
        )
        replace_segments(writer, kind, [], second)
        replace_segments(writer, kind, [], first)
        replace_segments(writer, kind, [second], third)
    with Catalog.open(folder.catalog) as catalog:
        assert catalog.calibration(kind) == Calibration(0.5, 0.5)
        assert read_segments(catalog, kind) == [first, third]
        (other,) = set(KINDS) - {kind}
        assert (catalog.calibration(other), read_segments(catalog, other)) == (None, [])


def test_a_file_is_read_as_written_and_replaced_in_its_place(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        root, _ = adopt_root(writer, Path("/photos"))
        with writer.batch():
            writer.put_file(root, "a.txt", 1, 2, status="skipped", reason="empty file")
        first = writer.file_row(root, "a.txt")
        assert list(writer.skipped()) == [(str(Path("/photos/a.txt")), "empty file")]
        number = add_text(writer, root, "a.txt")
        second = writer.file_row(root, "a.txt")
        assert writer.file_row(root, "b.txt") is None
    assert first == FileRow(1, 1, 2, "skipped", None)
    assert second == FileRow(1, 1, 2, "indexed", number)


def test_files_and_vectors_are_counted(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        root, _ = adopt_root(writer, Path("/photos"))
        add_text(writer, root, "a.txt", chunks=3)
        add_text(writer, root, "copy.txt", b"a.txt")
        with writer.batch():
            image = writer.add_content(Content(b"i", "image", 640, 480))
            writer.add_chunk(image, "image", ChunkRow(), VECTOR)
            writer.put_file(root, "i.png", 1, 2, status="indexed", content_id=image)
            writer.put_file(root, "s.png", 1, 2, status="skipped", reason="empty file")
            writer.put_file(root, "l.bin", 1, 2, status="left out")
        assert writer.file_counts() == {
            **{"indexed": 3, "skipped": 1, "left out": 1},
            **{"image": 1, "text": 2},
        }
        assert [writer.vector_count(kind) for kind in (None, *KINDS)] == [4, 1, 3]


def test_vectors_are_stored_in_half_precision(folder: IndexFolder) -> None:
    written = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float32)
    written /= np.linalg.norm(written, axis=1, keepdims=True)
    with open_for_writing(folder) as writer, writer.batch():
        number = writer.add_content(Content(b"a", "text"))
        for vector in written:
            writer.add_chunk(number, "text", ChunkRow(1, 1, ""), vector)
    with Catalog.open(folder.catalog) as catalog:
        ids, vectors = map(np.concatenate, zip(*catalog.vectors("text"), strict=True))
        assert list(catalog.vectors("image")) == []
    assert ids.tolist() == list(range(1, 5001))
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, written.astype(np.float16))
    np.testing.assert_allclose(vectors @ written[0], written @ written[0], atol=5e-4)


def test_vectors_after_an_id_and_a_sample_of_them(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer, writer.batch():
        text = writer.add_content(Content(b"t", "text"))
        image = writer.add_content(Content(b"i", "image"))
        for _ in range(6):  # ids of texts are odd, those of images are even
            writer.add_chunk(text, "text", ChunkRow(1, 1, ""), VECTOR)
            writer.add_chunk(image, "image", ChunkRow(), VECTOR)
    with Catalog.open(folder.catalog) as catalog:
        after = [ids.tolist() for ids, _ in catalog.vectors("text", after=5)]
        sampled = [ids.tolist() for ids, _ in catalog.vectors("text", every=2)]
    assert after == [[7, 9, 11]]
    assert sampled == [[3, 7, 11]]


def test_a_hit_is_each_file_that_holds_a_chunk_with_its_cosine(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        root, _ = adopt_root(writer, Path("/photos"))
        single, _ = adopt_root(writer, Path("/single.txt"))
        add_text(writer, root, "a.txt")
        add_text(writer, single, "", b"a.txt")
        with writer.batch():
            image = writer.add_content(Content(b"i", "image", 640, 480, "2020-02-02"))
            writer.add_chunk(image, "image", ChunkRow(), np.array([1, 0], np.float32))
            writer.put_file(root, "i.png", 1, 2, status="indexed", content_id=image)
        hits = writer.hits([1, 2, 99], np.array([1, 0], np.float32))
    cosine = float(np.float16(0.6))
    assert sorted(hits, key=lambda hit: hit.path) == [
        Hit(str(Path("/photos/a.txt")), "text", cosine, 1, 1, "a.txt", None, None, 1, 1, 1),
        Hit(str(Path("/photos/i.png")), "image", 1.0, None, None, None, 640, 480, 2, 2, 3),
        Hit(str(Path("/single.txt")), "text", cosine, 1, 1, "a.txt", None, None, 1, 1, 2),
    ]


# Removal


def test_a_content_is_removed_with_its_last_file(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        root, _ = adopt_root(writer, Path("/photos"))
        add_text(writer, root, "a.txt", chunks=2)
        add_text(writer, root, "copy.txt", b"a.txt")
        assert forget(writer, Path("/photos/a.txt")) == 1
        drop_orphans(writer)
        kept = writer.vector_count()
        assert forget(writer, Path("/photos/copy.txt")) == 1
        drop_orphans(writer)
        assert (kept, writer.vector_count(), writer.content_id(b"a.txt")) == (2, 0, None)


def test_chunk_ids_are_never_reused(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        root, _ = adopt_root(writer, Path("/photos"))
        add_text(writer, root, "a.txt", chunks=3)
        forget(writer, Path("/photos"))
        drop_orphans(writer)
        root, _ = adopt_root(writer, Path("/photos"))
        add_text(writer, root, "b.txt")
    assert rows(folder, "SELECT id FROM chunks") == [(4,)]


def test_files_not_seen_below_a_scope_are_removed(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        root, _ = adopt_root(writer, Path("/photos"))
        for path in ("in/gone.txt", "in/met.txt", "in/unseen/a.txt", "inn/out.txt"):
            add_text(writer, root, path)
    with open_for_writing(folder) as writer:
        (root,) = writer.roots()
        met = writer.file_row(root, "in/met.txt")
        assert met is not None
        writer.mark_seen([met])
        changes = delete_unseen(writer, [(root, "in")], [(root, "in/unseen")])
    assert changes == Changes(moved=0, removed=1)
    assert rows(folder, "SELECT path FROM files ORDER BY path") == [
        ("in/met.txt",),
        ("in/unseen/a.txt",),
        ("inn/out.txt",),
    ]


def test_no_removal_writes_no_batch(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer:
        root, _ = adopt_root(writer, Path("/photos"))
        add_text(writer, root, "a.txt")
        before = writer.generation()
        assert delete_unseen(writer, [(root, "")], []) == Changes(0, 0)
        drop_orphans(writer)
        assert writer.generation() == before
