"""Archives: an exported index can be imported, and files nmm did not write are refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import stat
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import Nmm
from vector_search import nearest_chunks

from nmm.index.common import atomic_files as replace_module
from nmm.index.errors import ArchiveError, NoIndexError, OutputError, UsageError
from nmm.index.maintenance import archive as archive_module
from nmm.index.maintenance import archive_format
from nmm.index.maintenance.archive import ImportResult, export_archive, import_archive
from nmm.index.store.catalog import full_text
from nmm.index.store.catalog import migrations as migrations_module
from nmm.index.store.catalog.reader import SCHEMA, Catalog
from nmm.index.store.catalog.removal import drop_orphans, forget
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.types import KINDS, Calibration, Settings
from nmm.index.store.catalog.vacuum import fts_problem
from nmm.index.store.catalog.writer import CatalogWriter, ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors import segments
from nmm.index.store.vectors.segment_table import read_segments

DIMENSION = 32
VECTORS = 60

Edit = Callable[[sqlite3.Connection], object]


def add_files(
    writer: CatalogWriter, root: Path, count: int = VECTORS, seed: int = 0, name: str = "a"
) -> None:
    """Add files in one batch, alternately images and texts, each with a vector of its own."""
    numbers = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    numbers /= np.linalg.norm(numbers, axis=1, keepdims=True)
    where, _ = adopt_root(writer, root)
    with writer.batch():
        for number, vector in enumerate(numbers):
            kind = KINDS[number % 2]
            content = writer.add_content(Content(f"{name}{number}".encode(), kind, 4, 3))
            chunk = ChunkRow(1, 2, f"Text {number}") if kind == "text" else ChunkRow()
            writer.add_chunk(content, kind, chunk, vector)
            path = f"sub/{name}{number}"
            writer.put_file(where, path, 1, 2, status="indexed", content_id=content)


def fill(folder: IndexFolder, root: Path) -> None:
    """Make an index of 30 images and 30 texts with derived files, and one file that was skipped."""
    with pytest.MonkeyPatch.context() as patch, open_for_writing(folder) as writer:
        patch.setattr(segments, "MIN_SEGMENT_SIZE", 1)
        writer.set_settings(Settings("mini", DIMENSION, "0" * 64))
        add_files(writer, root)
        number, _ = adopt_root(writer, root)
        with writer.batch():
            writer.put_file(number, "broken.png", 1, 2, status="skipped", reason="It is broken.")
        writer.set_calibration("image", Calibration(0.1, 0.2))
        segments.refresh(writer, folder, DIMENSION)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with that index and an archive of it: only to be read."""
    home = tmp_path_factory.mktemp("filled")
    fill(IndexFolder(home / "index"), home / "root")
    export_archive(IndexFolder(home / "index"), home / "index.nmm")
    return home


@pytest.fixture
def root(home: Path) -> Path:
    """The root of that index, which is not there."""
    return home / "root"


@pytest.fixture
def filled(home: Path, folder: IndexFolder, short_tail: None) -> IndexFolder:
    """A copy of that index."""
    shutil.copytree(home / "index", folder.path)
    return folder


@pytest.fixture
def archive(home: Path, tmp_path: Path, short_tail: None) -> Path:
    """A copy of that archive."""
    return Path(shutil.copy(home / "index.nmm", tmp_path))


@pytest.fixture
def target(tmp_path: Path) -> IndexFolder:
    """The destination of an import: neither it nor its parent folder exists yet."""
    return IndexFolder(tmp_path / "new" / "target")


