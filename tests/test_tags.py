"""Tags: assigned, searched, listed, removed; and only a user removes them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
import searching
from PIL import Image
from support import SAMPLE_DATA, Nmm

from nmm.index.analysis.classification.tags import assign_tags, list_tags, remove_tags
from nmm.index.analysis.collection import open_collection
from nmm.index.errors import ArchiveError, UsageError
from nmm.index.indexing.indexer import build
from nmm.index.maintenance.archive import export_archive, import_archive
from nmm.index.maintenance.compact import compact
from nmm.index.maintenance.doctor import doctor
from nmm.index.maintenance.remove import remove
from nmm.index.search.engine import open_search
from nmm.index.search.filters import EmptyFilter, Filters
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.tags import Tag
from nmm.index.store.catalog.vacuum import vacuum
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.layout import IndexFolder

NOTES = {"a": "A cat sleeps.", "b": "Trains to Vienna.", "c": "Tea at five."}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with three notes and an image."""
    root = tmp_path.resolve() / "root"
    root.mkdir()
    for name, text in NOTES.items():
        (root / f"{name}.txt").write_text(text, "utf-8")
    Image.new("RGB", (40, 30), "red").save(root / "red.png")
    return root


@pytest.fixture
def index(root: Path, folder: IndexFolder) -> IndexFolder:
    """An index of that folder, in which two files have tags."""
    build([root], folder, model="mini")
    tag(folder, {"a.txt": "cat", "red.png": "colour"}, "cat", "colour")
    return folder


def tag(folder: IndexFolder, labels: dict[str, str | None], *choice: str) -> None:
    with open_collection(folder) as collection:
        files = collection.files
    named = {Path(item.path).name: item for item in files}
    assign_tags([(named[name], label) for name, label in labels.items()], choice, folder)


def tagged(folder: IndexFolder, *labels: str) -> set[str]:
    """Return the names of the files that have one of those tags."""
    with open_collection(folder, filters=Filters(tags=labels)) as collection:
        return {Path(item.path).name for item in collection.files}


def both(folder: IndexFolder) -> tuple[set[str], set[str]]:
    return tagged(folder, "cat"), tagged(folder, "colour")


KEPT = {"a.txt"}, {"red.png"}


# Assigning and searching


def test_a_filter_finds_files_with_any_of_the_tags(index: IndexFolder) -> None:
    assert both(index) == KEPT
    assert tagged(index, "cat", "colour") == {"a.txt", "red.png"}
    assert tagged(index, "CAT") == {"a.txt"}
    assert tagged(index, "dog") == set()
    with open_search(index) as search:
        found = searching.find(search, "Vienna", 10, filters=Filters(tags=("cat", "colour")))
        assert {Path(one.path).name for one in found} == {"a.txt", "red.png"}
        no_dog = searching.request("Vienna", filters=Filters(tags=("dog",)))
        assert list(search.search(no_dog).empty_because) == [
            EmptyFilter(("tags",), 4, available=("cat", "colour"))
        ]


def test_a_file_has_one_label_of_those_that_there_were_to_choose_from(index: IndexFolder) -> None:
    tag(index, {"a.txt": "short"}, "short", "long")
    assert list_tags(index) == [Tag("cat", 1), Tag("colour", 1), Tag("short", 1)]
    tag(index, {"a.txt": "Dog", "b.txt": "cat", "c.txt": None}, "cat", "Dog")
    assert tagged(index, "cat") == {"b.txt"}
    assert tagged(index, "dog") == tagged(index, "short") == {"a.txt"}
    tag(index, {"a.txt": None}, "cat", "dog")
    assert list_tags(index) == [Tag("cat", 1), Tag("colour", 1), Tag("short", 1)]


def test_a_label_may_be_any_text(index: IndexFolder) -> None:
    hostile = ["'; DROP TABLE tags; --", "%", "a\nb", "\u202egpj", "[x]*?", '"', "ÄÖ"]
    for label in hostile:
        tag(index, {"b.txt": label}, label)
        assert tagged(index, label) == {"b.txt"}
    assert {one.label for one in list_tags(index)} == {*hostile, "cat", "colour"}


def test_tags_are_taken_away_by_name(index: IndexFolder) -> None:
    with pytest.raises(UsageError, match="No file has the tag 'dog'"):
        remove_tags(["cat", "dog"], index)
    assert both(index) == KEPT
    assert remove_tags(["Cat", "colour"], index) == 2
    assert list_tags(index) == []
    tag(index, {"a.txt": "größe"}, "größe")
    with pytest.raises(UsageError, match="No file has the tag 'GRÖSSE'"):
        remove_tags(["GRÖSSE"], index)
    assert remove_tags(["Größe"], index) == 1


# Nothing else removes them


