"""Queries through the real command: sums, images, standard input, `nmm similar`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import Nmm

Indexed = tuple[Nmm, Path]


def names(indexed: Indexed, *arguments: str | Path, **options: Any) -> list[str]:
    """A function that returns the file names of the results."""
    done = indexed[0](*arguments, "--paths", **options)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return [Path(line).name for line in done.stdout.splitlines()]


def refused(indexed: Indexed, *arguments: str | Path, **options: Any) -> str:
    """A function that returns the error for a query that is refused."""
    done = indexed[0](*arguments, **options)
    assert (done.returncode, done.stdout) == (2, "")
    return str(done.stderr)


def of_bytes(indexed: Indexed, stdin: bytes, *arguments: str) -> dict[str, Any]:
    """Return the answer to a search with these bytes on stdin."""
    home = indexed[1].parent
    done = subprocess.run(
        [Path(sys.executable).with_name("nmm"), "search", *arguments, "--json"],
        check=True,
        input=stdin,
        capture_output=True,
        cwd=home,
        env={**os.environ, "HOME": str(home / "home"), "NMM_INDEX": str(home / "index")},
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


# Sums


def test_positive_and_negative_terms_change_the_results(indexed: Indexed) -> None:
    queries = {
        "animal": "chelsea.jpg",
        "animal - cat": "horse_silhouette.jpg",
        "coffee - clock": "espresso.jpg",
        "clock - coffee": "wall_clock.jpg",
        "3*a cat + rocket": "chelsea.jpg",
        "a cat + 3*rocket": "launch.jpg",
        '"a cat" - "rocket + roll"': "chelsea.jpg",
    }
    lines = "\n".join(queries)
    done = indexed[0]("search", "-", "--type", "image", "-k1", "--jsonl", stdin=lines)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["query"]: Path(one["path"]).name for one in results} == queries
    both = names(indexed, "search", "coffee", "+", "clock", "--type", "image", "-k2")
    assert both == ["espresso.jpg", "wall_clock.jpg"]


def test_options_add_and_subtract_like_signs(indexed: Indexed) -> None:
    written = json.loads(indexed[0]("search", "animal + 2*dog - cat", "--json").stdout)
    options = ("--add", "2*dog", "--minus", "cat")
    given = json.loads(indexed[0]("search", "animal", *options, "--json").stdout)
    assert given == written
    without = json.loads(indexed[0]("search", "--add", "animal", *options, "--json").stdout)
    assert without == written


def test_a_query_that_begins_with_a_dash_follows_a_double_dash(indexed: Indexed) -> None:
    answer = json.loads(indexed[0]("search", "--json", "--", "-2*cat + animal").stdout)
    assert answer["query"] == "-2*cat + animal"


def test_every_query_is_explained_on_stderr(indexed: Indexed) -> None:
    query, photo = "2*cat - 0.5*the sea", indexed[1] / "photos" / "chelsea.jpg"
    options = ("--add", photo, "--explain", "--paths")
    done = indexed[0]("search", "-", *options, stdin=f"{query}\ndog\x1b\n")
    assert done.stderr == (
        f"{query} + {photo}\n"
        "    +2  text   cat\n"
        "  -0.5  text   the sea\n"
        f"    +1  image  {photo}\n"
        "  words: cat\n"
        f"dog\\x1b + {photo}\n"
        "  +1  text   dog\\x1b\n"
        f"  +1  image  {photo}\n"
        "  words: dog\\x1b\n"
    )


def test_invalid_queries_are_refused(indexed: Indexed) -> None:
    said = 'nmm: The quote at character 1 is not closed, of: "a + b\n'
    assert refused(indexed, "search", "-", stdin='"a + b\n').startswith(said)
    said = "nmm: The terms cancel each other out in: cat - cat\n"
    assert refused(indexed, "search", "cat", "-", "cat").startswith(said)


# Images


def test_an_image_finds_itself_first(indexed: Indexed) -> None:
    photos = indexed[1] / "photos"
    assert names(indexed, "search", photos / "chelsea.jpg", "-k1") == ["chelsea.jpg"]
    assert names(indexed, "search", "--image", photos / "lawn.jpg", "-k1") == ["lawn.jpg"]
    lines = f"chelsea.jpg\n{photos / 'lawn.jpg'}\n"
    each = names(indexed, "search", "-", "-k1", stdin=lines, cwd=photos)
    assert each == ["chelsea.jpg", "lawn.jpg"]


def test_an_image_on_stdin_is_a_query(indexed: Indexed) -> None:
    photo = (indexed[1] / "photos" / "horse_silhouette.jpg").read_bytes()
    for arguments, query in [(["-"], "-"), (["at night", "--image", "-"], "at night + -")]:
        answer = of_bytes(indexed, photo, *arguments, "--type", "image", "-k1")
        assert answer["query"] == query
        assert Path(answer["results"][0]["path"]).name == "horse_silhouette.jpg"


def test_text_and_image_make_one_query(indexed: Indexed) -> None:
    photo = indexed[1] / "photos" / "chelsea.jpg"
    both = ("search", "horse", "--image", photo, "--type", "image", "-k2")
    assert set(names(indexed, *both)) == {"chelsea.jpg", "horse_silhouette.jpg"}
    assert names(indexed, "search", f"3*coffee + {photo}", "--type", "image", "-k1") == [
        "espresso.jpg"
    ]


def test_a_path_with_a_sign_in_it_is_a_path(indexed: Indexed, tmp_path: Path) -> None:
    photo = tmp_path / "cat - dog.jpg"
    shutil.copy(indexed[1] / "photos" / "chelsea.jpg", photo)
    assert names(indexed, "search", photo, "-k1") == ["chelsea.jpg"]
    done = indexed[0]("search", photo, "-", "dog", "--explain", "--paths", "-k1")
    assert done.stderr.splitlines()[1:3] == [f"  +1  image  {photo}", "  -1  text   dog"]


@pytest.mark.skipif(os.name != "posix", reason="names are Unicode elsewhere")
def test_a_path_that_is_not_unicode_is_accepted(indexed: Indexed, tmp_path: Path) -> None:
    photo = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg"))
    try:
        shutil.copy(indexed[1] / "photos" / "chelsea.jpg", photo)
    except OSError:
        pytest.skip("this file system has no such names")
    for command in ("search", "similar"):
        answer = json.loads(indexed[0](command, photo, "--json", "-k1").stdout)
        assert answer["query"] == str(photo)
        assert Path(answer["results"][0]["path"]).name == "chelsea.jpg"


def test_an_image_that_cannot_be_used_is_named(indexed: Indexed, tmp_path: Path) -> None:
    from PIL import Image

    broken, huge = tmp_path / "broken.jpg", tmp_path / "huge.png"
    broken.write_bytes((indexed[1] / "photos" / "chelsea.jpg").read_bytes()[:5000])
    Image.new("1", (10_000, 10_000)).save(huge)
    text = indexed[1] / "poems" / "winter_harbour.txt"
    for arguments, said in [
        (
            [broken],
            f"The image {broken} cannot be used as a query: truncated JPEG: only part of the ",
        ),
        (["--image", text], f"The image {text} cannot be used as a query: not an image: "),
        (
            [f"cat + {huge}"],
            f"The image {huge} cannot be used as a query: too large: 10000 x 10000 is 100.0 "
            "megapixels, the limit is 89.5\n",
        ),
        (["--image", "no.jpg"], "There is no file no.jpg\nCheck its spelling."),
    ]:
        assert refused(indexed, "search", *arguments).startswith(f"nmm: {said}")


# Standard input


def test_lines_may_end_in_crlf(indexed: Indexed) -> None:
    lines = '\ufeffcat\r\n\r\n  coffee - "dog + x" \r\nlast'
    done = indexed[0]("search", "-", "--jsonl", "-k1", stdin=lines)
    queries = [json.loads(line)["query"] for line in done.stdout.splitlines()]
    assert queries == ["cat", 'coffee - "dog + x"', "last"]


def test_a_line_is_answered_before_the_next_one_comes(indexed: Indexed) -> None:
    home = indexed[1].parent
    with subprocess.Popen(
        [Path(sys.executable).with_name("nmm"), "search", "-", "--jsonl", "-k1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "HOME": str(home / "home"), "NMM_INDEX": str(home / "index")},
    ) as process:
        assert process.stdin
        assert process.stdout
        for query in (
            "P6",
            "cat",
            "a dog that is on the beach, in a line longer than 64 bytes are",
        ):
            process.stdin.write(query.encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["query"] == query
        process.stdin.close()
        assert process.wait() == 0


# Similar


def test_a_file_is_not_similar_to_itself(indexed: Indexed, tmp_path: Path) -> None:
    photo, note = indexed[1] / "photos" / "lawn.jpg", indexed[1] / "notes" / "chelsea.md"
    assert names(indexed, "similar", photo, "-k1") == ["gravel.jpg"]
    assert names(indexed, "similar", "lawn.jpg", "-k1", cwd=photo.parent) == ["gravel.jpg"]
    assert "chelsea.md" not in names(indexed, "similar", note, "-k", "100")
    if os.name == "posix":
        link = tmp_path / "link.jpg"
        link.symlink_to(photo)
        assert names(indexed, "similar", link, "-k1") == ["gravel.jpg"]


def test_the_copy_of_a_file_outside_the_index_comes_first(indexed: Indexed, tmp_path: Path) -> None:
    photo = indexed[1] / "photos" / "lawn.jpg"
    copy, other = tmp_path / "copy.jpg", tmp_path / "other.jpg"
    shutil.copy(photo, copy)
    other.write_bytes(photo.read_bytes() + b"\n")
    for path in (copy, other):
        assert names(indexed, "similar", path, "-k2") == ["lawn.jpg", "gravel.jpg"]
    note = tmp_path / "note.txt"
    note.write_text("My cat sleeps behind my knees, and purrs.")
    assert names(indexed, "similar", note, "-k1", "--type", "image") == ["chelsea.jpg"]


def test_the_query_of_similar_accepts_added_terms(indexed: Indexed) -> None:
    photo = indexed[1] / "photos" / "chelsea.jpg"
    more = ("--add", "3*coffee", "--minus", "animal", "--type", "image")
    assert names(indexed, "similar", photo, "-k1", *more) == ["espresso.jpg"]
    answer = json.loads(indexed[0]("similar", photo, "--json").stdout)
    assert answer["query"] == str(photo)


def test_missing_files_and_folders_are_refused(indexed: Indexed) -> None:
    assert refused(indexed, "similar", "no.jpg").startswith("nmm: There is no file no.jpg\n")
    folder = indexed[1] / "photos"
    assert refused(indexed, "similar", folder).startswith(f"nmm: {folder} is a folder.\n")
