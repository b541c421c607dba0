"""Filter options as people type them, and the message when no file passes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Nmm

from nmm.cli.options.dates import parse_date
from nmm.cli.options.empty_filters import describe_empty
from nmm.cli.options.filter_values import (
    parse_extensions,
    parse_path_glob,
    parse_place,
    parse_size,
)
from nmm.cli.options.filters import FilterOptions, Media
from nmm.index.errors import UsageError
from nmm.index.search.filters import EmptyFilter, GeoCircle
from nmm.index.store.catalog.path_globs import is_within
from nmm.index.store.catalog.types import KINDS, Kind

NOW = datetime(2024, 3, 31, 18, 30, 15, 999)  # a Sunday


@pytest.fixture
def in_vienna(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not hasattr(time, "tzset"):
        pytest.skip("needs a system where a process can change its time zone")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Vienna")
        time.tzset()
        yield
    time.tzset()


# Dates


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2023", "2023-01-01T00:00:00"),
        ("2023-05", "2023-05-01T00:00:00"),
        ("2023-5-1", "2023-05-01T00:00:00"),
        ("2023-05-01", "2023-05-01T00:00:00"),
        ("20230501", "2023-05-01T00:00:00"),
        ("2023-05-01 18:30", "2023-05-01T18:30:00"),
        ("2023-05-01T18:30:59.75", "2023-05-01T18:30:59"),
        ("0001", "0001-01-01T00:00:00"),
        ("9999-12-31", "9999-12-31T00:00:00"),
        ("May 2023", "2023-05-01T00:00:00"),
        ("5 may 2023", "2023-05-05T00:00:00"),
        ("  Sept. 5, 2023 ", "2023-09-05T00:00:00"),
        ("now", "2024-03-31T18:30:15"),
        ("today", "2024-03-31T00:00:00"),
        ("Yesterday", "2024-03-30T00:00:00"),
        ("sunday", "2024-03-31T00:00:00"),
        ("monday", "2024-03-25T00:00:00"),
        ("last monday", "2024-03-25T00:00:00"),
        ("last sunday", "2024-03-24T00:00:00"),
        ("this week", "2024-03-25T00:00:00"),
        ("last week", "2024-03-18T00:00:00"),
        ("this month", "2024-03-01T00:00:00"),
        ("last month", "2024-02-01T00:00:00"),
        ("this year", "2024-01-01T00:00:00"),
        ("last year", "2023-01-01T00:00:00"),
        ("2 weeks ago", "2024-03-17T00:00:00"),
        ("2 weeks", "2024-03-17T00:00:00"),
        ("2w", "2024-03-17T00:00:00"),
        ("a day ago", "2024-03-30T00:00:00"),
        ("1 month ago", "2024-02-29T00:00:00"),
        ("13 months ago", "2023-02-28T00:00:00"),
        ("a year ago", "2023-03-31T00:00:00"),
        ("an hour ago", "2024-03-31T17:30:15"),
        ("90 min ago", "2024-03-31T17:00:15"),
    ],
)
def test_a_date_is_its_first_moment(text: str, moment: str) -> None:
    assert parse_date(text, NOW) == moment


@pytest.mark.usefixtures("in_vienna")
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2023-05-01T12:00Z", "2023-05-01T14:00:00"),
        ("2023-01-01 12:00:30 -05:00", "2023-01-01T18:00:30"),
        ("2023-01-01T00:30+0530", "2022-12-31T20:00:00"),
    ],
)
def test_a_time_elsewhere_is_told_in_local_time(text: str, moment: str) -> None:
    assert parse_date(text, NOW) == moment


@pytest.mark.parametrize(
    "text",
    [
        "", "soon", "0000", "2023-13", "2023-02-30", "2023-05-01T25:00", "1.5.2023", "5/1/2023",
        "23", "last decade", "2 moons ago", "9999999 days ago", "999999 years ago", "32 May 2023",
        "brumaire 2023", "2023-05-01T12:00+99:00", "\x1b[2J", "２０２３-99",
    ],
)  # fmt: skip
def test_an_invalid_date_is_reported_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_date(text, NOW)
    assert raised.value.what == f"{text!r} is not a date that nmm understands."
    assert "2 weeks ago" in raised.value.hint


@given(st.text(max_size=30) | st.from_regex(r"[0-9a-z:+ -]{0,25}", fullmatch=True))
def test_any_input_is_a_date_or_an_error(text: str) -> None:
    try:
        moment = parse_date(text, NOW)
    except UsageError:
        return
    assert datetime.fromisoformat(moment).isoformat(timespec="seconds") == moment


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.integers(0, 1200))
def test_months_before_a_day_are_counted_back(day: datetime, months: int) -> None:
    found = datetime.fromisoformat(parse_date(f"{months} months ago", day))
    assert (day.year - found.year) * 12 + day.month - found.month == months
    assert found.day == day.day or (found.day > 27 and found.day < day.day)


# Sizes, places, suffixes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("123", 123), ("123B", 123), ("500k", 500_000), ("500 kB", 500_000),
        ("2MB", 2_000_000), ("2mb", 2_000_000), ("2M", 2_000_000), ("2MiB", 2 << 20),
        ("1.5GiB", 3 << 29), ("1.1kB", 1100), ("0.3", 1), ("1TB", 10**12), ("1Ki", 1024),
    ],
)  # fmt: skip
def test_a_size_is_in_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "MB", "-1", "2x", "1,5MB", "2iB", "1e3", "nan", "2 M B", "2 ,MB"]
)
def test_an_invalid_size_is_reported(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_size(text)
    assert str(raised.value) == (
        f"{text!r} is not a size.\nWrite bytes, or a unit: 500k, 2MB, 1.5GiB."
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("48.2,16.37,5", GeoCircle(48.2, 16.37, 5)),
        (" 48.2, 16.37, 5 km ", GeoCircle(48.2, 16.37, 5)),
        ("-33.8 151.2 0.5", GeoCircle(-33.8, 151.2, 0.5)),
        ("90,-180,20038", GeoCircle(90, -180, 20038)),
    ],
)
def test_a_place_is_degrees_and_kilometres(text: str, place: GeoCircle) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", ""),
        ("Vienna", ""),
        ("48.2,16.37", ""),
        ("48.2,16.37,5,6", ""),
        ("48,2,16,37,5", ""),
        ("91,0,1", "A latitude is between -90 and 90, not 91."),
        ("nan,0,1", "A latitude is between -90 and 90, not nan."),
        ("0,181,1", "A longitude is between -180 and 180, not 181."),
        ("0,0,0", "The radius is a number of kilometres above 0, not 0."),
        ("0,0,inf", "The radius is a number of kilometres above 0, not inf."),
    ],
)
def test_an_invalid_place_is_reported(text: str, why: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_place(text)
    assert (raised.value.what, raised.value.why) == (f"{text!r} is not a place.", why)
    assert "--near 48.2,16.37,5" in raised.value.hint


def test_suffixes_are_typed_in_many_ways() -> None:
    assert (
        parse_extensions("jpg") == parse_extensions(".JPG") == parse_extensions("*.jpg") == ["jpg"]
    )
    assert parse_extensions("jpg, .PNG,tar.gz") == ["jpg", "png", "tar.gz"]


@pytest.mark.parametrize("text", ["", ".", "jpg,", "a/b", "*", "a*b"])
def test_an_invalid_suffix_is_reported(text: str) -> None:
    with pytest.raises(UsageError, match="is not a suffix of file names"):
        parse_extensions(text)


# Folders and names


@pytest.mark.parametrize("text", ["holidays", "*.md", "2023/*", "holidays/", "[a-z]*"])
def test_a_pattern_of_names_stays_as_it_is(text: str) -> None:
    assert parse_path_glob(text) == text


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_pattern_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="--in is empty"):
        parse_path_glob(text)


def test_local_paths_become_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path.resolve() / "home [x]"
    photos = home / "photos"
    photos.mkdir(parents=True)
    (home / "link").symlink_to(photos)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(photos)

    def inside(text: str) -> tuple[bool, bool, bool]:
        """Return whether it matches an image, a note beside it, and an image elsewhere."""
        glob = parse_path_glob(text)
        return (
            is_within(str(photos), "a.jpg", glob),
            is_within(str(photos), "b.md", glob),
            is_within("/elsewhere/photos", "a.jpg", glob),
        )

    for text in (".", "./", "~", "~/photos", "~/link/", "..", "../photos", str(photos)):
        assert inside(text) == (True, True, False), text
    for text in ("./*.jpg", "~/photos/*.jpg", "~/link/*.jpg", "~/*/a.jpg", "./a.jpg"):
        assert inside(text) == (True, False, False), text
    assert inside("./" + "x" * 5000) == (False, False, False)
    assert inside("photos") == (True, True, True)
    assert inside("./nothing") == (False, False, False)


# The message when no file is left


@pytest.mark.parametrize(
    ("emptied", "kinds", "said"),
    [
        (
            EmptyFilter(("min_bytes",), 3204),
            KINDS,
            [
                "No file passes --larger 1TB (3,204 files without it).",
                "Leave it out, or change it.",
            ],
        ),
        (
            EmptyFilter(("path_globs",), 1),
            ["text"],
            [
                "No text passes --in 'a*' --in b (1 text without it).",
                "See the folders of the index with: nmm roots",
            ],
        ),
        (
            EmptyFilter(("near",), 31),
            KINDS,
            [
                "No file passes --near 1,2,3 (31 files without it).",
                "Images with a known place: 0.",
            ],
        ),
        (
            EmptyFilter(("near",), 31, unread_images=2000),
            KINDS,
            [
                "No file passes --near 1,2,3 (31 files without it).",
                "An older nmm did not read this from 2,000 images. To read it: nmm index",
            ],
        ),
        (
            EmptyFilter(("camera",), 31, available=("Acme\x1b[2J", "X100")),
            ["image"],
            [
                "No image passes --camera 'x\\x1b[2J' (31 images without it).",
                "Cameras in the index: Acme\\x1b[2J, X100.",
            ],
        ),
        (
            EmptyFilter(("camera",), 31),
            KINDS,
            [
                "No file passes --camera 'x\\x1b[2J' (31 files without it).",
                "No image has a known camera.",
            ],
        ),
        (
            EmptyFilter(("orientation", "has_text"), 19, 12),
            KINDS,
            [
                "No file passes --orientation portrait and --no-text together (19 files without "
                "--no-text).",
                "Text was not recognised yet in 12 images. To do it: nmm index --ocr",
            ],
        ),
        (
            EmptyFilter(("orientation",), 19),
            ["text"],
            [
                "No text passes --orientation portrait (19 texts without it).",
                "Only images can pass it. Leave out --type.",
            ],
        ),
        (
            EmptyFilter(("after", "before", "min_width"), 2),
            KINDS,
            [
                "No file passes --after 2023, --before 2024-01 and --min-width 9 together "
                "(2 files without --min-width 9).",
                "Leave it out, or change it.",
            ],
        ),
        (
            EmptyFilter(("before",), 5, available=("2021-03-04", "2024-05-06")),
            KINDS,
            [
                "No file passes --before 2024-01 (5 files without it).",
                "The oldest and the newest file are from: 2021-03-04, 2024-05-06.",
            ],
        ),
    ],
)
def test_the_filter_that_excluded_everything_is_explained(
    emptied: EmptyFilter, kinds: Sequence[Kind], said: list[str]
) -> None:
    typed = FilterOptions(
        media=Media.ALL if len(kinds) > 1 else Media(kinds[0]),
        path_globs=["a*", "b"],
        after="2023",
        before="2024-01",
        near="1,2,3",
        camera="x\x1b[2J",
        min_width=9,
        orientation="portrait",
        min_bytes="1TB",
        has_text=False,
    )
    assert list(describe_empty([emptied], typed)) == said


# The command


def test_the_command_searches_files_that_pass(indexed: tuple[Nmm, Path]) -> None:
    nmm, samples = indexed
    options = ["--ext", "md,TXT", "--larger", "1", "--after", "2 years ago", "--paths"]
    done = nmm("search", "food", "--in", "./*s", *options, cwd=samples / "recipes" / "..")
    assert {Path(path).suffix for path in done.stdout.splitlines()} == {".md", ".txt"}
    done = nmm("search", "food", "--in", "recipes", *options)
    assert set(done.stdout.splitlines()) == {
        str(samples.resolve() / "recipes" / name) for name in ("espresso.md", "lentil_soup.txt")
    }
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_reports_an_excluding_filter_once(indexed: tuple[Nmm, Path]) -> None:
    nmm, _ = indexed
    options = ["--near", "-33.8,151.2,10", "--camera", "x\x1b[2J", "--jsonl"]
    done = nmm("search", "-", *options, stdin="food\nsky\n")
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "No file passes --near -33.8,151.2,10 (31 files without it).\n"
        "Images with a known place: 0.\n"
        "No file passes --camera 'x\\x1b[2J' (31 files without it).\n"
        "No image has a known camera.\n",
    )
    done = nmm("search", "food", "--quiet", *options)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


@pytest.mark.parametrize("option", [["--after", "soon"], ["--in", "[z-a]"]])
def test_the_command_refuses_invalid_filters(indexed: tuple[Nmm, Path], option: list[str]) -> None:
    nmm, _ = indexed
    done = nmm("search", "food", *option)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"nmm: {option[1]!r} is ")
