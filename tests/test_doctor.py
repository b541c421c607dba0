"""The doctor: what it finds in damaged indexes, and their state after a repair."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import numpy as np
import pytest
import searching
from PIL import Image
from support import Nmm

from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import CatalogError, IndexLockedError, NoIndexError
from nmm.index.indexing import indexer as build_module
from nmm.index.indexing.indexer import build
from nmm.index.maintenance.doctor import doctor
from nmm.index.maintenance.index_checks import CHECKS, Finding
from nmm.index.search import engine as search_module
from nmm.index.store.catalog.connection import VECTOR_DTYPE
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.removal import drop_orphans, forget
from nmm.index.store.catalog.types import KINDS, Kind
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors import faiss_files, segments
from nmm.index.store.vectors.segment_table import Segment, read_segments, replace_segments

PAGE = 4096
TEXTS = 60
IMAGES = 12
DIMENSION = 384


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, mini: OnnxEncoder) -> tuple[Path, IndexFolder]:
    """Sixty notes and twelve images, and their index with search files. Read-only."""
    home = tmp_path_factory.mktemp("whole").resolve()
    root = home / "root"
    root.mkdir()
    words = ["tea", "river", "engine", "violin", "winter", "market", "cloud", "garden", "ship"]
    for n in range(TEXTS):
        said = f"{words[n % 9]} and {words[n // 9]}, said number {n}. "
        (root / f"note {n:02}.txt").write_text(said * 3)
    for n in range(IMAGES):
        Image.new("RGB", (64, 64), (20 * n, 255 - 20 * n, 128)).save(root / f"{n:02}.png")
    folder = IndexFolder(home / "index")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "MIN_SEGMENT_SIZE", 1)
        patch.setattr(build_module, "load_encoder", lambda *_, **__: mini)
        patch.setattr(build_module, "prepare", lambda *_, **__: None)
        build([root], folder, model="mini")
    return root, folder


@pytest.fixture
def index(
    whole: tuple[Path, IndexFolder],
    tmp_path: Path,
    mini: OnnxEncoder,
    short_tail: None,
    monkeypatch: pytest.MonkeyPatch,
) -> IndexFolder:
    """A copy of that index, to be damaged."""
    for module in (build_module, search_module):
        monkeypatch.setattr(module, "load_encoder", lambda *_, **__: mini)
    monkeypatch.setattr(build_module, "prepare", lambda *_, **__: None)
    return IndexFolder(Path(shutil.copytree(whole[1].path, tmp_path / "index")))


def answers(folder: IndexFolder) -> list[tuple[str, float]]:
    """Return the results of two queries, with scores rounded against re-embedding errors."""
    with search_module.open_search(folder) as search:
        return [
            (result.path, round(result.score, 3))
            for query in ("tea in winter", "a green picture")
            for result in sorted(searching.find(search, query, 200), key=lambda result: result.path)
        ]


def wrong(folder: IndexFolder) -> dict[str, str]:
    """Return the problems that the doctor finds, by check."""
    report = doctor(folder)
    found = {finding.check: finding.found for finding in report.findings if not finding.ok}
    assert report.sound == (not found)
    return found


def repaired(folder: IndexFolder) -> dict[str, Finding]:
    """Repair; return the repaired problems, by check, and check that none is left."""
    report = doctor(folder, repair=True)
    assert report.sound, report.findings
    assert wrong(folder) == {}
    return {finding.check: finding for finding in report.findings if finding.repaired}


def change(folder: IndexFolder, *statements: str) -> None:
    """Change the catalog in a way that nmm never does."""
    with closing(sqlite3.connect(folder.catalog, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for name in ("contents_begin", "contents_end", "files_end", "files_change"):
            sql = f"SELECT sql FROM sqlite_schema WHERE name = '{name}'"
            (trigger,) = connection.execute(sql).fetchone()
            connection.execute(f"DROP TRIGGER {name}")
            statements = (*statements, trigger)
        for statement in statements:
            connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def ask(folder: IndexFolder, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder.catalog)) as connection:
        return connection.execute(sql).fetchall()


def segment(folder: IndexFolder, kind: Kind) -> Segment:
    with Catalog.open(folder.catalog) as catalog:
        (found,) = read_segments(catalog, kind)
    return found


def test_a_sound_index_has_no_problems_and_is_not_changed(index: IndexFolder) -> None:
    before = {path: path.read_bytes() for path in index.vectors.iterdir()}
    catalog = index.catalog.read_bytes()
    for repair in (False, True):
        report = doctor(index, repair=repair)
        assert report.sound
        assert [(finding.check, finding.found) for finding in report.findings] == [
            ("catalog", "schema 5"),
            ("integrity", "SQLite finds nothing wrong"),
            ("references", "no dangling references"),
            ("rows", "no rows contradict each other"),
            ("settings", f"mini, {DIMENSION} dimensions"),
            ("vectors", f"{TEXTS + IMAGES} vectors, finite and of unit length"),
            ("words", "the full-text tables match the catalog"),
            ("search files", "2 files, consistent with the catalog"),
            ("leftovers", "none"),
            ("disk", f"{TEXTS + IMAGES} files unchanged"),
        ]
        assert not any(finding.hint or finding.repaired for finding in report.findings)
    assert {path: path.read_bytes() for path in index.vectors.iterdir()} == before
    assert index.catalog.read_bytes() == catalog


# Vectors

HALVES = {
    "of another dimension": np.full(DIMENSION - 1, DIMENSION**-0.5),
    "not finite": np.full(DIMENSION, np.nan),
    "not of unit length": np.full(DIMENSION, 1.1 * DIMENSION**-0.5),
}


@pytest.mark.parametrize("fault", HALVES)
def test_invalid_vectors_are_dropped_and_embedded_again(index: IndexFolder, fault: str) -> None:
    expected = answers(index)
    blob = HALVES[fault].astype(VECTOR_DTYPE).tobytes().hex()
    change(index, f"UPDATE vectors SET vector = x'{blob}' WHERE chunk_id IN (3, 40)")
    found = wrong(index)
    assert found.pop("vectors") == f"of {TEXTS + IMAGES} vectors, 2 {fault}"
    assert set(found) <= {"search files"}, "what holds the vectors as they were"
    done = repaired(index)
    assert done["vectors"].hint == (
        "2 contents and 2 rows of files were dropped; "
        "the next indexing run embeds these files again."
    )
    assert build([], index).added == 2
    assert answers(index) == expected


def test_rounding_to_half_precision_is_no_damage(index: IndexFolder) -> None:
    """All components are off by the largest possible rounding error, in one direction."""
    largest = np.float16(DIMENSION**-0.5)
    off = np.full(DIMENSION, np.nextafter(largest, np.float16(1)))
    change(index, f"UPDATE vectors SET vector = x'{off.tobytes().hex()}' WHERE chunk_id = 3")
    assert "vectors" not in wrong(index)


# Rows


@pytest.mark.parametrize(
    ("statement", "found", "added"),
    [
        (
            "DELETE FROM vectors WHERE chunk_id IN (3, 4)",
            {"rows": "2 times: chunk without a vector"},
            2,
        ),
        (
            "DELETE FROM chunks WHERE id = 5",
            {
                "references": "1 row of vectors with dangling references",
                "rows": "1 times: content without chunks",
            },
            1,
        ),
        (
            "DELETE FROM contents WHERE id = 7",
            {
                "references": "1 row of files, 1 row of chunks with dangling references",
                "rows": "1 times: indexed file without content",
            },
            1,
        ),
        (
            "UPDATE chunks SET modality = 'image' WHERE id = (SELECT max(id) FROM chunks "
            "WHERE modality = 'text')",
            {"rows": "1 times: chunk of another kind than its content"},
            1,
        ),
        (
            "UPDATE chunks SET text = CAST(x'636166e9' AS TEXT) WHERE id = 3",
            {"rows": "1 times: text that is not UTF-8"},
            1,
        ),
        (
            "UPDATE files SET path = CAST(x'636166e9' AS TEXT) WHERE id = 3",
            {
                "rows": "1 times: file name that is not UTF-8",
                "disk": "SQLite says: Could not decode to UTF-8 column 'path' "
                "with text 'caf\ufffd'",
            },
            1,
        ),
        (
            "DELETE FROM files WHERE id = 9",
            {"rows": "1 times: content that no file holds and nothing drops"},
            1,
        ),
        (
            "UPDATE scales SET unit = 0 WHERE kind = 'text'",
            {"rows": "1 times: scale without a unit"},
            0,
        ),
    ],
)
def test_contradictory_rows_are_dropped_and_indexed_again(
    index: IndexFolder, statement: str, found: dict[str, str], added: int
) -> None:
    expected = answers(index)
    change(index, statement)
    now = wrong(index)
    now.pop("search files", None)
    assert now == found
    assert set(repaired(index)) >= set(found)
    assert build([], index).added == added
    assert answers(index) == expected


def test_files_of_a_root_that_is_gone_are_dropped(
    index: IndexFolder, whole: tuple[Path, IndexFolder]
) -> None:
    expected = answers(index)
    change(index, "DELETE FROM roots")
    assert wrong(index) == {
        "references": f"{TEXTS + IMAGES} rows of files with dangling references"
    }
    repaired(index)
    assert build([whole[0]], index).added == TEXTS + IMAGES
    assert answers(index) == expected


# Settings


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM settings WHERE key = 'generation'", "the generation is missing"),
        (
            "UPDATE settings SET value = 256 WHERE key = 'dimension'",
            f"the dimension is said to be 256, and that of vectors is {DIMENSION}",
        ),
    ],
)
def test_settings_are_derived_from_the_vectors(
    index: IndexFolder, statement: str, found: str
) -> None:
    expected = answers(index)
    change(index, statement)
    assert wrong(index) == {"settings": found}
    assert set(repaired(index)) == {"settings"}
    assert answers(index) == expected


def test_vectors_of_an_unknown_model_are_dropped(index: IndexFolder) -> None:
    expected = answers(index)
    change(index, "DELETE FROM settings WHERE key = 'model'")
    assert wrong(index) == {"settings": "the model is not known that the vectors are of"}
    repaired(index)
    assert build([], index, model="mini").added == TEXTS + IMAGES
    assert answers(index) == expected


# Pages of the catalog

A_VECTOR = "SELECT vector FROM vectors ORDER BY abs(chunk_id - 20) LIMIT 1"


def lose_an_index_entry(folder: IndexFolder) -> None:
    """Move a file while SQLite does not know the index of its paths."""
    name = "files_by_content"
    with closing(sqlite3.connect(folder.catalog)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        (row,) = connection.execute("SELECT * FROM sqlite_schema WHERE name = ?", [name]).fetchall()
        connection.execute("DELETE FROM sqlite_schema WHERE name = ?", [name])
        connection.commit()
    with closing(sqlite3.connect(folder.catalog)) as connection:
        connection.execute("UPDATE files SET content_id = 1 WHERE content_id = 2")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", row)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_an_index_of_sqlite_is_made_again(index: IndexFolder) -> None:
    lose_an_index_entry(index)
    found = wrong(index)
    assert "missing from index files_by_content" in found["integrity"]
    done = repaired(index)
    assert done["integrity"].hint == "SQLite's indexes were rebuilt; nothing was lost."
    assert not list(index.path.glob("*damaged*"))


def pages_with(folder: IndexFolder, needle: bytes) -> list[int]:
    """Return the pages that contain these bytes."""
    content = folder.catalog.read_bytes()
    return [at // PAGE for at in range(0, len(content), PAGE) if needle in content[at : at + PAGE]]


def overwrite(folder: IndexFolder, at: int, content: bytes) -> None:
    with folder.catalog.open("r+b") as file:
        file.seek(at)
        file.write(content)


def noise_over_vectors(folder: IndexFolder) -> None:
    ((blob,),) = ask(folder, A_VECTOR)
    assert isinstance(blob, bytes)
    for page in pages_with(folder, blob):
        overwrite(folder, page * PAGE, np.random.default_rng(1).bytes(PAGE))


def noise_over_texts(folder: IndexFolder) -> None:
    for page in pages_with(folder, b"said number 20"):
        overwrite(folder, page * PAGE, np.random.default_rng(1).bytes(PAGE))


def noise_over_file_names(folder: IndexFolder) -> None:
    """Overwrite the table and its index."""
    for page in pages_with(folder, b"note 20.txt"):
        overwrite(folder, page * PAGE, np.random.default_rng(1).bytes(PAGE))


def zeros_over_hashes(folder: IndexFolder) -> None:
    ((digest,),) = ask(folder, "SELECT hash FROM contents WHERE id = 20")
    assert isinstance(digest, bytes)
    for page in pages_with(folder, digest):
        overwrite(folder, page * PAGE, bytes(PAGE))


def noise_over_the_header(folder: IndexFolder) -> None:
    overwrite(folder, 0, np.random.default_rng(1).bytes(100))


def zeros_over_the_first_page(folder: IndexFolder) -> None:
    overwrite(folder, 0, bytes(PAGE))


def cut_short(folder: IndexFolder) -> None:
    content = folder.catalog.read_bytes()
    folder.catalog.write_bytes(content[: len(content) * 3 // 4 // PAGE * PAGE])


def half_a_page_at_the_end(folder: IndexFolder) -> None:
    folder.catalog.write_bytes(folder.catalog.read_bytes()[: -PAGE // 2])


@pytest.mark.parametrize(
    ("damage", "most"),
    [
        (noise_over_vectors, True),
        (noise_over_texts, True),
        (noise_over_the_header, True),
        (zeros_over_the_first_page, True),
        (half_a_page_at_the_end, True),
        (zeros_over_hashes, True),
        (cut_short, False),
        # The page holds all of the few files.
        (noise_over_file_names, False),
    ],
)
def test_readable_rows_of_a_damaged_catalog_are_recovered(
    index: IndexFolder, damage: Callable[[IndexFolder], None], most: bool
) -> None:
    expected = answers(index)
    damage(index)
    damaged = index.catalog.read_bytes()
    assert wrong(index).keys() & {"catalog", "integrity"}
    done = repaired(index)
    assert "The next indexing run adds lost files again." in done["integrity"].hint
    (kept,) = index.path.glob("*damaged*")
    assert kept.name in done["integrity"].hint
    assert kept.read_bytes() == damaged
    assert not [*index.path.glob("*salvaged*"), *index.path.glob("*patched*")]
    assert (build([], index).added < TEXTS) == most
    assert answers(index) == expected
    assert wrong(index) == {}


def test_only_rows_of_damaged_pages_are_lost(index: IndexFolder) -> None:
    ((blob,),) = ask(index, A_VECTOR)
    assert isinstance(blob, bytes)
    # Some may still contain rows that were moved elsewhere.
    pages = len(pages_with(index, blob))
    noise_over_vectors(index)
    repaired(index)
    assert 1 <= build([], index).added <= pages * PAGE // (2 * DIMENSION)


def test_rows_in_the_write_ahead_log_are_recovered(
    index: IndexFolder, whole: tuple[Path, IndexFolder], tmp_path: Path
) -> None:
    """As after a crash: the log contains a batch that the catalog does not."""
    more = tmp_path / "more"
    more.mkdir()
    (more / "late.txt").write_text("A note that came late.")
    other = IndexFolder(tmp_path / "crashed")
    with closing(sqlite3.connect(index.catalog)) as holding:
        holding.execute("SELECT count(*) FROM files").fetchone()
        build([more], index)
        shutil.copytree(index.path, other.path)
    log = other.path / "catalog.db-wal"
    before = log.read_bytes()
    assert before
    ((blob,),) = ask(index, A_VECTOR)
    assert isinstance(blob, bytes)
    for page in pages_with(other, blob):
        overwrite(other, page * PAGE, bytes(PAGE))
    repaired(other)
    assert any(path.endswith("late.txt") for path, _ in answers(other))
    (kept,) = other.path.glob("*damaged*-wal")
    assert kept.read_bytes() == before


def test_a_second_damaged_catalog_is_kept_beside_the_first(index: IndexFolder) -> None:
    for _ in range(2):
        noise_over_vectors(index)
        repaired(index)
        build([], index)
    assert len([*index.path.glob("*damaged*")]) == 2


def test_a_catalog_of_noise_is_not_recovered_and_not_changed(index: IndexFolder) -> None:
    noise = np.random.default_rng(1).bytes(index.catalog.stat().st_size)
    index.catalog.write_bytes(noise)
    for repair in (False, True):
        report = doctor(index, repair=repair)
        assert not report.sound
        assert [(finding.check, finding.ok) for finding in report.findings] == [("catalog", False)]
        assert ("Restore the index from a backup" in report.findings[0].hint) == repair
    assert index.catalog.read_bytes() == noise
    assert not [path for path in index.path.iterdir() if path.name.startswith("catalog.db.")]


# Search files


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


def flip_under_the_old_time(path: Path) -> None:
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def put_a_folder_there(path: Path) -> None:
    path.unlink()
    path.mkdir()


damages = pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (Path.unlink, "missing"),
        (put_a_folder_there, "missing"),
        (truncate, "not what was written"),
        (noise, "not what was written"),
        (flip_under_the_old_time, "not what was written"),
    ],
)


@damages
def test_damaged_search_files_are_written_again(
    index: IndexFolder, damage: Callable[[Path], None], fault: str
) -> None:
    expected = answers(index)
    name = segment(index, "text").name
    damage(index.vectors / name)
    assert wrong(index) == {"search files": f"{name}: {fault}"}
    assert set(repaired(index)) == {"search files"}
    assert answers(index) == expected
    assert {path.name for path in index.vectors.iterdir()} == {
        segment(index, kind).name for kind in KINDS
    }


@pytest.fixture
def inverted(index: IndexFolder, monkeypatch: pytest.MonkeyPatch) -> IndexFolder:
    """The texts are in an inverted file."""
    monkeypatch.setattr(segments, "IVF_FROM", 20)
    with open_for_writing(index) as writer:
        segments.refresh(writer, index, DIMENSION, compact=True)
    assert segment(index, "text").form == "ivf"
    return index


@damages
def test_a_damaged_inverted_file_is_written_again(
    inverted: IndexFolder, damage: Callable[[Path], None], fault: str
) -> None:
    expected = answers(inverted)
    assert wrong(inverted) == {}
    name = segment(inverted, "text").name
    damage(inverted.vectors / name)
    assert wrong(inverted) == {"search files": f"{name}: {fault}"}
    repaired(inverted)
    assert segment(inverted, "text").form == "ivf"
    assert answers(inverted) == expected


def write_instead(
    folder: IndexFolder, known: Segment, ids: list[int], rows: np.ndarray[tuple[int, int]]
) -> str:
    """Make the catalog name a valid file with wrong content; return its name."""
    old = faiss_files.read_whole(folder.vectors / known.name)
    if known.form == "flat":
        index = faiss_files.new_flat(DIMENSION)
    else:
        index = old
        index.reset()
    index.add_with_ids(rows, np.array(ids))
    path = folder.vectors / known.name.replace(known.name[-14:-6], "00000000")
    last = known.last_chunk
    new = faiss_files.write(index, path, form=known.form, trained=known.trained, last_chunk=last)
    with open_for_writing(folder) as writer:
        replace_segments(writer, "text", [known], new._replace(total=known.total))
    (folder.vectors / known.name).unlink()
    return new.name


def texts_of(folder: IndexFolder) -> tuple[list[int], np.ndarray[tuple[int, int]]]:
    with Catalog.open(folder.catalog) as catalog:
        ((ids, rows),) = catalog.vectors("text")
    return ids.tolist(), rows


@pytest.mark.parametrize("form", ["flat", "ivf"])
def test_a_search_file_with_wrong_vectors_is_detected(
    request: pytest.FixtureRequest, form: str
) -> None:
    folder = request.getfixturevalue("index" if form == "flat" else "inverted")
    expected = answers(folder)
    ids, rows = texts_of(folder)
    name = write_instead(folder, segment(folder, "text"), ids, np.ascontiguousarray(-rows))
    assert wrong(folder) == {"search files": f"{name}: its vectors are not the catalog's"}
    repaired(folder)
    assert segment(folder, "text").form == form
    assert answers(folder) == expected


@pytest.mark.parametrize("form", ["flat", "ivf"])
@pytest.mark.parametrize(
    ("change_ids", "fault"),
    [
        (lambda ids: [*ids[:-1], ids[0]], "its count is wrong"),
        (lambda ids: [*ids[:-1], 10**6], "it holds vectors of another range"),
        (lambda ids: ids[:-1], "FAISS cannot open it"),
    ],
)
def test_a_search_file_with_wrong_ids_is_detected(
    request: pytest.FixtureRequest,
    form: str,
    change_ids: Callable[[list[int]], list[int]],
    fault: str,
) -> None:
    folder = request.getfixturevalue("index" if form == "flat" else "inverted")
    expected = answers(folder)
    ids, rows = texts_of(folder)
    changed = change_ids(ids)
    name = write_instead(folder, segment(folder, "text"), changed, rows[: len(changed)])
    assert wrong(folder) == {"search files": f"{name}: {fault}"}
    repaired(folder)
    assert answers(folder) == expected


def test_a_search_file_with_missing_vectors_is_detected(index: IndexFolder) -> None:
    """The id of an image, within the range, takes the place of a text's id."""
    known = segment(index, "text")
    ids, rows = texts_of(index)
    with Catalog.open(index.catalog) as catalog:
        images = catalog.chunk_ids("image").tolist()
    other = next(n for n in images if n < known.last_chunk)
    name = write_instead(index, known, [other, *ids[1:]], rows)
    assert wrong(index) == {"search files": f"{name}: it lacks 1 of the catalog's vectors"}
    repaired(index)


