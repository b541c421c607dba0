"""The real command on the sample data, as in the first lines of the README."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from support import Nmm


def test_the_summary_says_what_was_done(nmm: Nmm, sample_data: Path) -> None:
    done = nmm("index", sample_data, "--json")
    summary = json.loads(done.stdout)
    assert summary.pop("seconds") > 0
    assert summary == {
        "model": "mini",
        "added": 31,
        "updated": 0,
        "unchanged": 0,
        "moved": 0,
        "removed": 0,
        "skipped": [],
        "ocr": None,
    }
    assert done.returncode == 0


def test_a_second_run_embeds_only_what_changed(nmm: Nmm, sample_data: Path) -> None:
    nmm("index", sample_data)
    (sample_data / "photos/chelsea.jpg").rename(sample_data / "cat.jpg")
    shutil.copy(sample_data / "photos/espresso.jpg", sample_data / "coffee.jpg")
    (sample_data / "photos/retina.jpg").unlink()
    with (sample_data / "notes/chelsea.md").open("a") as notes:
        notes.write("\nShe also likes the piano.\n")
    summary = json.loads(nmm("index", "--json").stdout)
    assert {**summary, "seconds": 0} == {
        "model": "mini",
        "added": 1,
        "updated": 1,
        "unchanged": 28,
        "moved": 1,
        "removed": 1,
        "skipped": [],
        "ocr": None,
        "seconds": 0,
    }
    assert nmm("search", "a cat", "--paths", "-k1").stdout == f"{sample_data / 'cat.jpg'}\n"


@pytest.mark.parametrize(
    ("query", "photo"),
    [
        ("cute animals", "chelsea.jpg"),
        ("a cup of coffee", "espresso.jpg"),
        ("rocket taking off", "launch.jpg"),
        ("clock on a wall", "wall_clock.jpg"),
    ],
)
def test_the_right_photo_comes_first(query: str, photo: str, indexed: tuple[Nmm, Path]) -> None:
    nmm, samples = indexed
    found = nmm("search", query, "--type", "image", "--paths")
    assert found.stdout.splitlines()[0] == str(samples / "photos" / photo)


def test_a_poem_is_found_with_its_lines(indexed: tuple[Nmm, Path]) -> None:
    nmm, samples = indexed
    done = nmm("search", "the boats are free again", "--json", "-k1")
    (result,) = json.loads(done.stdout)["results"]
    poem = samples / "poems/winter_harbour.txt"
    assert (result["path"], result["lines"]) == (str(poem), [43, 46])
    assert result["text"] == "\n".join(poem.read_text("utf-8").splitlines()[42:46])


def test_images_and_texts_share_one_list(indexed: tuple[Nmm, Path]) -> None:
    """A photo of a coffee and a recipe for one both match; neither kind crowds out the other."""
    nmm, samples = indexed
    # By meaning alone: the list of the photos' authors contains these very words, too.
    done = nmm("search", "a cup of coffee", "--mode", "semantic", "--paths", "-k2")
    assert set(done.stdout.splitlines()) == {
        str(samples / "photos/espresso.jpg"),
        str(samples / "recipes/espresso.md"),
    }


def test_the_json_has_the_documented_shape(indexed: tuple[Nmm, Path]) -> None:
    nmm, _ = indexed
    done = nmm("search", "a", "cup", "of", "coffee", "--json", "-k4", "--mode", "semantic")
    answer = json.loads(done.stdout)
    assert list(answer) == ["version", "query", "model", "results"]
    assert (answer["version"], answer["query"], answer["model"]) == (1, "a cup of coffee", "mini")
    results = answer["results"]
    assert [result["rank"] for result in results] == [1, 2, 3, 4]
    scores = [result["score"] for result in results]
    assert scores == sorted(scores, reverse=True)  # as by meaning alone, without keywords
    assert {result["type"] for result in results} == {"image", "text"}
    common = {"rank", "score", "path", "type", "by_words", "weak", "copies"}
    for result in results:
        own = {"width", "height"} if result["type"] == "image" else {"lines", "text", "spans"}
        assert set(result) == common | own
        assert Path(result["path"]).is_absolute()
    photo = next(result for result in results if result["path"].endswith("espresso.jpg"))
    assert (photo["width"], photo["height"]) == (600, 400)


def test_every_form_of_output_holds_the_same_results(indexed: tuple[Nmm, Path]) -> None:
    nmm, _ = indexed

    def printed(*form: str) -> str:
        return nmm("search", "a cup of coffee", "-k5", *form).stdout

    results = json.loads(printed("--json"))["results"]
    paths = [result["path"] for result in results]
    assert printed("--paths") == "".join(f"{path}\n" for path in paths)
    assert printed("-0") == "".join(f"{path}\0" for path in paths)
    lines = [json.loads(line) for line in printed("--jsonl").splitlines()]
    assert lines == [{"query": "a cup of coffee", **result} for result in results]
    rows = list(csv.DictReader(io.StringIO(printed("--csv"))))
    header = ["query", "rank", "score", "path", "type", "lines", "text", "width", "height"]
    assert list(rows[0]) == [*header, "spans", "by_words", "weak", "copies"]
    assert [row["path"] for row in rows] == paths
    assert [row["lines"] for row in rows] == [
        "{}-{}".format(*result["lines"]) if "lines" in result else "" for result in results
    ]
    assert [row["text"] for row in rows] == [result.get("text", "") for result in results]


def test_the_table_names_path_lines_and_passage(indexed: tuple[Nmm, Path]) -> None:
    nmm, samples = indexed
    done = nmm("search", "the boats are free again", "-k2", cwd=samples)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["score", "found"]
    assert lines[1].split()[0] == "1"
    assert lines[1].endswith("poems/winter_harbour.txt  lines 43–46")
    assert lines[2].strip().startswith("the ice is gone! The first bow nears the water,")
    assert done.stderr == ""


def test_queries_from_stdin_are_answered_one_a_line(indexed: tuple[Nmm, Path]) -> None:
    nmm, _ = indexed
    done = nmm("search", "-", "--json", "-k1", "--type", "image", stdin="a cat\n\na clock\n")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["query"] for answer in answers] == ["a cat", "a clock"]
    assert [Path(answer["results"][0]["path"]).name for answer in answers] == [
        "chelsea.jpg",
        "wall_clock.jpg",
    ]


def test_the_status_counts_what_the_index_holds(indexed: tuple[Nmm, Path]) -> None:
    nmm, samples = indexed
    status = json.loads(nmm("status", "--json").stdout)
    assert status.pop("size") > 100_000
    assert status.pop("vectors") > 100
    assert status == {
        "index": str(samples.parent / "index"),
        "model": "mini",
        "dimension": 384,
        "roots": [str(samples)],
        "files": 31,
        "images": 12,
        "texts": 19,
        "skipped": 0,
        "pictures_read": 0,
        "pictures_with_words": 0,
    }


def test_removed_files_are_found_again_after_indexing(nmm: Nmm, sample_data: Path) -> None:
    nmm("index", sample_data)
    cat = sample_data / "photos/chelsea.jpg"
    assert nmm("remove", cat).stdout == "1 removed.\n"
    assert str(cat) not in nmm("search", "a cat", "--paths", "-k50").stdout
    assert json.loads(nmm("index", "--json").stdout)["added"] == 1
    assert str(cat) in nmm("search", "a cat", "--paths", "-k1").stdout
    assert json.loads(nmm("remove", sample_data, "--json").stdout) == {"removed": 31}
    assert json.loads(nmm("status", "--json").stdout)["roots"] == []
    nothing = nmm("search", "a cat", "--json")
    assert (nothing.returncode, json.loads(nothing.stdout)["results"]) == (1, [])


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["search", "cats"], 4, "Create one with: nmm index FOLDER"),
        (["status"], 4, "Create one with: nmm index FOLDER"),
        (["remove", "x"], 4, "Create one with: nmm index FOLDER"),
        (["index"], 4, "Create one with: nmm index FOLDER"),
        (["index", "not/there"], 2, "not/there cannot be indexed"),
        (["index", ".", "--model", "nonesuch"], 4, "The models are: nomic-v1.5, "),
        (["search", "x", "--json", "--csv"], 2, "Give one of"),
        (["search", "x", "-k", "0"], 2, "-k"),
        (["serch", "x"], 2, "serch"),
        (["search", "x", "--colour"], 2, "--colour"),
    ],
)
def test_an_error_says_what_to_type_next(
    arguments: list[str], status: int, said: str, nmm: Nmm
) -> None:
    done = nmm(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_query_is_an_error_of_usage(indexed: tuple[Nmm, Path]) -> None:
    nmm, _ = indexed
    done = nmm("search", " ")
    assert done.returncode == 2
    assert "The query is empty." in done.stderr


def test_debug_shows_where_an_error_came_from(nmm: Nmm) -> None:
    done = nmm("--debug", "search", "cats")
    assert "Traceback" in done.stderr
    assert "NoIndexError" in done.stderr


def test_the_doctor_finds_nothing_wrong(indexed: tuple[Nmm, Path]) -> None:
    """With so many words, some have a stem that has a stem of its own."""
    done = indexed[0]("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert "WRONG" not in done.stdout
