"""Output formats: their content, for any file names."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hostile import NAMES, NOT_UTF8
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from support import Nmm

from nmm.cli.render import formats
from nmm.cli.render.excerpt import excerpt
from nmm.cli.render.presenter import ResultPresenter
from nmm.cli.render.table import Table
from nmm.cli.render.template import FIELDS, Template
from nmm.index.errors import UsageError
from nmm.index.search.result import SearchResult

IMAGE = SearchResult(
    rank=1, score=0.51234567, path="/photos/cat.jpg", type="image", width=640, height=480
)
TEXT = SearchResult(
    rank=2,
    score=0.25,
    path="/notes/cat.md",
    type="text",
    lines=(3, 5),
    text="A cat sleeps.\nIt purrs.",
    spans=((2, 5),),
)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m|\x1b\]8;[^;]*;[^\x1b]*\x1b\\")
Printed = Callable[..., bytes]


class Terminal(io.TextIOWrapper):
    """A standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


def on_terminal(results: list[SearchResult], width: int, **environ: str) -> str:
    """Return what the table writes to a terminal of that width."""
    out = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", Terminal(out, encoding="utf-8"))
        for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
            patch.delenv(name, raising=False)
        for name, value in {"COLUMNS": str(width), "TERM": "xterm-256color", **environ}.items():
            patch.setenv(name, value)
        Table(several=False).write("a cat", "mini", results)
        return out.getvalue().decode("utf-8", "surrogateescape")


@pytest.fixture
def printed(capsysbinary: pytest.CaptureFixture[bytes]) -> Printed:
    """A function that returns the output of a format for some results."""

    def write(form: formats.ResultWriter, *results: SearchResult) -> bytes:
        form.write("a cat", "mini", results)
        return capsysbinary.readouterr().out

    return write


def of_names() -> list[SearchResult]:
    return [
        replace(IMAGE, rank=rank, path=f"/a/{name}")
        for rank, name in enumerate([*NAMES, NOT_UTF8], 1)
    ]


def test_the_json_names_all_that_is_known(printed: Printed) -> None:
    weak = replace(IMAGE, weak=True, by_words=True, copies=("/photos/cat 2.jpg",))
    answer = json.loads(printed(formats.Json(several=False), weak, TEXT))
    assert answer == {
        "version": 1,
        "query": "a cat",
        "model": "mini",
        "results": [
            {
                "rank": 1,
                "score": 0.512346,
                "path": "/photos/cat.jpg",
                "type": "image",
                "width": 640,
                "height": 480,
                "by_words": True,
                "weak": True,
                "copies": ["/photos/cat 2.jpg"],
            },
            {
                "rank": 2,
                "score": 0.25,
                "path": "/notes/cat.md",
                "type": "text",
                "lines": [3, 5],
                "text": "A cat sleeps.\nIt purrs.",
                "spans": [[2, 5]],
                "by_words": False,
                "weak": False,
                "copies": [],
            },
        ],
    }


def test_csv_has_the_names_of_the_json(printed: Printed) -> None:
    rows = list(csv.DictReader(io.StringIO(printed(formats.Csv(), IMAGE, TEXT).decode())))
    assert rows[0]["copies"] == "[]"
    assert rows[0]["spans"] == rows[0]["lines"] == ""
    assert {name: rows[1][name] for name in ("lines", "spans", "by_words", "weak")} == {
        "lines": "3-5",
        "spans": "[[2, 5]]",
        "by_words": "false",
        "weak": "false",
    }


@pytest.mark.parametrize("several", [False, True])
def test_json_keeps_every_name(several: bool, printed: Printed) -> None:
    results = of_names()
    answer = json.loads(printed(formats.Json(several), *results))
    assert [r["path"] for r in answer["results"]] == [r.path for r in results]


def test_json_lines_keep_every_name_on_a_line(printed: Printed) -> None:
    results = of_names()
    lines = printed(formats.JsonLines(), *results).split(b"\n")
    assert [json.loads(line)["path"] for line in lines[:-1]] == [r.path for r in results]


def test_csv_keeps_every_name(printed: Printed) -> None:
    results = of_names()
    text = printed(formats.Csv(), *results).decode("utf-8", "surrogateescape")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["path"] for row in rows] == [r.path for r in results]


def test_paths_are_the_bytes_on_disk(printed: Printed) -> None:
    results = of_names()
    assert printed(formats.Paths(), *results) == b"".join(
        os.fsencode(r.path) + b"\n" for r in results
    )
    assert printed(formats.NulPaths(), *results).split(b"\0")[:-1] == [
        os.fsencode(r.path) for r in results
    ]
    assert printed(formats.Formatted(r"{path}\0"), *results).split(b"\0")[:-1] == [
        os.fsencode(r.path) for r in results
    ]