def test_later_removals_are_no_damage(
    inverted: IndexFolder, whole: tuple[Path, IndexFolder]
) -> None:
    with open_for_writing(inverted) as writer:
        for n in range(10):
            forget(writer, whole[0] / f"note {n:02}.txt")
        drop_orphans(writer)
    assert wrong(inverted) == {}


def test_leftovers_are_reported_and_deleted(index: IndexFolder) -> None:
    stray = index.vectors / "image-1-0123abcd.faiss"
    stray.write_bytes(b"half of a file")
    (index.vectors / "my.faiss").write_text("somebody's own")
    findings = {finding.check: finding for finding in doctor(index).findings}
    assert findings["leftovers"].ok
    assert findings["leftovers"].found == "1 unused search file"
    assert set(repaired(index)) == {"leftovers"}
    assert not stray.exists()
    assert (index.vectors / "my.faiss").exists()


# Files on disk


def test_files_changed_on_disk_are_reported_and_no_damage(
    tmp_path: Path, whole: tuple[Path, IndexFolder], index: IndexFolder
) -> None:
    more, away = (tmp_path.resolve() / name for name in ("more", "away"))
    for path in (more, away):
        path.mkdir()
        for n in range(6):
            (path / f"{path.name} {n}.txt").write_text(f"A note with the number {n}.")
    build([more, away], index)
    for n in range(4):
        (more / f"more {n}.txt").unlink()
    (more / "more 4.txt").write_text("Something else.")
    shutil.rmtree(away)
    report = doctor(index, repair=True)
    assert report.sound
    disk = report.findings[-1]
    gone = ", ".join(str(more / f"more {n}.txt") for n in range(3))
    assert disk == Finding(
        "disk",
        True,
        f"1 not there: {away}; 4 gone: {gone}, and 1 more; 1 changed: {more / 'more 4.txt'}",
        "The next indexing run updates the index.",
        code="finding-outdated",
    )


