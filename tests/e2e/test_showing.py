"""Showing results: the real command, on a terminal and off it, with odd names."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from commands import command_in, start
from hostile import NAMES
from PIL import Image
from support import Nmm

if sys.platform == "win32":
    pytest.skip("its terminals are others, and its names tame", allow_module_level=True)

from terminal import KITTY, PLAIN, SIXEL, nmm_on_terminal


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Nmm, Path]:
    """The command, and a folder of images with odd names that it has indexed."""
    home = tmp_path_factory.mktemp("odd")
    folder = home / "pictures"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        # Similar enough to match, and different enough not to be merged.
        picture = Image.effect_mandelbrot((96, 64), (-2 + number / 9, -1.5, 1, 1), 20 + number)
        picture.convert("RGB").rotate(37 * number).save(folder / name, "JPEG")
    nmm = command_in(home, start)
    done = nmm("index", folder, "--model", "mini")
    assert done.returncode == 0, done.stderr
    return nmm, folder


def expected(folder: Path) -> set[str]:
    return {str(folder / name) for name in NAMES}


@pytest.fixture
def viewer(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """A fake viewer for this system that records the file it is asked to open."""
    folder, seen = tmp_path / "bin", tmp_path / "seen"
    folder.mkdir()
    name = "open" if sys.platform == "darwin" else "xdg-open"
    program = folder / name
    program.write_text(f'#!/bin/sh\nprintf "%s\\0" "$@" > "{seen}"\n')
    program.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}, seen


def test_every_name_is_printed_as_it_is_on_disk(odd: tuple[Nmm, Path]) -> None:
    _, folder = odd
    own = {"HOME": str(folder.parent / "home"), "NMM_INDEX": str(folder.parent / "index")}
    command = [Path(sys.executable).with_name("nmm"), "search", "a picture", "-k99", "--all"]

    def printed(form: str) -> bytes:
        done = subprocess.run(
            [*command, form], env={**os.environ, **own}, capture_output=True, check=True
        )
        return done.stdout

    paths = {os.fsencode(path) for path in expected(folder)}
    assert set(printed("-0").split(b"\0")[:-1]) == paths
    assert set(printed(r"--format={path}\0").split(b"\0")[:-1]) == paths
    found = json.loads(printed("--json"))["results"]
    assert {os.fsencode(result["path"]) for result in found} == paths


def test_no_name_reaches_a_terminal_as_a_command(odd: tuple[Nmm, Path]) -> None:
    _, folder = odd
    status, written = nmm_on_terminal(folder.parent, "search", "a picture", "-k99", "--all")
    text = written.decode()
    links = re.findall(r"\x1b\]8;[^;\x1b]*;([^\x1b]*)\x1b\\", text)
    assert len({link for link in links if link}) == len(NAMES)
    assert all(re.fullmatch(r"file://[!-~]+", link) for link in links if link)
    bare = re.sub(r"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\", "", text)
    assert status == 0
    assert all(c.isprintable() for c in bare.replace("\r\n", ""))


def test_there_are_no_links_in_a_pipe(indexed: tuple[Nmm, Path]) -> None:
    done = indexed[0]("search", "a cat", TERM="xterm-256color")
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("answers", "mark"), [(PLAIN, "▀"), (SIXEL, "\x1bP0;0;0q"), (KITTY, "\x1b_Gi=")]
)
def test_thumbnails_use_the_protocol_of_the_terminal(
    answers: dict[bytes, bytes], mark: str, indexed: tuple[Nmm, Path]
) -> None:
    search = ("search", "a cat", "--type=image", "-k1", "--preview")
    status, written = nmm_on_terminal(indexed[1].parent, *search, answers=answers)
    assert status == 0
    assert mark in written.decode()


def test_image_ids_are_exact_colours(indexed: tuple[Nmm, Path]) -> None:
    """Kitty identifies an image by the colour of its cells, which 256 colours cannot encode."""
    _, samples = indexed
    search = ("search", "a cat", "--type=image", "-k1", "--preview")
    run = nmm_on_terminal(samples.parent, *search, answers=KITTY, NO_COLOR="1")
    written = run[1].decode()
    number = int(re.findall(r"\x1b_Ga=p,i=(\d+)", written)[0])
    red, green, blue = re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+)m\U0010eeee", written)[0]
    assert (int(red) << 16) + (int(green) << 8) + int(blue) == number & 0xFFFFFF


def test_without_a_terminal_no_thumbnails_are_drawn(indexed: tuple[Nmm, Path]) -> None:
    nmm, samples = indexed
    done = nmm("search", "a cat", "--preview", "-k1")
    assert done.stderr == "Thumbnails are drawn only in a terminal that reports its size.\n"
    dumb = nmm_on_terminal(samples.parent, "search", "a cat", "--preview", "-k1", TERM="dumb")
    assert dumb[0] == 0
    assert b"\x1b" not in dumb[1]


def test_a_terminal_that_does_not_tell_its_size_gets_no_thumbnails(
    indexed: tuple[Nmm, Path],
) -> None:
    search = ("search", "a cat", "--preview", "-k1")
    status, written = nmm_on_terminal(indexed[1].parent, *search, width=0)
    assert status == 0
    assert b"Thumbnails are drawn only in a terminal" in written
    assert b"chelsea.jpg" in written


def test_a_deleted_image_has_no_thumbnail(odd: tuple[Nmm, Path], tmp_path: Path) -> None:
    nmm, folder = odd
    away = tmp_path / "away"
    shutil.copytree(folder.parent / "index", tmp_path / "index")
    (tmp_path / "home").mkdir()
    folder.rename(away)
    try:
        status, written = nmm_on_terminal(tmp_path, "search", "a picture", "--preview")
        page = tmp_path / "page.html"
        gallery = nmm("search", "a picture", "--gallery", page)
    finally:
        away.rename(folder)
    assert status == 0
    assert "▀" not in written.decode()
    assert gallery.returncode == 0
    assert "not readable: No such file or directory" in page.read_text("utf-8")


def test_the_best_result_is_opened_whatever_its_name(
    odd: tuple[Nmm, Path], viewer: tuple[dict[str, str], Path]
) -> None:
    nmm, _ = odd
    environ, seen = viewer
    done = nmm("search", "a picture", "-k3", "--open", "--json", **environ)
    assert (done.returncode, done.stderr) == (0, "")
    best = json.loads(done.stdout)["results"][0]["path"]
    assert seen.read_bytes() == os.fsencode(best) + b"\0"


def test_files_that_cannot_be_opened_are_reported(
    indexed: tuple[Nmm, Path], viewer: tuple[dict[str, str], Path], tmp_path: Path
) -> None:
    nmm, _ = indexed
    environ, _ = viewer
    program = next((tmp_path / "bin").iterdir())
    program.write_text("#!/bin/sh\nexit 3\n")
    done = nmm("search", "a cat", "--type=image", "-k1", "--open", **environ)
    assert done.returncode == 3
    assert done.stderr.endswith(f"was not opened: {program.name} ended with status 3.\n")
    assert "chelsea.jpg" in done.stdout


def test_results_are_copied_and_never_overwritten(odd: tuple[Nmm, Path], tmp_path: Path) -> None:
    nmm, folder = odd
    target = tmp_path / "new" / "picked"
    query = ("search", "a picture", "-k99", "--all", "--copy-to", target, "--paths")
    done = nmm(*query)
    assert done.returncode == 0
    assert done.stderr == f"{len(NAMES)} copied: {target}\n"
    assert {file.name for file in target.iterdir()} == set(NAMES)
    for name in NAMES:
        assert (target / name).read_bytes() == (folder / name).read_bytes()
    (target / NAMES[0]).write_bytes(b"mine")
    assert nmm(*query).stderr == f"1 copied, {len(NAMES) - 1} there already: {target}\n"
    assert (target / NAMES[0]).read_bytes() == b"mine"
    assert len(list(target.iterdir())) == len(NAMES) + 1


def test_results_are_linked(odd: tuple[Nmm, Path], tmp_path: Path) -> None:
    nmm, folder = odd
    query = ("search", "a picture", "-k99", "--all", "--link-to", tmp_path / "links", "--json")
    assert nmm(*query).stderr == f"{len(NAMES)} linked: {tmp_path / 'links'}\n"
    links = list((tmp_path / "links").iterdir())
    assert {str(link.readlink()) for link in links} == expected(folder)
    assert nmm(*query).stderr.startswith(f"0 linked, {len(NAMES)} there already")


def test_a_page_is_written_and_named(indexed: tuple[Nmm, Path], tmp_path: Path) -> None:
    nmm, _ = indexed
    done = nmm("search", "--gallery", "a", "cat/../", "-k2", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "nmm-a-cat.html\n", "")
    again = nmm("search", "a cat", "--gallery", "nmm-a-cat.html", "--paths", "-k2", cwd=tmp_path)
    assert again.stderr == "The page is nmm-a-cat.html\n"
    assert len(again.stdout.splitlines()) == 2
    page = nmm("search", "a cat", "-k2", "--gallery", "-").stdout
    assert page == (tmp_path / "nmm-a-cat.html").read_text("utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["nmm-a-cat.html"]


def test_nothing_else_is_overwritten_by_a_page(indexed: tuple[Nmm, Path], tmp_path: Path) -> None:
    nmm, _ = indexed
    mine = tmp_path / "mine.html"
    mine.write_text("<!doctype html><title>My page</title>")
    done = nmm("search", "a cat", "--gallery=~/mine.html", HOME=str(tmp_path))
    assert done.returncode == 2
    assert "is not a page that nmm wrote" in done.stderr
    assert mine.read_text() == "<!doctype html><title>My page</title>"
    missing = nmm("search", "a cat", "--gallery", tmp_path / "not there" / "x.html")
    assert missing.returncode == 74


def test_the_page_is_opened_if_there_is_one(
    indexed: tuple[Nmm, Path], viewer: tuple[dict[str, str], Path], tmp_path: Path
) -> None:
    environ, seen = viewer
    indexed[0]("search", "a cat", "--gallery", "--open", cwd=tmp_path, **environ)
    assert seen.read_bytes() == os.fsencode(tmp_path / "nmm-a-cat.html") + b"\0"


def test_a_page_is_not_indexed(nmm: Nmm, tmp_path: Path, sample_data: Path) -> None:
    notes = sample_data / "notes"
    nmm("index", notes)
    nmm("search", "a cat", "--gallery", cwd=notes)
    assert (notes / "nmm-a-cat.html").exists()
    done = nmm("index", "--json")
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["added"], summary["skipped"]) == (0, 0, [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-", "--open"], "--open works with one query only."),
        (["-", "--gallery"], "--gallery works with one query only."),
        (["cat", "--gallery=-", "--json"], "Only one output format"),
        (["cat", "--format={scor}"], "The fields are: rank, score"),
    ],
)
def test_incompatible_options_are_refused(
    arguments: list[str], said: str, indexed: tuple[Nmm, Path]
) -> None:
    done = indexed[0]("search", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_folder_that_is_a_file_is_named(indexed: tuple[Nmm, Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = indexed[0]("search", "a cat", "--copy-to", tmp_path / "file", "-k1")
    assert done.returncode == 2
    assert f"{tmp_path / 'file'} is not a folder." in done.stderr


def test_files_that_cannot_be_copied_are_reported_and_counted(
    nmm: Nmm, sample_data: Path, tmp_path: Path
) -> None:
    nmm("index", sample_data / "photos")
    (sample_data / "photos/chelsea.jpg").unlink()
    os.mkfifo(sample_data / "photos/chelsea.jpg")
    (sample_data / "photos/horse_silhouette.jpg").unlink()
    done = nmm("search", "animals", "-k2", "--type=image", "--copy-to", "picked")
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        f"{sample_data / 'photos/chelsea.jpg'}: not a regular file any more",
        f"{sample_data / 'photos/horse_silhouette.jpg'}: No such file or directory",
        "0 copied, 2 failed: picked",
    ]
    assert stat.S_ISDIR((tmp_path / "picked").stat().st_mode)
    assert list((tmp_path / "picked").iterdir()) == []