def test_a_tag_belongs_to_the_content_and_not_to_the_name(root: Path, index: IndexFolder) -> None:
    (root / "new").mkdir()
    (root / "a.txt").rename(root / "new" / "z.txt")
    shutil.copy(root / "red.png", root / "new" / "copy.png")
    build([], index)
    assert both(index) == ({"z.txt"}, {"red.png", "copy.png"})
    assert list_tags(index) == [Tag("colour", 2), Tag("cat", 1)]


def test_another_content_has_no_tag_and_the_old_one_has_it_again(
    root: Path, index: IndexFolder
) -> None:
    (root / "a.txt").write_text("A dog barks.", "utf-8")
    build([], index)
    assert both(index) == (set(), {"red.png"})
    (root / "a.txt").write_text(NOTES["a"], "utf-8")
    build([], index)
    assert both(index) == KEPT


def test_removed_files_have_their_tags_again_when_indexed_again(
    root: Path, index: IndexFolder
) -> None:
    remove([root], index)
    assert list_tags(index) == []
    build([root], index)
    assert both(index) == KEPT


def test_a_rebuild_with_another_model_keeps_them(
    index: IndexFolder, tiny_pair: Path, short_tail: None
) -> None:
    build([], index, model=str(tiny_pair), rebuild=True)
    assert both(index) == KEPT


def test_compact_keeps_them_and_forgets_those_of_what_is_gone(
    root: Path, index: IndexFolder
) -> None:
    compact(index)
    assert both(index) == KEPT
    remove([root / "a.txt"], index)
    compact(index)
    build([], index)
    assert both(index) == (set(), {"red.png"})


def test_an_archive_has_tags_of_existing_files_only(
    root: Path, index: IndexFolder, tmp_path: Path
) -> None:
    tag(index, {"b.txt": "a label that is gone"}, "a label that is gone")
    remove([root / "b.txt"], index)
    export_archive(index, tmp_path / "a.nmm")
    assert b"a label that is gone" not in (tmp_path / "a.nmm").read_bytes()
    other = IndexFolder(tmp_path / "other")
    import_archive(tmp_path / "a.nmm", other)
    assert both(other) == KEPT


@pytest.mark.parametrize("sql", ["UPDATE tags SET label = ' '", "UPDATE tags SET hash = x'00'"])
def test_an_archive_with_tags_that_nmm_does_not_write_is_refused(
    index: IndexFolder, tmp_path: Path, sql: str
) -> None:
    from test_archive import pack

    export_archive(index, tmp_path / "a.nmm")
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.nmm") as archive:
        about = json.loads(archive.read("manifest.json"))
        (tmp_path / "catalog.db").write_bytes(archive.read("catalog.db"))
    with closing(sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)) as connection:
        connection.execute(sql + " WHERE label = 'cat'")
    data = (tmp_path / "catalog.db").read_bytes()
    about |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    pack(tmp_path / "b.nmm", data, about)
    with pytest.raises(ArchiveError) as raised:
        import_archive(tmp_path / "b.nmm", IndexFolder(tmp_path / "other"))
    assert "a tag has no name, or is on nothing" in raised.value.why


