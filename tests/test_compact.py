"""Compacting, and repair after a search: the index gets smaller or sound, with the same answers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support import Nmm
from vector_search import nearest_chunks

from nmm.index.errors import IndexLockedError, NoIndexError
from nmm.index.maintenance.compact import compact
from nmm.index.maintenance.repair import repair
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.removal import forget
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.types import Settings
from nmm.index.store.catalog.writer import CatalogWriter, ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors import segments
from nmm.index.store.vectors.factory import open_vector_index
from nmm.index.store.vectors.segment_table import read_segments

pytestmark = pytest.mark.usefixtures("short_tail")

DIMENSION = 32
PARTS = 10

Vectors = NDArray[np.float32]


def unit_vectors(count: int, seed: int) -> Vectors:
    found = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def add(writer: CatalogWriter, number: int, count: int) -> None:
    with writer.batch():
        content = writer.add_content(Content(b"%d" % number, "image"))
        for row in unit_vectors(count, number):
            writer.add_chunk(content, "image", ChunkRow(), row)


@pytest.fixture
def many(folder: IndexFolder) -> IndexFolder:
    """An index of 1,023 vectors in ten segments, each half as large as the one before."""
    with open_for_writing(folder) as writer:
        writer.set_settings(Settings("mini", DIMENSION, "weights"))
        root, _ = adopt_root(writer, Path("/root"))
        for number in range(PARTS):
            add(writer, number, 1 << (PARTS - 1 - number))
            content = writer.content_id(b"%d" % number)
            writer.put_file(root, str(number), 1, 1, status="indexed", content_id=content)
            segments.refresh(writer, folder, DIMENSION)
    return folder


def named(folder: IndexFolder) -> dict[str, int]:
    with Catalog.open(folder.catalog) as catalog:
        return {segment.name: segment.total for segment in read_segments(catalog, "image")}


def files(folder: IndexFolder) -> set[str]:
    return {path.name for path in folder.vectors.iterdir()}


def answers(folder: IndexFolder) -> list[list[int]]:
    with Catalog.open(folder.catalog) as catalog:
        queries = unit_vectors(20, seed=99)
        return [nearest_chunks(catalog, folder, "image", query, 30) for query in queries]


def damaged(folder: IndexFolder) -> list[str]:
    with Catalog.open(folder.catalog) as catalog:
        index = open_vector_index(folder, catalog)
        index.search(unit_vectors(1, seed=99)[0], 10, "image")
        return index.damaged()


# Compacting


def test_many_segments_become_one_with_the_same_answers(many: IndexFolder) -> None:
    expected = answers(many)
    assert list(named(many).values()) == [512, 256, 128, 64, 32, 16, 8, 4, 2, 1]
    compact(many)
    assert list(named(many).values()) == [1023]
    assert files(many) == set(named(many))
    assert answers(many) == expected


def test_compacting_frees_the_space_of_removed_files(many: IndexFolder) -> None:
    with open_for_writing(many) as writer:
        for number in range(3):
            forget(writer, Path(f"/root/{number}"))
    before = many.size()
    done = compact(many)
    assert (done.before, done.after) == (before, many.size())
    assert list(named(many).values()) == [127]
    # Empty tables take up pages, too.
    assert done.after < done.before * 0.6


def test_a_second_time_changes_nothing(many: IndexFolder) -> None:
    compact(many)
    before = files(many), many.catalog.read_bytes()
    done = compact(many)
    assert done.before == done.after
    assert (files(many), many.catalog.read_bytes()) == before


def test_an_index_that_was_never_filled_can_be_compacted(folder: IndexFolder) -> None:
    with open_for_writing(folder):
        pass
    compact(folder)
    assert files(folder) == set()


def test_a_missing_index_is_not_created(folder: IndexFolder) -> None:
    with pytest.raises(NoIndexError):
        compact(folder)
    assert not folder.path.exists()


def test_an_index_that_is_being_written_to_is_refused(many: IndexFolder) -> None:
    before = files(many)
    with open_for_writing(many), pytest.raises(IndexLockedError):
        compact(many)
    assert files(many) == before


def test_the_command_prints_the_result(nmm: Nmm, tmp_path: Path, many: IndexFolder) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(many.path, copy)
    done = nmm("compact", "--json", "--index", many.path)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["after"] == many.size()
    shown = nmm("compact", "--index", copy).stdout
    assert shown == f"{told['before'] / 1e6:.1f} MB before, {told['after'] / 1e6:.1f} MB now.\n"


# Repairing after a search


def flip(path: Path) -> None:
    """Change bytes in the middle, and keep size and time."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(b ^ 0x55 for b in content[middle : middle + 400])
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def put_a_folder_there(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink, put_a_folder_there])
@pytest.mark.parametrize("place", [0, 9])
def test_a_damaged_segment_is_written_again(
    many: IndexFolder, damage: Callable[[Path], None], place: int
) -> None:
    expected = answers(many)
    before = list(named(many))
    damage(many.vectors / before[place])
    assert repair(many)
    assert before[place] not in named(many)
    assert sum(named(many).values()) == 1023
    assert files(many) - {before[place]} == {*named(many)}
    assert damaged(many) == []
    assert answers(many) == expected