@pytest.mark.parametrize("name", [*NAMES, NOT_UTF8])
def test_the_table_neutralises_control_codes_in_names(name: str) -> None:
    written = on_terminal([replace(IMAGE, path=f"/a/{name}")], 100)
    bare = ESCAPES.sub("", written)
    assert all(c.isprintable() or c == "\n" for c in bare), bare
    (link,) = {uri for uri in re.findall(r"\x1b\]8;[^;]*;([^\x1b]*)\x1b\\", written) if uri}
    assert re.fullmatch(r"[!-~]+", link)
    host, path = re.fullmatch(r"file://([^/]*)(/.*)", link).groups()  # type: ignore[union-attr]
    assert unquote_to_bytes(host).decode() == socket.gethostname()
    assert unquote_to_bytes(path) == os.fsencode(f"/a/{name}")


@settings(deadline=None, max_examples=50, print_blob=True, database=None)
@given(
    names=st.lists(
        st.one_of(
            st.sampled_from(NAMES),
            st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=200),
        ),
        max_size=4,
    ),
    text=st.text(max_size=400),
    width=st.integers(40, 200),
    score=st.floats(-99, 99),
)
def test_the_table_fits_the_terminal(names: list[str], text: str, width: int, score: float) -> None:
    results = [
        SearchResult(
            rank=rank,
            score=score,
            path=f"/a/{name}",
            type="image",
            width=90000,
            height=90000,
            weak=rank % 2 == 0,
        )
        for rank, name in enumerate(names, 8)
    ]
    results.append(replace(TEXT, text=text, spans=(), copies=("/b",) * 12, weak=True))
    lines = ESCAPES.sub("", on_terminal(results, width)).split("\n")
    assert max(cell_len(line) for line in lines) <= width
    for name in names:
        # The whole path is shown, over as many lines as needed.
        shown = "".join(c for c in Path(f"/a/{name}").name if not c.isspace() and c.isprintable())
        assert set(shown) <= set("".join(lines))


def test_wide_characters_are_two_columns() -> None:
    """Counted here with Unicode's own table."""
    lines = ESCAPES.sub("", on_terminal([replace(IMAGE, path="/" + "写" * 60)], 40)).splitlines()
    widths = [sum(2 if c == "写" else 1 for c in line) for line in lines]
    assert max(widths) in (39, 40)
    assert "".join(lines).count("写") == 60


def test_no_line_ends_in_spaces() -> None:
    lines = ESCAPES.sub("", on_terminal([replace(TEXT, text="word " * 100, spans=())], 60))
    assert "word" in lines
    assert not re.search(" $", lines, re.MULTILINE)


def test_in_a_pipe_a_path_stays_whole(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    path = "/a/" + "long name " * 40 + ".jpg"
    written = printed(Table(several=False), replace(IMAGE, path=path)).decode()
    assert written.splitlines()[1] == f"1   0.51  {path}  640 × 480"
    assert "\x1b" not in written


@pytest.mark.skipif(os.name == "nt", reason="it is one there")
def test_a_path_of_another_system_is_no_link() -> None:
    written = on_terminal([replace(IMAGE, path="C:\\photos\\cat.jpg")], 80)
    assert "C:\\photos\\cat.jpg" in ESCAPES.sub("", written)
    assert "\x1b]8" not in written


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_dumb_terminal_gets_letters_only(term: str) -> None:
    assert "\x1b" not in on_terminal([IMAGE, TEXT], 80, TERM=term)


def test_words_that_were_found_stand_out() -> None:
    written = on_terminal([TEXT], 80)
    assert "A \x1b[1;31mcat\x1b[0m sleeps. It purrs." in written


def test_a_long_passage_takes_two_lines_and_ends_with_a_word() -> None:
    lines = ESCAPES.sub("", on_terminal([replace(TEXT, text="twelve words " * 40)], 60))
    shown = lines.splitlines()[2:]
    assert len(shown) == 2
    assert re.search(r"(twelve|words) …$", shown[1])
    unbroken = ESCAPES.sub("", on_terminal([replace(TEXT, text="写" * 400, spans=())], 60))
    assert unbroken.splitlines()[3].strip().strip("写") == " …"
    assert unbroken.count("写") > 40


def test_low_confidence_rows_are_dimmed_and_merged_ones_counted(printed: Printed) -> None:
    weak = replace(IMAGE, weak=True, copies=("/b", "/c", "/d"))
    dimmed = on_terminal([weak], 80)
    assert "\x1b[2m1   0.51  \x1b[0m" in dimmed
    assert "\x1b[2;36m/photos/cat.jpg" in dimmed
    assert "\x1b[36m/photos/cat.jpg" in on_terminal([IMAGE], 80)
    line = printed(Table(several=False), weak).decode().splitlines()[1]
    assert line == "1   0.51  /photos/cat.jpg  640 × 480  +3 like it  weak"


@pytest.mark.parametrize(("terminal", "quiet"), [(True, False), (True, True), (False, False)])
def test_low_confidence_rows_come_with_a_hint(
    terminal: bool, quiet: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = Terminal if terminal else io.TextIOWrapper
    monkeypatch.setattr(sys, "stdout", kind(io.BytesIO(), encoding="utf-8"))
    shown = ResultPresenter(None, several=False, quiet=quiet)
    shown.show("a cat", "mini", [IMAGE, replace(TEXT, weak=True)])
    said = "1 weak: --relevant omits them.\n" if terminal and not quiet else ""
    assert capsys.readouterr().err == said


def test_an_empty_result_is_reported(printed: Printed) -> None:
    assert printed(Table(several=False)).decode().split() == ["score", "found", "nothing"]


def test_a_template_is_filled_in(printed: Printed) -> None:
    form = formats.Formatted(r"{score:.3f}\t{rank:02}\t{path}")
    assert printed(form, IMAGE, TEXT) == (b"0.512\t01\t/photos/cat.jpg\n0.250\t02\t/notes/cat.md\n")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{name} in {folder}", "cat.jpg in /photos\n"),
        ("{{{rank}}}", "{1}\n"),
        (r"{rank}\n", "1\n"),
        (r"{rank}\0", "1\0"),
        (r"\\n{rank}", "\\n1\n"),
        ("{lines}|{lines:>5}|{text!r}", "|     |None\n"),
        ("{width}x{height}", "640x480\n"),
        ("{copies} {weak} {by_words}", "0 no no\n"),
        ("{query}/{model}/{type}", "a cat/mini/image\n"),
        ("", "\n"),
    ],
)
def test_fields_of_a_template(template: str, expected: str) -> None:
    assert Template(template).filled("a cat", "mini", [IMAGE]) == expected