def change(folder: IndexFolder, *statements: str) -> None:
    with closing(sqlite3.connect(folder.catalog, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_repair_that_drops_a_content_keeps_its_tag(index: IndexFolder) -> None:
    change(index, "UPDATE vectors SET vector = zeroblob(length(vector))")
    assert doctor(index, repair=True).sound
    assert list_tags(index) == []
    build([], index)
    assert both(index) == KEPT


def test_a_tag_without_a_name_is_found_and_dropped_alone(index: IndexFolder) -> None:
    change(
        index,
        "INSERT INTO tags (label, hash) VALUES (' ', x'01')",
        "INSERT INTO tags (label, hash) VALUES (CAST(x'ff' AS TEXT), x'02')",
    )
    (wrong,) = [finding for finding in doctor(index).findings if not finding.ok]
    assert (wrong.check, wrong.found) == ("rows", "2 times: tag without a name")
    assert doctor(index, repair=True).sound
    assert both(index) == KEPT
    with Catalog.open(index.catalog) as catalog:
        assert catalog.vector_count() == 4


def test_a_catalog_that_is_saved_from_damage_has_them(index: IndexFolder) -> None:
    with open_for_writing(index) as writer:
        vacuum(writer)
    with closing(sqlite3.connect(index.catalog)) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'vectors'"
        ).fetchone()
    with index.catalog.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(os.urandom(4096))
    assert doctor(index, repair=True).sound
    assert list(index.path.glob("*damaged*"))
    build([], index)
    assert both(index) == KEPT


def test_a_catalog_of_schema_3_gets_a_place_for_them(root: Path, index: IndexFolder) -> None:
    change(
        index,
        "ALTER TABLE contents RENAME COLUMN medium TO kind",
        "ALTER TABLE chunks RENAME COLUMN modality TO kind",
        "ALTER TABLE chunks DROP COLUMN page",
        "ALTER TABLE chunks DROP COLUMN time_ms",
        "DROP INDEX chunks_by_modality",
        "CREATE INDEX chunks_by_kind ON chunks (kind)",
        "DROP TABLE tags",
        "DELETE FROM _sqlite_migrations WHERE name IN ('m004_tags', 'm005_locators')",
        "PRAGMA user_version = 3",
    )
    assert list_tags(index) == []
    assert (index.path / "catalog.db.schema-3").is_file()
    tag(index, {"a.txt": "cat", "red.png": "colour"}, "cat", "colour")
    assert both(index) == KEPT


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize(
    ("event", "there"), [("batch written", KEPT), ("batch committed", ({"b.txt", "c.txt"}, set()))]
)
def test_a_kill_leaves_all_or_nothing(
    index: IndexFolder, event: str, there: tuple[set[str], set[str]]
) -> None:
    code = (
        "import os, signal, sys\n"
        "from nmm.index.analysis.collection import open_collection\n"
        "from nmm.index.store.layout import IndexFolder\n"
        "from nmm.index.analysis.classification.tags import assign_tags\n"
        "from pathlib import Path\n"
        "folder = IndexFolder(Path(sys.argv[1]))\n"
        "with open_collection(folder) as collection:\n"
        "    files = collection.files\n"
        "labels = {'b.txt': 'cat', 'c.txt': 'cat'}\n"
        "given = [(item, labels.get(Path(item.path).name)) for item in files]\n"
        "def hook(name, arguments):\n"
        "    if name == 'nmm.store' and arguments[0] == sys.argv[2]:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
        "assign_tags(given, ['cat', 'colour'], folder)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, index.path, event], check=False)
    assert done.returncode == -signal.SIGKILL
    assert both(index) == there
    assert doctor(index).sound


# The command


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_tags_are_written_searched_by_listed_and_removed(nmm: Nmm, sample_data: Path) -> None:
    assert nmm("index", sample_data, "--model", "mini").returncode == 0
    done = nmm("tags")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("No file has a tag. Add tags with: nmm classify")
    labels = ["--labels", "cat,rocket,coffee", "--none"]
    done = nmm("classify", *labels, "--type", "image", "--write-tags", "--min-score", "0.6")
    assert done.stderr.splitlines()[-1].endswith("tagged.")
    photos = sample_data.resolve() / "photos"

    def found(*options: str) -> Sequence[str]:
        return nmm("search", "something", "--paths", *options).stdout.splitlines()

    assert found("--tag", "cat") == [str(photos / "chelsea.jpg")]
    assert found("--tag", "none") == []
    cats_and_rockets = {str(photos / name) for name in ("chelsea.jpg", "launch.jpg")}
    assert cats_and_rockets <= set(found("--tag", "cat", "--tag", "Rocket"))
    similar = nmm("similar", photos / "espresso.jpg", "--tag", "cat", "--paths")
    assert similar.stdout == f"{photos / 'chelsea.jpg'}\n"
    only = nmm("classify", "--labels", "sitting,standing", "--tag", "cat", "--paths", "-q")
    assert only.stdout == f"{photos / 'chelsea.jpg'}\n"
    assert ["1", "cat"] in lines(nmm("tags").stdout)
    assert {"label": "cat", "files": 1} in json.loads(nmm("tags", "--json").stdout)
    done = nmm("search", "x", "--tag", "dog", "--type", "image")
    assert done.returncode == 1
    assert done.stderr.startswith("No image passes --tag dog (12 images without it).\nTags in ")
    done = nmm("tags", "remove", "cat", "--json")
    assert json.loads(done.stdout) == {"files": 1}
    assert ["1", "cat"] not in lines(nmm("tags", "list").stdout)
    done = nmm("tags", "remove", "cat")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "nmm: No file has the tag 'cat'.\nSee all tags with: nmm tags\n"


def test_a_label_with_an_escape_code_is_shown_escaped(nmm: Nmm, tmp_path: Path) -> None:
    shutil.copy(SAMPLE_DATA / "photos" / "chelsea.jpg", tmp_path / "c.jpg")
    assert nmm("index", tmp_path / "c.jpg", "--model", "mini").returncode == 0
    label = "cat\x1b[2J\u202e"
    done = nmm("classify", "--labels", f"{label},a tariff", "--write-tags")
    assert "\x1b" not in done.stdout + done.stderr
    assert nmm("tags").stdout == "1  cat\\x1b[2J\\u202e\n"
    assert json.loads(nmm("tags", "--json").stdout) == [{"label": label, "files": 1}]