# Ownership and access


def test_a_missing_index_is_not_created(folder: IndexFolder) -> None:
    for repair in (False, True):
        with pytest.raises(NoIndexError):
            doctor(folder, repair=repair)
    assert not folder.path.exists()


def test_an_index_in_use_can_be_checked_but_not_repaired(index: IndexFolder) -> None:
    with open_for_writing(index):
        assert doctor(index).sound
        with pytest.raises(IndexLockedError):
            doctor(index, repair=True)


def test_the_catalog_of_a_newer_nmm_is_refused_and_not_changed(index: IndexFolder) -> None:
    change(index, "PRAGMA user_version = 99")
    before = index.catalog.read_bytes()
    for repair in (False, True):
        with pytest.raises(CatalogError, match="newer nmm"):
            doctor(index, repair=repair)
    assert index.catalog.read_bytes() == before


def test_a_read_only_index_can_be_checked(
    public_path: Path, index: IndexFolder, as_plain_user: Callable[[], AbstractContextManager[None]]
) -> None:
    copy = IndexFolder(public_path / "index")
    shutil.copytree(index.path, copy.path)
    for name in ("catalog.db-wal", "catalog.db-shm"):
        (copy.path / name).unlink(missing_ok=True)
    for path in [copy.path, *copy.path.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with as_plain_user():
            report = doctor(copy)
            with pytest.raises(CatalogError):
                doctor(copy, repair=True)
    finally:
        for path in (copy.path, copy.vectors):
            path.chmod(0o755)
    assert [finding.check for finding in report.findings if finding.check != "disk"] == [
        check for check in CHECKS if check != "disk"
    ]
    assert report.sound


# The command


def test_the_command_reports_repairs_and_exits_with_a_status(nmm: Nmm, index: IndexFolder) -> None:
    def run(*arguments: str) -> tuple[int, list[str]]:
        done = nmm("doctor", "--index", index.path, *arguments)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    status, lines = run()
    assert (status, len(lines)) == (0, len(CHECKS))
    name = segment(index, "text").name
    (index.vectors / name).unlink()
    status, lines = run()
    assert status == 3
    at = next(n for n, line in enumerate(lines) if line.startswith("WRONG"))
    assert lines[at : at + 2] == [
        f"WRONG     search files  {name}: missing",
        f"{'':24}It can be repaired. Repair it with: nmm doctor --repair",
    ]
    status, lines = run("--repair")
    assert status == 0
    assert f"repaired  search files  {name}: missing" in lines
    assert run()[0] == 0


def test_the_command_prints_json(nmm: Nmm, index: IndexFolder) -> None:
    change(index, "DELETE FROM vectors WHERE chunk_id = 3")
    for arguments, status in (((), 3), (("--repair",), 0), ((), 0)):
        done = nmm("doctor", "--json", "--index", index.path, *arguments)
        told = json.loads(done.stdout)
        assert (done.returncode, told["sound"]) == (status, status == 0)
        assert told["index"] == str(index.path)
        rows = next(finding for finding in told["findings"] if finding["check"] == "rows")
        assert set(rows) == {"check", "ok", "found", "hint", "repaired"}
        assert rows["ok"] == (status == 0)
        assert rows["repaired"] == (arguments == ("--repair",))