def dump(folder: IndexFolder, *, but: str = "segments") -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of a catalog by table, except derived data."""
    with closing(sqlite3.connect(folder.catalog)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
            if name != "loose"
            else connection.execute("SELECT * FROM loose").fetchall()
            for (name,) in tables.fetchall()
            if name
            not in {but, *full_text.SHADOWS, *(table.name for table in full_text.WORD_TABLES)}
        }


def nearest(folder: IndexFolder, query: NDArray[np.float32]) -> list[list[int]]:
    with Catalog.open(folder.catalog) as catalog:
        return [nearest_chunks(catalog, folder, kind, query, 10) for kind in KINDS]


# Round trip


def test_an_import_equals_its_export(
    filled: IndexFolder, archive: Path, target: IndexFolder, root: Path
) -> None:
    done = import_archive(archive, target)
    assert dump(target) == dump(filled)
    assert len(dump(target)["vectors"]) == VECTORS
    query = np.random.default_rng(9).normal(size=DIMENSION).astype(np.float32)
    assert nearest(target, query) == nearest(filled, query)
    assert done == ImportResult(str(target.path), done.manifest, [str(root)], [str(root)])


def test_an_index_that_was_compacted_can_be_imported(
    filled: IndexFolder, target: IndexFolder, tmp_path: Path
) -> None:
    """SQLite then keeps statistics in a table of its own, which no migration creates."""
    with open_for_writing(filled) as writer:
        writer.connection.execute("ANALYZE")
    assert "sqlite_stat1" in dump(filled)
    export_archive(filled, tmp_path / "index.nmm")
    import_archive(tmp_path / "index.nmm", target)
    assert len(dump(target)["vectors"]) == VECTORS
    assert "sqlite_stat1" not in dump(target)


def test_derived_data_is_rebuilt_on_import(archive: Path, target: IndexFolder) -> None:
    import_archive(archive, target)
    with Catalog.open(target.catalog) as catalog:
        named = {segment.name for kind in KINDS for segment in read_segments(catalog, kind)}
    assert named == {path.name for path in target.vectors.iterdir()}
    assert len(named) == 2
    assert sorted(path.name for path in target.path.iterdir() if path.is_dir()) == ["vectors"]


def test_an_existing_root_is_not_reported_missing(
    folder: IndexFolder, target: IndexFolder, tmp_path: Path
) -> None:
    fill(folder, tmp_path / "root")
    export_archive(folder, tmp_path / "index.nmm")
    (tmp_path / "root").mkdir()
    assert import_archive(tmp_path / "index.nmm", target).away == []


def test_an_archive_is_a_manifest_and_a_catalog_without_derived_data(
    archive: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist() == ["manifest.json", "catalog.db"]
        assert opened.testzip() is None
        manifest = json.loads(opened.read("manifest.json"))
        data = opened.read("catalog.db")
    assert manifest == {
        "format": 1,
        "nmm": manifest["nmm"],
        "schema": SCHEMA,
        "model": "mini",
        "dimension": DIMENSION,
        "weights": "0" * 64,
        "files": 60,
        "images": 30,
        "texts": 30,
        "vectors": 60,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    (tmp_path / "copy.db").write_bytes(data)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("SELECT count(*) FROM segments").fetchone() == (0,)


def test_removed_files_are_not_in_an_archive(
    filled: IndexFolder, root: Path, tmp_path: Path
) -> None:
    with open_for_writing(filled) as writer:
        secret = "a secret of some length " * 200
        number, _ = adopt_root(writer, root)
        with writer.batch():
            content = writer.add_content(Content(b"secret", "text"))
            vector = np.ones(DIMENSION, np.float32)
            writer.add_chunk(content, "text", ChunkRow(1, 1, secret), vector)
            writer.put_file(number, "s", 1, 2, status="indexed", content_id=content)
    with open_for_writing(filled) as writer:
        forget(writer, root / "s")
        drop_orphans(writer)
    with closing(sqlite3.connect(filled.catalog)) as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone() > (0,)
    export_archive(filled, tmp_path / "clean.nmm")
    assert b"a secret of some length" not in (tmp_path / "clean.nmm").read_bytes()


def test_an_older_schema_is_brought_up_to_date(tmp_path: Path, target: IndexFolder) -> None:
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old)) as connection:
        make_first_schema(connection)
        connection.executescript(
            "INSERT INTO settings VALUES ('model', 'mini'), ('dimension', 2), ('weights', '0');"
            "INSERT INTO roots VALUES (1, '/root', 'now');"
            "INSERT INTO contents VALUES (1, x'00', 'text', NULL, NULL, NULL);"
            "INSERT INTO files VALUES (1, 1, 'a', 1, 2, 'indexed', NULL, 1);"
            "INSERT INTO chunks VALUES (1, 1, 'text', 1, 1, 'A');"
            "INSERT INTO vectors VALUES (1, x'0038003a');"
        )
    counts = {"files": 1, "images": 0, "texts": 1, "vectors": 1}
    about = {"schema": 1, "model": "mini", "dimension": 2, "weights": "0", **counts}
    pack(tmp_path / "old.nmm", old.read_bytes(), about)
    import_archive(tmp_path / "old.nmm", target)
    found = dump(target)
    assert found["files"] == [(1, 1, "a", 1, 2, "indexed", None, 1)]
    assert found["vectors"] == [(1, b"\x00\x38\x00\x3a")]
    with closing(sqlite3.connect(target.catalog)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    assert not list(target.path.glob("*schema-1*"))


def make_first_schema(connection: sqlite3.Connection) -> None:
    from sqlite_utils import Database

    later = [step.name for step in migrations_module.migrations._migrations[1:]]
    migrations_module.migrations.apply(Database(connection), stop_before=later)
    connection.commit()


# Exporting


def test_an_export_excludes_an_uncommitted_batch(
    filled: IndexFolder, target: IndexFolder, root: Path, tmp_path: Path, nmm: Nmm
) -> None:
    before = dump(filled)
    with open_for_writing(filled) as writer:
        with writer.batch():
            # Enough rows that uncommitted ones are already in the write-ahead log.
            writer.connection.execute("PRAGMA cache_size = 10")
            add_files(writer, root, 500, seed=1, name="b")
            log = filled.catalog.with_name("catalog.db-wal").stat().st_size
            during = nmm("export", "during.nmm", "--json")
        after = export_archive(filled, tmp_path / "after.nmm")
    assert log > 10 * 4096
    assert json.loads(during.stdout)["files"] == VECTORS
    assert after.files == VECTORS + 500
    import_archive(tmp_path / "during.nmm", target)
    assert dump(target) == before


def test_an_existing_file_is_replaced_by_a_complete_one_only(
    filled: IndexFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out" / "index.nmm"
    file.parent.mkdir()
    file.write_text("old")

    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(replace_module, "fsync_path", fail)
        with pytest.raises(OutputError, match="No space left on device"):
            export_archive(filled, file)
    assert {path.name: path.read_text() for path in file.parent.iterdir()} == {"index.nmm": "old"}
    export_archive(filled, file)
    assert [path.name for path in file.parent.iterdir()] == ["index.nmm"]
    assert zipfile.is_zipfile(file)


def test_files_of_the_index_are_not_overwritten(filled: IndexFolder, tmp_path: Path) -> None:
    whole = filled.catalog.read_bytes()
    link = tmp_path / "link"
    link.symlink_to(filled.path)
    for name in (filled.catalog, link / "catalog.db", link / "write.lock"):
        with pytest.raises(UsageError, match="part of the index itself"):
            export_archive(filled, name)
    assert filled.catalog.read_bytes() == whole


def test_a_folder_and_a_device_are_not_replaced(filled: IndexFolder, tmp_path: Path) -> None:
    for name in (tmp_path, Path(os.devnull)):
        with pytest.raises(UsageError, match="cannot be written"):
            export_archive(filled, name)
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_without_an_index_nothing_is_exported(folder: IndexFolder, tmp_path: Path) -> None:
    with pytest.raises(NoIndexError):
        export_archive(folder, tmp_path / "index.nmm")
    with open_for_writing(folder):
        pass
    with pytest.raises(NoIndexError, match="is empty"):
        export_archive(folder, tmp_path / "index.nmm")
    assert not (tmp_path / "index.nmm").exists()


# What is refused


def parts(archive: Path) -> tuple[dict[str, Any], bytes]:
    with zipfile.ZipFile(archive) as opened:
        return json.loads(opened.read("manifest.json")), opened.read("catalog.db")


def pack(file: Path, catalog: bytes, manifest: dict[str, Any]) -> None:
    """Write an archive whose manifest matches its catalog, except for the given values."""
    true = {
        "format": 1,
        "nmm": "0.1.0",
        "bytes": len(catalog),
        "sha256": hashlib.sha256(catalog).hexdigest(),
    }
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("manifest.json", json.dumps({**true, **manifest}))
        packed.writestr("catalog.db", catalog)


def refused(file: Path, target: IndexFolder, why: str) -> None:
    """Check that an import fails with this reason and leaves nothing, even in an old folder."""
    with pytest.raises(ArchiveError) as raised:
        import_archive(file, target)
    assert why in raised.value.why
    assert not target.path.parent.exists()
    there = IndexFolder(target.path.parent.parent / "there")
    there.path.mkdir()
    (there.path / "kept").touch()
    with pytest.raises(ArchiveError):
        import_archive(file, there)
    assert [path.name for path in there.path.iterdir()] == ["kept"]


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    "name",
    ["evil", "/etc/passwd", "../evil", "catalog.db/", "C:\\evil", "./catalog.db", "Catalog.db"],
)
def test_another_member_is_refused(archive: Path, target: IndexFolder, name: str) -> None:
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(name, "")
    refused(archive, target, "What is in it is not manifest.json and catalog.db, but: ")


@pytest.mark.parametrize("name", ["/catalog.db", "../catalog.db", "catalog.db\0evil", "vectors"])
def test_a_catalog_of_another_name_is_refused(
    archive: Path, target: IndexFolder, name: str
) -> None:
    manifest, catalog = parts(archive)
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("manifest.json", json.dumps(manifest))
        packed.writestr("catalog.dbXevil" if "\0" in name else name, catalog)
    if "\0" in name:
        archive.write_bytes(archive.read_bytes().replace(b"catalog.dbXevil", name.encode()))
    refused(archive, target, "What is in it is not manifest.json and catalog.db, but: ")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["manifest.json", "catalog.db"])
def test_a_duplicate_member_is_refused(archive: Path, target: IndexFolder, name: str) -> None:
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(name, "")
    refused(archive, target, "What is in it is not")


@pytest.mark.parametrize("missing", ["manifest.json", "catalog.db", "both"])
def test_a_missing_member_is_refused(archive: Path, target: IndexFolder, missing: str) -> None:
    manifest, catalog = parts(archive)
    with zipfile.ZipFile(archive, "w") as packed:
        if missing == "catalog.db":
            packed.writestr("manifest.json", json.dumps(manifest))
        elif missing == "manifest.json":
            packed.writestr("catalog.db", catalog)
    refused(archive, target, "What is in it is not")


@pytest.mark.parametrize("which", ["manifest.json", "catalog.db"])
def test_a_link_is_refused(archive: Path, target: IndexFolder, which: str) -> None:
    manifest, catalog = parts(archive)
    contents = {"manifest.json": json.dumps(manifest).encode(), "catalog.db": catalog}
    with zipfile.ZipFile(archive, "w") as packed:
        for name, data in contents.items():
            packed.writestr(link(name) if name == which else name, data)
    refused(archive, target, f"Its {which} is not a file, but a link or the like.")


def test_an_encrypted_member_is_refused(archive: Path, target: IndexFolder) -> None:
    data = bytearray(archive.read_bytes())
    central = data.rindex(b"PK\1\2")
    data[central + 8] |= 1
    archive.write_bytes(data)
    refused(archive, target, "Its catalog.db is encrypted.")


def test_another_compression_method_is_refused(archive: Path, target: IndexFolder) -> None:
    manifest, catalog = parts(archive)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("manifest.json", json.dumps(manifest), zipfile.ZIP_STORED)
        packed.writestr("catalog.db", catalog)
    refused(archive, target, "Its catalog.db is packed in a way that nmm does not use.")


def test_a_compressed_catalog_can_be_imported(archive: Path, target: IndexFolder) -> None:
    manifest, catalog = parts(archive)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("manifest.json", json.dumps(manifest))
        packed.writestr("catalog.db", catalog)
    assert import_archive(archive, target).manifest.vectors == VECTORS


def test_a_zip_bomb_is_stopped_at_its_declared_size(
    archive: Path, target: IndexFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty million zeros, declared as a few in the manifest and in the zip's directory."""
    manifest, catalog = parts(archive)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("manifest.json", json.dumps(manifest))
        packed.writestr("catalog.db", bytes(50_000_000))
    data = bytearray(archive.read_bytes())
    central = data.rindex(b"PK\1\2")
    data[central + 24 : central + 28] = len(catalog).to_bytes(4, "little")
    archive.write_bytes(data)
    largest = 0
    unpack = archive_module.unpack

    def watched(opened: zipfile.ZipFile, file: Path) -> Any:
        nonlocal largest
        try:
            return unpack(opened, file)
        finally:
            largest = max(largest, file.stat().st_size)

    monkeypatch.setattr(archive_module, "unpack", watched)
    monkeypatch.setattr(archive_format, "BLOCK_SIZE", 4096)
    refused(archive, target, "")
    assert 0 < largest <= len(catalog)