def test_a_sound_index_is_left_as_it_is(many: IndexFolder) -> None:
    before = named(many)
    assert repair(many)
    assert named(many) == before


def test_nothing_is_repaired_beside_a_writer(many: IndexFolder) -> None:
    (many.vectors / next(iter(named(many)))).unlink()
    before = named(many)
    with open_for_writing(many):
        assert not repair(many)
    assert named(many) == before


def test_nothing_is_repaired_in_a_read_only_folder(
    public_path: Path, many: IndexFolder, as_plain_user: Callable[[], AbstractContextManager[None]]
) -> None:
    copy = IndexFolder(Path(shutil.copytree(many.path, public_path / "index")))
    for path in [copy.path, *copy.path.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    with as_plain_user():
        assert not repair(copy)
    copy.path.chmod(0o755)
    copy.vectors.chmod(0o755)
    assert files(copy) == set(named(many))


def test_where_there_is_no_index_nothing_is_repaired(folder: IndexFolder) -> None:
    assert not repair(folder)
    assert not folder.path.exists()


@pytest.fixture
def written(nmm: Nmm, sample_data: Path, tmp_path: Path) -> IndexFolder:
    """The sample data, indexed by the command, with search files."""
    assert nmm("index", sample_data).returncode == 0
    folder = IndexFolder(tmp_path / "index")
    with open_for_writing(folder) as writer:
        settings = writer.settings()
        assert settings is not None
        segments.refresh(writer, folder, settings.dimension)
    assert len(files(folder)) == 2
    return folder


@pytest.mark.parametrize("damage", [truncate, Path.unlink])
def test_a_search_answers_first_and_repairs_then(
    nmm: Nmm, written: IndexFolder, damage: Callable[[Path], None]
) -> None:
    expected = nmm("search", "a cat", "--json").stdout
    for name in files(written):
        damage(written.vectors / name)
    met = nmm("search", "a cat", "--json")
    assert (met.returncode, met.stdout) == (0, expected)
    assert met.stderr == (
        "A search file was missing or damaged. Results came from the catalog; rebuilding the "
        "file.\n"
    )
    after = nmm("search", "a cat", "--json")
    assert (after.stdout, after.stderr) == (expected, "")


def test_a_quiet_search_repairs_silently(nmm: Nmm, written: IndexFolder) -> None:
    for name in files(written):
        (written.vectors / name).unlink()
    assert nmm("search", "a cat", "--quiet").stderr == ""
    assert nmm("search", "a cat").stderr == ""


def test_a_search_beside_a_writer_answers_without_repair(nmm: Nmm, written: IndexFolder) -> None:
    expected = nmm("search", "a cat").stdout
    for name in files(written):
        (written.vectors / name).unlink()
    with open_for_writing(written):
        met = nmm("search", "a cat")
    assert (met.returncode, met.stdout) == (0, expected)
    assert files(written) == set()
