"""Collecting results in a folder: no file is overwritten, and nothing is written outside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nmm.index.errors import OutputError, UsageError
from nmm.index.organize.copy_files import copy_into

needs_links = pytest.mark.skipif(os.name == "nt", reason="Windows lets only some make links")


def write(file: Path, content: str) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return str(file)


def names(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_files_of_one_name_get_numbers(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}/a.b.txt", f"content {n}") for n in range(3)]
    done = copy_into(paths, tmp_path / "new/to")
    expected = {"a.b.txt": "content 0", "a.b (2).txt": "content 1", "a.b (3).txt": "content 2"}
    assert names(tmp_path / "new/to") == expected
    assert (len(done.created), done.existing, done.failed) == (3, 0, [])
    again = copy_into(paths, tmp_path / "new/to")
    assert (again.created, again.existing) == ([], 3)
    assert names(tmp_path / "new/to") == expected


def test_the_same_content_is_copied_once(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, "the same") for name in ("1/a.txt", "2/a.txt", "2/b.txt")]
    done = copy_into(paths, tmp_path / "to")
    assert names(tmp_path / "to") == {"a.txt": "the same"}
    assert (len(done.created), done.existing) == (1, 2)


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    mine = Path(write(tmp_path / "to/a.txt", "mine"))
    (tmp_path / "to/b.txt").mkdir()
    paths = [write(tmp_path / "a.txt", "new"), write(tmp_path / "b.txt", "new, too"), str(mine)]
    done = copy_into(paths, tmp_path / "to")
    assert mine.read_text() == "mine"
    assert (tmp_path / "to/a (2).txt").read_text() == "new"
    assert (tmp_path / "to/b (2).txt").read_text() == "new, too"
    assert done.existing == 1


@needs_links
def test_an_existing_link_is_not_followed(tmp_path: Path) -> None:
    victim = Path(write(tmp_path / "victim", "precious"))
    (tmp_path / "to").mkdir()
    (tmp_path / "to/a.txt").symlink_to(victim)
    (tmp_path / "to/b.txt").symlink_to(tmp_path / "not there")
    paths = [write(tmp_path / "a.txt", "new"), write(tmp_path / "b.txt", "new, too")]
    copy_into(paths, tmp_path / "to")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "not there").exists()
    assert (tmp_path / "to/b (2).txt").read_text() == "new, too"


def test_a_copy_keeps_the_modification_time(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "old")
    os.utime(path, (1e9, 1e9))
    copy_into([path], tmp_path / "to")
    assert (tmp_path / "to/a.txt").stat().st_mtime == 1e9


@pytest.mark.skipif(os.name == "nt", reason="its names are shorter")
def test_a_name_of_full_length_is_cut_for_its_number(tmp_path: Path) -> None:
    long = "ü" * 125 + ".jpg"
    paths = [write(tmp_path / f"{n}/{long}", f"content {n}") for n in range(2)]
    done = copy_into(paths, tmp_path / "to")
    assert done.failed == []
    assert sorted(names(tmp_path / "to")) == sorted([long, "ü" * 123 + " (2).jpg"])


def test_an_interrupted_copy_is_deleted(tmp_path: Path) -> None:
    if not Path("/proc/self/mem").exists():
        pytest.skip("needs a file that cannot be read to its end")
    done = copy_into(["/proc/self/mem"], tmp_path / "to")
    assert [path for path, _ in done.failed] == ["/proc/self/mem"]
    assert list((tmp_path / "to").iterdir()) == []


@needs_links
def test_links_are_absolute_and_made_once(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}/a.txt", "the same") for n in range(2)]
    done = copy_into(paths, tmp_path / "to", link=True)
    links = {file.name: str(file.readlink()) for file in (tmp_path / "to").iterdir()}
    assert links == {"a.txt": paths[0], "a (2).txt": paths[1]}
    assert (len(done.created), done.fallbacks) == (2, 0)
    again = copy_into(paths, tmp_path / "to", link=True)
    assert (again.created, again.existing) == ([], 2)


def test_no_broken_link_is_created(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.txt")
    done = copy_into([gone], tmp_path / "to", link=True)
    assert [path for path, _ in done.failed] == [gone]
    assert list((tmp_path / "to").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "file", "")
    for folder in (tmp_path / "file", tmp_path / "file/in it"):
        with pytest.raises(UsageError, match="is not a folder"):
            copy_into([], folder)
    if os.name == "posix":
        with pytest.raises(OutputError, match="cannot be created"):
            copy_into([], tmp_path / ("long" * 100))