@pytest.mark.parametrize("more", [-1, 1, 10**15])
def test_a_wrong_size_is_refused(archive: Path, target: IndexFolder, more: int) -> None:
    manifest, catalog = parts(archive)
    pack(archive, catalog, {**manifest, "bytes": len(catalog) + more})
    refused(archive, target, "Its catalog is not as long as its manifest says.")


def test_an_import_without_enough_disk_space_is_not_started(
    archive: Path, target: IndexFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(archive.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OutputError, match="There is not enough space on the disk for the index"):
        import_archive(archive, target)
    assert not target.path.parent.exists()


def test_a_wrong_hash_is_refused(archive: Path, target: IndexFolder) -> None:
    manifest, catalog = parts(archive)
    pack(archive, catalog[:-1] + b"x", manifest)
    refused(archive, target, "Its catalog is not the one that its manifest names.")


def test_a_truncated_or_corrupted_archive_is_refused(
    filled: IndexFolder, archive: Path, target: IndexFolder, tmp_path: Path
) -> None:
    whole = archive.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        archive.write_bytes(whole[:length])
        with pytest.raises(ArchiveError):
            import_archive(archive, target)
    # The structures of the zip itself, including its names, and some places in the catalog.
    words = [*range(0, 80, 3), *range(300, 700, 9), *range(700, len(whole), 9999)]
    accepted = []
    for place in [*words, *range(len(whole) - 200, len(whole), 3)]:
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        archive.write_bytes(changed)
        try:
            import_archive(archive, IndexFolder(tmp_path / "any" / str(place)))
        except ArchiveError:
            assert not (tmp_path / "any" / str(place)).exists()
        else:
            accepted.append(place)
    # Dates and versions do not matter: the index then equals the exported one.
    for place in accepted:
        assert dump(IndexFolder(tmp_path / "any" / str(place))) == dump(filled)


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b"[]", "does not say which form"),
        (b'{"format": true}', "does not say which form"),
        (b'{"format": 2}', "Its form is number 2; this nmm knows up to 1."),
        (b'{"format": 1}', "says other things"),
        (b" " * 70_000, "far too long"),
    ],
)
def test_an_invalid_manifest_is_refused(
    archive: Path, target: IndexFolder, manifest: bytes, why: str
) -> None:
    catalog = parts(archive)[1]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("manifest.json", manifest)
        packed.writestr("catalog.db", catalog)
    refused(archive, target, why)