def test_every_field_can_be_asked_for() -> None:
    for name in FIELDS:
        for result in (IMAGE, TEXT):
            Template(f"{{{name}}}").filled("a cat", "mini", [result])


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{scor}", "The fields are: rank, score, path"),
        ("{}", "The fields are: "),
        ("{0}", "The fields are: "),
        ("{path.__class__}", "The fields are: "),
        ("{path[0]}", "The fields are: "),
        ("{path", "cannot be filled in"),
        ("path}", "cannot be filled in"),
        ("{path!x}", "cannot be filled in"),
        (r"\q{path}", "The escapes are"),
        ("{path}\\", "The escapes are"),
        ("{rank:{score.real}}", "The fields are: "),
    ],
)
def test_a_wrong_template_is_an_error_before_the_search(template: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        Template(template)
    assert said in str(raised.value)


@pytest.mark.parametrize("template", ["{path:d}", "{score:x}", "{rank:>99999999999999999999}"])
def test_a_specification_that_does_not_fit_is_an_error(template: str) -> None:
    with pytest.raises(UsageError, match="cannot be filled in"):
        Template(template).filled("a cat", "mini", [IMAGE])


def test_only_one_form_is_printed(here: Nmm) -> None:
    done = here("search", "cats", "--json", "--format", "{path}")
    assert done.returncode == 2
    assert "Only one output format can be chosen." in done.stderr
    assert "Give one of --json, --jsonl, --csv, --paths, -0 and --format." in done.stderr


def test_an_excerpt_is_of_where_the_words_are() -> None:
    text = "word " * 100 + "the  needle\nhere " + "more " * 100
    start = text.index("needle")
    shown, ((first, last),) = excerpt(text, [(start, start + 6)], 80)
    assert shown[first:last] == "needle"
    assert "the needle here" in shown
    assert shown.startswith("… word")
    assert shown.endswith("more …")
    assert len(shown) <= 80


@settings(deadline=None, max_examples=50, print_blob=True, database=None)
@given(
    text=st.text(max_size=600),
    marks=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 600)), max_size=4),
    room=st.integers(8, 300),
)
def test_an_excerpt_fits_its_room(text: str, marks: list[tuple[int, int]], room: int) -> None:
    shown, spans = excerpt(text, marks, room)
    assert len(shown) <= room
    assert shown.isprintable()
    for start, end in spans:
        assert 0 <= start < end <= len(shown)


def test_an_excerpt_keeps_what_is_marked_whatever_is_escaped_before_it() -> None:
    text = "\x1b\x00\u202e \n\n tail\x07 needle"
    shown, ((start, end),) = excerpt(text, [(text.index("needle"), len(text))], 200)
    assert shown == "\\x1b\\x00\\u202e tail\\x07 needle"
    assert shown[start:end] == "needle"