@pytest.mark.parametrize(
    "change",
    [
        {"files": 61},
        {"vectors": 59},
        {"images": 31, "texts": 29},
        {"model": "nomic-v1.5"},
        {"dimension": 64},
        {"weights": "1"},
        {"schema": 1},
        {"dimension": "32"},
        {"more": 1},
    ],
)
def test_a_manifest_that_contradicts_the_catalog_is_refused(
    archive: Path, target: IndexFolder, change: dict[str, Any]
) -> None:
    manifest, catalog = parts(archive)
    pack(archive, catalog, {**manifest, **change})
    refused(archive, target, "Its manifest says other things than")


def edited(archive: Path, edit: Edit) -> None:
    """Change the catalog in an archive, and update its manifest."""
    manifest, catalog = parts(archive)
    database = archive.with_suffix(".db")
    database.write_bytes(catalog)
    with closing(sqlite3.connect(database)) as connection:
        edit(connection)
        connection.commit()
    for name in ("bytes", "sha256"):
        del manifest[name]
    pack(archive, database.read_bytes(), manifest)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER evil AFTER INSERT ON files BEGIN DELETE FROM roots; END",
        "CREATE VIEW evil AS SELECT 1",
        "CREATE TABLE evil (x)",
        "CREATE INDEX evil ON files (reason)",
        "CREATE VIRTUAL TABLE evil USING fts5 (x)",
        # Full-text tables as nmm creates them: their FTS5 content is not trusted.
        "CREATE VIRTUAL TABLE name_words USING fts5 (name, "
        "tokenize = 'unicode61 remove_diacritics 2')",
        ";".join(full_text.DEFINITIONS.values()),
        "DROP TRIGGER files_end",
        "ALTER TABLE files ADD COLUMN evil",
        "ALTER TABLE segments RENAME COLUMN form TO evil",
        "DROP TABLE mounts; CREATE VIEW mounts AS SELECT 1 AS root_id, '' AS path",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = 1",
        "PRAGMA user_version = -1",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema "
        "SET sql = replace(sql, 'added_at TEXT NOT NULL', 'added_at TEXT') WHERE name = 'roots'",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE nonsense' "
        "WHERE name = 'roots'",
    ],
)
def test_a_schema_that_nmm_does_not_make_is_refused(
    archive: Path, target: IndexFolder, sql: str
) -> None:
    edited(archive, lambda connection: connection.executescript(sql))
    why = "malformed" if "nonsense" in sql else "Its catalog has other tables than nmm makes."
    refused(archive, target, why)


def test_an_archive_holds_no_tables_of_words_and_an_import_makes_them(
    filled: IndexFolder, archive: Path, target: IndexFolder
) -> None:
    catalog = parts(archive)[1]
    tables = [table.name for table in full_text.WORD_TABLES]
    assert not [name for name in (*tables, *full_text.TRIGGERS) if name.encode() in catalog]
    assert archive.stat().st_size < filled.catalog.stat().st_size
    import_archive(archive, target)
    with Catalog.open(target.catalog) as imported:
        assert fts_problem(imported) == ""
        sql = "SELECT count(*) FROM name_words WHERE name_words MATCH 'sub'"
        assert imported.connection.scalar(sql) == VECTORS


def test_a_newer_schema_is_refused(archive: Path, target: IndexFolder) -> None:
    edited(archive, lambda connection: connection.execute("PRAGMA user_version = 99"))
    refused(archive, target, f"Its schema is number 99; this nmm knows up to {SCHEMA}.")


NAN = np.full(DIMENSION, np.nan, "<f2").tobytes().hex()


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("UPDATE files SET path = '/etc/passwd' WHERE id = 1", "leads out of its root"),
        ("UPDATE files SET path = '../a' WHERE id = 1", "leads out of its root"),
        ("UPDATE files SET path = 'a/..' WHERE id = 1", "leads out of its root"),
        ("UPDATE files SET path = 'a//b' WHERE id = 1", "leads out of its root"),
        ("UPDATE files SET path = 'a' || char(0) || 'b' WHERE id = 1", "leads out of its root"),
        ("UPDATE files SET path = x'61' WHERE id = 1", "wrong type: files.path"),
        ("UPDATE files SET path = CAST(x'ff' AS TEXT) WHERE id = 1", "UTF-8"),
        ("UPDATE chunks SET text = CAST(x'ff' AS TEXT) WHERE id = 2", "UTF-8"),
        ("UPDATE files SET size = 'big' WHERE id = 1", "wrong type: files.size"),
        ("UPDATE roots SET path = 'root'", "not an absolute path"),
        ("UPDATE roots SET path = '/a/../b'", "not an absolute path"),
        ("UPDATE roots SET path = '/a' || char(0)", "not an absolute path"),
        (
            "INSERT INTO segments VALUES ('../../evil', 'text', 'flat', 1, 2, '', 1, 0, 9)",
            "it names derived files",
        ),
        ("PRAGMA foreign_keys = OFF; DELETE FROM roots", "belongs to one that is not there"),
        (
            "PRAGMA ignore_check_constraints = ON; UPDATE files SET status = 'evil' WHERE id = 1",
            "CHECK constraint failed in files",
        ),
        ("UPDATE vectors SET vector = x'00' WHERE chunk_id = 1", "another dimension"),
        (f"UPDATE vectors SET vector = x'{NAN}' WHERE chunk_id = 1", "not made of numbers"),
        ("UPDATE vectors SET vector = 'text' WHERE chunk_id = 1", "wrong type: vectors.vector"),
        ("DELETE FROM vectors WHERE chunk_id = 1", "a chunk has no vector"),
        ("UPDATE chunks SET modality = 'image'", "of another kind than its content"),
        ("UPDATE chunks SET modality = 'evil'", "of another kind than its content"),
        ("UPDATE scales SET kind = 'evil'", "A kind in its catalog is unknown"),
        ("UPDATE scales SET unit = 0", "a scale is beyond what cosines have"),
        ("UPDATE scales SET centre = 9e999", "a scale is beyond what cosines have"),
        (
            "PRAGMA foreign_keys = OFF; UPDATE chunks SET id = 1 << 60 WHERE id = 1; "
            "UPDATE vectors SET chunk_id = 1 << 60 WHERE chunk_id = 1",
            "beyond all measure",
        ),
        ("UPDATE sqlite_sequence SET seq = 1 << 60", "beyond all measure"),
        ("UPDATE sqlite_sequence SET seq = 'x'", "a counter is not a number"),
        ("DELETE FROM settings WHERE key = 'model'", "does not say which model"),
        ("UPDATE settings SET value = '32' WHERE key = 'dimension'", "wrong type: dimension"),
        ("UPDATE settings SET value = 0 WHERE key = 'dimension'", "does not say which model"),
        ("UPDATE settings SET value = 'x' WHERE key = 'generation'", "wrong type: generation"),
        ("DELETE FROM _sqlite_migrations", "already exists"),
    ],
)
def test_an_invalid_row_is_refused(archive: Path, target: IndexFolder, sql: str, why: str) -> None:
    edited(archive, lambda connection: connection.executescript(sql))
    refused(archive, target, why)


def test_a_catalog_whose_pages_are_damaged_is_refused(archive: Path, target: IndexFolder) -> None:
    manifest, catalog = parts(archive)
    page = 4096
    changed = bytearray(catalog)
    changed[-page:] = bytes(range(256)) * (page // 256)
    pack(archive, bytes(changed), {k: v for k, v in manifest.items() if k != "sha256"})
    refused(archive, target, "SQLite says: ")


@pytest.mark.parametrize("data", [b"", b"SQLite format 3\0", b"not a database" * 400])
def test_a_catalog_that_is_no_database_is_refused(
    archive: Path, target: IndexFolder, data: bytes
) -> None:
    manifest = parts(archive)[0]
    pack(archive, data, {k: v for k, v in manifest.items() if k not in {"bytes", "sha256"}})
    refused(archive, target, "")


# Where it goes


@pytest.mark.parametrize("name", ["catalog.db", "catalog.db-wal", "catalog.db.schema-1"])
def test_an_existing_index_is_not_replaced(archive: Path, target: IndexFolder, name: str) -> None:
    target.path.mkdir(parents=True)
    (target.path / name).write_bytes(b"kept")
    with pytest.raises(UsageError, match="already holds an index"):
        import_archive(archive, target)
    assert {path.name: path.read_bytes() for path in target.path.iterdir()} == {name: b"kept"}


def test_an_index_created_meanwhile_is_not_replaced(
    archive: Path, target: IndexFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = archive_module._refuse_existing

    def make(folder: IndexFolder) -> None:
        check(folder)
        if folder.path.exists():
            folder.catalog.write_bytes(b"kept")

    monkeypatch.setattr(archive_module, "_refuse_existing", make)
    with pytest.raises(UsageError, match="already holds an index"):
        import_archive(archive, target)
    assert [path.name for path in target.path.iterdir()] == ["catalog.db"]
    assert target.catalog.read_bytes() == b"kept"


def test_other_files_in_the_folder_stay(archive: Path, target: IndexFolder) -> None:
    target.path.mkdir(parents=True)
    (target.path / "mine").write_text("mine")
    import_archive(archive, target)
    assert (target.path / "mine").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_only_a_file_can_be_imported(target: IndexFolder, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", ".", "pipe"):
        with pytest.raises(UsageError):
            import_archive(tmp_path / name, target)
    assert not target.path.parent.exists()


# The commands


def test_an_exported_index_answers_as_before(nmm: Nmm, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in ("tea", "piano", "bicycle", "snow"):
        (notes / f"{name}.txt").write_text(f"A note about {name}.")
    assert nmm("index", "--model", "mini", notes).returncode == 0
    before = nmm("search", "music", "--json")
    done = nmm("export", "index.nmm")
    size = (tmp_path / "index.nmm").stat().st_size
    said = "Exported 4 files (0 images, 4 texts) and 4 vectors to index.nmm"
    assert (done.stdout, done.stderr) == (f"{said}, {size / 1e6:.1f} MB.\n", "")
    kept = nmm("import", "index.nmm")
    assert (kept.returncode, kept.stdout) == (2, "")
    other = tmp_path / "other"
    done = nmm("import", "index.nmm", "--index", other)
    said = f"Imported 4 files (0 images, 4 texts) of the model mini into {other}.\n"
    assert (done.stdout, done.stderr) == (said, "")
    assert nmm("search", "music", "--json", "--index", other).stdout == before.stdout
    again = nmm("index", "--index", other, notes, "--json")
    assert json.loads(again.stdout)["unchanged"] == 4


def test_missing_roots_are_reported(nmm: Nmm, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "tea.txt").write_text("A note about tea.")
    nmm("index", "--model", "mini", notes)
    exported = json.loads(nmm("export", "index.nmm", "--json").stdout)
    assert exported == {
        "file": "index.nmm",
        "format": "archive",
        "files": 1,
        "images": 0,
        "texts": 1,
        "vectors": 1,
        "bytes": (tmp_path / "index.nmm").stat().st_size,
    }
    notes.rename(tmp_path / "moved")
    done = nmm("import", "index.nmm", "--index", "other")
    assert done.returncode == 0
    assert done.stderr == (
        f"Not on this machine: {notes}\nTell nmm where they are now: nmm roots move OLD NEW\n"
    )
    row = json.loads(nmm("import", "index.nmm", "--index", "third", "--json").stdout)
    assert (row["index"], row["roots"], row["away"], row["files"], row["model"]) == (
        str(tmp_path / "third"),
        [str(notes)],
        [str(notes)],
        1,
        "mini",
    )


def test_a_refused_import_gives_a_reason_and_leaves_no_files(nmm: Nmm, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.nmm", "w") as packed:
        packed.writestr("../evil\n", "")
    done = nmm("import", "evil.nmm")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        "nmm: No export of nmm made this archive. Nothing was imported.\n"
        "What is in it is not manifest.json and catalog.db, but: ../evil\\n.\n"
        "Export the index again. To export it: nmm export FILE\n"
    )
    assert not (tmp_path / "index").exists()
    assert not (tmp_path.parent / "evil\n").exists()
