"""Filters: each condition is exact, alone, combined, and on files."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
import searching
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nmm.index.encoders.base import Task
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import UsageError
from nmm.index.search import engine as search_module
from nmm.index.search.engine import SearchEngine, open_search
from nmm.index.search.filters import EmptyFilter, Filters, GeoCircle, condition_of
from nmm.index.store.catalog.file_queries import passing_chunks
from nmm.index.store.catalog.path_globs import check_glob, is_within
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.sql_filters import kilometres
from nmm.index.store.catalog.types import KINDS, Calibration, Kind, Settings
from nmm.index.store.catalog.writer import ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors import searcher, segments

QUERY = "a cat on a piano"
VIENNA, LINZ, FIJI = (48.2082, 16.3738), (48.3069, 14.2858), (-17.8, 179.9)


@dataclass(frozen=True)
class File:
    """A file of a test, with every property that a filter can check."""

    path: str
    cosines: tuple[float, ...] = (0.5,)
    content: str = ""
    kind: Kind = "image"
    modified: str = "2020-06-15T12:00:00"
    size: int = 1000
    width: int | None = 640
    height: int | None = 480
    taken_at: str | None = None
    place: tuple[float, float] | None = None
    camera: str | None = None
    words: str | None = None

    @property
    def root(self) -> str:
        return "/home/ada/Pictures" if self.path.startswith("/home/ada/Pictures") else "/disk/old"

    @property
    def below(self) -> str:
        return self.path[len(self.root) + 1 :]


def text(path: str, cosines: tuple[float, ...] = (0.5,), **rest: object) -> File:
    return replace(File(path, cosines, kind="text", width=None, height=None), **rest)  # type: ignore[arg-type]


class Index:
    """An index of such files, open for searching."""

    def __init__(self, folder: IndexFolder, mini: OnnxEncoder, files: Sequence[File]) -> None:
        self.files = files
        self._query = mini.embed_texts([QUERY], Task.QUERY)[0]
        self._random = np.random.default_rng(0)
        with open_for_writing(folder) as writer:
            writer.set_settings(Settings("mini", mini.model.dimension, mini.weights))
            for kind in KINDS:
                writer.set_calibration(kind, Calibration(0.0, 1.0))
            with writer.batch():
                for file in files:
                    root, _ = adopt_root(writer, Path(file.root))
                    hashed = (file.content or file.path).encode()
                    content = writer.content_id(hashed)
                    if content is None:
                        content = writer.add_content(
                            Content(
                                hashed,
                                file.kind,
                                file.width,
                                file.height,
                                file.taken_at,
                                *(file.place or (None, None)),
                                file.camera,
                            )
                        )
                        writer.connection.execute(
                            "UPDATE contents SET words = ? WHERE id = ?", (file.words, content)
                        )
                        for cosine in file.cosines:
                            chunk = ChunkRow(1, 1, "x") if file.kind == "text" else ChunkRow()
                            writer.add_chunk(content, file.kind, chunk, self._vector(cosine))
                    modified = int(datetime.fromisoformat(file.modified).timestamp()) * 10**9
                    writer.put_file(
                        root,
                        file.below,
                        file.size,
                        modified,
                        status="indexed",
                        content_id=content,
                    )
            segments.refresh(writer, folder, mini.model.dimension)
        self.search: SearchEngine

    def _vector(self, cosine: float) -> NDArray[np.float32]:
        across = self._random.normal(size=len(self._query)).astype(np.float32)
        across -= (across @ self._query) * self._query
        across /= np.linalg.norm(across)
        vector: NDArray[np.float32] = cosine * self._query + np.sqrt(1 - cosine**2) * across
        return vector

    def find(
        self, count: int = 1000, kinds: Sequence[Kind] = KINDS, **filters: object
    ) -> list[tuple[str, float]]:
        found = searching.find(self.search, QUERY, count, kinds, filters=Filters(**filters))  # type: ignore[arg-type]
        return [(each.path, round(each.score, 2)) for each in found]

    def paths(self, **filters: object) -> set[str]:
        return {path for path, _ in self.find(**filters)}  # type: ignore[arg-type]


Make = Callable[[Sequence[File]], Index]


@pytest.fixture(scope="module")
def make(mini: OnnxEncoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """A function that makes indexes with FAISS files; the model is loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "MIN_SEGMENT_SIZE", 1)
        patch.setattr(search_module, "load_encoder", lambda *_, **__: mini)
        opened = []

        def index(files: Sequence[File]) -> Index:
            folder = IndexFolder(tmp_path_factory.mktemp("filters") / "index")
            made = Index(folder, mini, files)
            context = open_search(folder)
            opened.append(context)
            made.search = context.__enter__()
            return made

        yield index
        for context in opened:
            context.__exit__(None, None, None)


# Folders and names

PLACES = ("/home/ada/Pictures", "Holidays/2023/beach.jpg")


@pytest.mark.parametrize(
    "glob",
    [
        "Holidays", "holidays", "HOLIDAYS/", "beach.jpg", "*.jpg", "BEACH.*", "2023/*", "20*",
        "20?3", "202[0-4]", "202[!0-2]", "Holidays/2023", "Holidays/*/beach.jpg", "holidays/**",
        "**/beach.jpg", "Holidays/**/beach.jpg", "**/2023", "Pictures", "Pictures/Holidays", "pic*",
        "Pic*/Holidays", "ada", "home/ada", "/home/ada/Pictures/Holidays", "/home/ada", "/home/*/",
        "/", "//home//ada", "/home/ada/Pictures/Holidays/2023/beach.jpg", "*", "**", "*/2023",
        "./Holidays", "Holidays//2023",
    ],
)  # fmt: skip
def test_a_file_is_in_what_people_call_its_folder(glob: str) -> None:
    assert is_within(*PLACES, glob)


@pytest.mark.parametrize(
    "glob",
    [
        "Holi", "each.jpg", "beach", "beach.jpg/", "jpg", "*.png", "2023/Holidays", "202[!3]",
        "Holidays/beach.jpg", "Holidays/*.jpg", "Holidays/?/beach.jpg", "ada/2023", "/Holidays",
        "/Pictures", "/home/ad", "h*e", "hom?", "a*a/*", "H*s/b*", "Holidays/2023/beach.jpg/*", "",
        "Holidays/2023/*/**",
    ],
)  # fmt: skip
def test_a_file_is_not_in_others(glob: str) -> None:
    assert not is_within(*PLACES, glob)


@pytest.mark.parametrize(
    ("path", "glob", "inside"),
    [
        ("[old]/a.txt", "[old]", True),
        ("o/a.txt", "[old]", True),
        ("x/a.txt", "[old]", False),
        ("a*b.txt", "a[*]b.txt", True),
        ("axb.txt", "a[*]b.txt", False),
        ("a[b.txt", "a[b.txt", True),
        ("a]b.txt", "a[]]b.txt", True),
        ("a[]b.txt", "a[]b.txt", True),
        ("a^b.txt", "a[^a]b.txt", True),
        ("a-b.txt", "a[a-]b.txt", True),
        ("a\nb/c.txt", "a?b", True),
        ("a\nb/c.txt", "c.txt", True),
        ("a\\b.txt", "a\\b.txt", True),
        ("x(y)+.txt", "x(y)+.txt", True),
        ("Cafe\u0301/a.txt", "caf\u00e9", True),
        ("Caf\u00e9/a.txt", "cafe\u0301", True),
        ("ÄRGER/a.txt", "ärger", True),
        ("a/b", "a[/]b", False),
    ],
)
def test_names_of_any_kind_are_matched(path: str, glob: str, inside: bool) -> None:
    assert is_within("/root", path, glob) is inside


def test_a_root_may_be_a_file_or_all_there_is() -> None:
    assert is_within("/home/ada/todo.md", "", "todo.md")
    assert is_within("/home/ada/todo.md", "", "*.md")
    assert is_within("/home/ada/todo.md", "", "ada")
    assert not is_within("/home/ada/todo.md", "", "todo.md/")
    assert is_within("/", "etc/hosts", "h*s")
    assert is_within("/", "etc/hosts", "/etc")


def test_an_invalid_pattern_is_reported() -> None:
    with pytest.raises(UsageError, match=r"'\[z-a\]' is not a valid name pattern"):
        check_glob("[z-a]")
    with pytest.raises(UsageError, match="is not a valid name pattern"):
        check_glob("[?--]")


@pytest.mark.parametrize(
    ("glob", "ins", "outs"),
    [("[?-[]", "?A[", "-_"), ("[--a]", "-Aa", "&~"), ("[]a]", "]a", "b"), ("[a-]", "a-", "b")],
)
def test_hyphens_and_brackets_among_characters(glob: str, ins: str, outs: str) -> None:
    assert all(is_within("/r", f"{name}.txt", f"{glob}.txt") for name in ins)
    assert not any(is_within("/r", f"{name}.txt", f"{glob}.txt") for name in outs)


@settings(max_examples=300, deadline=None)
@given(st.text("[]!^-*?ab/.\\&~|()", max_size=8), st.text("ab/-^!].", min_size=1, max_size=8))
def test_a_pattern_means_the_same_to_a_plain_reading_of_it(glob: str, path: str) -> None:
    path = "/".join(filter(None, path.split("/"))) or "a"
    try:
        check_glob(glob)
    except UsageError:
        return
    if "\\" in glob or "[^" in glob:  # fnmatch differs here
        return
    # A range over the capital letters alone: nmm ignores the case of what it matches, and the plain
    # reading, which compares small letters, cannot.
    if re.search(r"[-!*?./&()]-[]\[^ab~|]", glob):
        return
    assert is_within("/home/r", path, glob) == plainly_within("/home/r", path, glob)


def plainly_within(root: str, path: str, glob: str) -> bool:
    """Apply the rule of nmm.index.store.catalog.path_globs, name by name."""
    wanted = [name for name in glob.split("/") if name not in ("", ".")]
    names = [name for name in f"{root}/{path}".split("/") if name]
    of_root = len([name for name in root.split("/") if name]) - 1
    if not wanted:
        return glob.startswith("/")
    if glob.startswith("/"):
        starts = [0]
    else:
        starts = list(range(of_root if set(wanted[0]) & set("*?[") else 0, len(names)))

    def ends(at: int, rest: list[str], equal: bool) -> Iterator[int]:
        if not rest:
            yield at
        elif rest[0] == "**" and not equal and len(rest) > 1:
            for skipped in range(at, len(names)):
                yield from ends(skipped, rest[1:], equal)
        elif at < len(names) and (
            names[at].lower() == rest[0].lower()
            if equal
            else fnmatchcase(names[at].lower(), rest[0].lower())
        ):
            yield from ends(at + 1, rest[1:], equal)

    return any(
        end < len(names) or not glob.endswith("/")
        for start in starts
        for equal in (True, False)
        for end in ends(start, wanted, equal)
    )


# Distance


def test_distances_are_those_on_a_sphere() -> None:
    assert kilometres(*VIENNA, *LINZ) == pytest.approx(155.0, abs=0.5)
    assert kilometres(0, 179.5, 0, -179.5) == pytest.approx(111.19, abs=0.01)
    assert kilometres(90, 0, 90, 135) == pytest.approx(0, abs=1e-6)
    assert kilometres(90, 0, -90, 77) == pytest.approx(math.pi * 6371.0088)
    assert kilometres(None, None, 0, 0) is None


@given(*[st.floats(-90, 90), st.floats(-180, 180)] * 2)
def test_distances_are_those_of_the_chord(a: float, b: float, c: float, d: float) -> None:
    def point(latitude: float, longitude: float) -> NDArray[np.float64]:
        north, east = np.radians(latitude), np.radians(longitude)
        across = np.cos(north)
        return np.array([across * np.cos(east), across * np.sin(east), np.sin(north)])

    chord = np.linalg.norm(point(a, b) - point(c, d))
    expected = 2 * 6371.0088 * np.arcsin(min(1, chord / 2))
    assert kilometres(a, b, c, d) == pytest.approx(expected, abs=1e-3)


# Each filter

MIXED = [
    File(
        "/home/ada/Pictures/2023/vienna.jpg",
        taken_at="2023-05-01T00:00:00",
        place=VIENNA,
        camera="Canon EOS 5D",
        words="exit",
        size=3_000_000,
        width=4000,
        height=3000,
    ),
    File(
        "/home/ada/Pictures/2023/linz.JPEG",
        taken_at="2023-04-30T23:59:59-11:00",
        place=LINZ,
        camera="NIKON D90",
        words="",
        width=3000,
        height=4000,
    ),
    File("/home/ada/Pictures/fiji.png", place=FIJI, width=500, height=500, camera="ÉCLAIR"),
    File("/disk/old/scan.tar.gz", width=None, height=None),
    text("/disk/old/notes/todo.md", (0.4, 0.6), modified="2023-05-01T00:00:00", size=10),
    text("/disk/old/2023.md", modified="2023-04-30T23:59:59"),
]


@pytest.fixture(scope="module")
def mixed(make: Make) -> Index:
    return make(MIXED)


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"after": "2023-05-01T00:00:00"}, {"vienna.jpg", "todo.md"}),
        ({"before": "2023-05-01T00:00:00"}, {"linz.JPEG", "fiji.png", "scan.tar.gz", "2023.md"}),
        ({"after": "2023-04-30T23:59:59", "before": "2023-05-01"}, {"linz.JPEG", "2023.md"}),
        ({"after": "0001-01-01", "camera": "a"}, {"vienna.jpg", "fiji.png"}),
        ({"after": "9999-12-31"}, set()),
        ({"before": "0001-01-01"}, set()),
        ({"near": GeoCircle(*VIENNA, 1)}, {"vienna.jpg"}),
        ({"near": GeoCircle(*VIENNA, 154)}, {"vienna.jpg"}),
        ({"near": GeoCircle(*VIENNA, 156)}, {"vienna.jpg", "linz.JPEG"}),
        ({"near": GeoCircle(-17.8, -179.9, 25)}, {"fiji.png"}),
        ({"near": GeoCircle(0, 0, 20_100)}, {"vienna.jpg", "linz.JPEG", "fiji.png"}),
        ({"camera": "canon"}, {"vienna.jpg"}),
        ({"camera": "nikon d"}, {"linz.JPEG"}),
        ({"camera": "éCl"}, {"fiji.png"}),
        ({"camera": "%"}, set()),
        ({"min_width": 3001}, {"vienna.jpg"}),
        ({"min_width": 3000}, {"vienna.jpg", "linz.JPEG"}),
        ({"min_width": 10**30}, set()),
        ({"orientation": "landscape"}, {"vienna.jpg"}),
        ({"orientation": "portrait"}, {"linz.JPEG"}),
        ({"orientation": "square"}, {"fiji.png"}),
        ({"min_bytes": 3_000_000}, {"vienna.jpg"}),
        ({"min_bytes": 3_000_001}, set()),
        ({"min_bytes": 10**30}, set()),
        ({"extensions": ("jpg", "jpeg")}, {"vienna.jpg", "linz.JPEG"}),
        ({"extensions": ("gz",)}, {"scan.tar.gz"}),
        ({"extensions": ("tar.gz",)}, {"scan.tar.gz"}),
        ({"extensions": ("d",)}, set()),
        ({"extensions": ("2023.md",)}, set()),
        ({"has_text": True}, {"vienna.jpg"}),
        ({"has_text": False}, {"linz.JPEG"}),
        ({"path_globs": ("2023",)}, {"vienna.jpg", "linz.JPEG"}),
        ({"path_globs": ("notes", "*.png")}, {"todo.md", "fiji.png"}),
        ({"path_globs": ("/disk",), "extensions": ("md",), "min_bytes": 11}, {"2023.md"}),
    ],
)
def test_a_filter_keeps_files_that_pass(
    mixed: Index, filters: dict[str, object], names: set[str]
) -> None:
    assert {Path(path).name for path in mixed.paths(**filters)} == names


@pytest.mark.parametrize(
    "filters",
    [
        {"near": GeoCircle(0, 0, 30_000)},
        {"camera": ""},
        {"min_width": 1},
        {"orientation": "square"},
        {"has_text": False},
        {"has_text": True},
    ],
)
def test_no_text_passes_a_filter_for_images(mixed: Index, filters: dict[str, object]) -> None:
    assert mixed.find(kinds=["text"], **filters) == []


def test_only_chunks_of_files_that_pass_are_searched(mixed: Index) -> None:
    catalog = mixed.search._catalog
    every = catalog.chunk_ids("text").tolist()
    assert len(every) == 3
    for names, chunks in ((("todo.md",), every[:2]), (("2023.md",), every[2:]), (("no",), [])):
        where = condition_of(Filters(path_globs=names))
        assert where is not None
        assert passing_chunks(catalog, "text", where).tolist() == chunks
        assert passing_chunks(catalog, "image", where).tolist() == []


def test_scores_are_those_without_a_filter(mixed: Index) -> None:
    every = dict(mixed.find())
    assert dict(mixed.find(after="2023-05-01")) == {
        path: score for path, score in every.items() if Path(path).name in {"vienna.jpg", "todo.md"}
    }


@pytest.mark.parametrize("moment", ["", "soon", "2023-13-01", "2023-05-01T25:00:00"])
def test_a_time_that_is_none_is_refused(mixed: Index, moment: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        mixed.find(after=moment)


def test_of_one_content_only_the_file_that_passes_is_found(make: Make) -> None:
    kept = File("/home/ada/Pictures/kept/a.jpg", content="same", modified="2024-01-01T00:00:00")
    copy = replace(kept, path="/disk/old/b.png", modified="2021-01-01T00:00:00", size=5)
    index = make([kept, copy])
    assert index.paths() == {kept.path, copy.path}
    for filters in ({"path_globs": ("kept",)}, {"extensions": ("jpg",)}, {"after": "2022-01-01"}):
        assert index.paths(**filters) == {kept.path}
    for filters in ({"path_globs": ("/disk",)}, {"extensions": ("png",)}, {"before": "2022-01-01"}):
        assert index.paths(**filters) == {copy.path}
    assert index.paths(min_bytes=6) == {kept.path}
    assert index.paths(extensions=("png",), min_bytes=6) == set()


def test_changes_of_other_processes_are_seen_at_the_next_query(make: Make, tmp_path: Path) -> None:
    file = File("/disk/old/a.jpg")
    index = make([file])
    assert index.paths(extensions=("png",)) == set()
    with open_for_writing(IndexFolder(index.search._catalog.file.parent)) as writer, writer.batch():
        content = writer.content_id(file.path.encode())
        (root,) = writer.roots()
        writer.put_file(root, "b.png", 1, 1, status="indexed", content_id=content)
    assert index.paths(extensions=("png",)) == {"/disk/old/b.png"}


# Combined filters, compared with a plain check of every file


def passes(file: File, filters: Filters) -> bool:
    shown = (file.taken_at or file.modified)[:19]
    sizes = (file.width, file.height) if file.kind == "image" else None
    width, height = sizes or (0, 0)
    return (
        (
            not filters.path_globs
            or any(plainly_within(file.root, file.below, g) for g in filters.path_globs)
        )
        and (filters.after is None or shown >= filters.after)
        and (filters.before is None or shown < filters.before)
        and (
            filters.near is None
            or (
                file.place is not None
                and (kilometres(*file.place, filters.near.latitude, filters.near.longitude) or 0)
                <= filters.near.radius_km
            )
        )
        and (filters.camera is None or filters.camera.lower() in (file.camera or "\0").lower())
        and (filters.min_width is None or (width or 0) >= filters.min_width)
        and (
            filters.orientation is None
            or (
                sizes is not None
                and filters.orientation
                == ("square" if width == height else "landscape" if width > height else "portrait")
            )
        )
        and (filters.min_bytes is None or file.size >= filters.min_bytes)
        and (not filters.extensions or file.path.lower().rpartition(".")[2] in filters.extensions)
        and (
            filters.has_text is None
            or (file.words is not None and bool(file.words) == filters.has_text)
        )
    )


def a_library() -> list[File]:
    """Draw files with random properties, and copies of some in other folders."""
    rng = np.random.default_rng(11)

    def one(*choices: object) -> object:
        return choices[rng.integers(len(choices))]

    files: list[File] = []
    for number in range(150):
        root = one("/home/ada/Pictures", "/disk/old")
        folder = one("", "2023/", "2023/May/", "2024/may/", "Holidays/", "a b/c/")
        moment = (
            f"202{rng.integers(0, 5)}-{rng.integers(1, 13):02}-01T{rng.integers(0, 24):02}:00:00"
        )
        size = int(10 ** rng.uniform(1, 7))
        cosines = tuple(rng.uniform(-0.2, 0.9, rng.integers(1, 5)).tolist())
        if rng.random() < 0.4:
            path = f"{root}/{folder}{number}.{one('md', 'TXT')}"
            files.append(text(path, cosines, modified=moment, size=size))
            continue
        files.append(
            File(
                f"{root}/{folder}{number}.{one('jpg', 'JPG', 'png')}",
                cosines[:1],
                modified=moment,
                size=size,
                width=int(one(300, 640, 4000)),  # type: ignore[call-overload]
                height=int(one(300, 640, 4000)),  # type: ignore[call-overload]
                taken_at=one(None, moment.replace("202", "201"), moment + "+09:00"),  # type: ignore[arg-type]
                place=one(None, VIENNA, LINZ, FIJI),  # type: ignore[arg-type]
                camera=one(None, "Canon EOS 5D", "NIKON D90"),  # type: ignore[arg-type]
                words=one(None, "", "exit"),  # type: ignore[arg-type]
            )
        )
    for number, file in enumerate(files[::5]):
        path = f"{one('/home/ada/Pictures', '/disk/old')}/copies/{number}.{one('png', 'md')}"
        moved = replace(file, path=path, content=file.path, modified="2024-12-31T23:00:00")
        files.append(replace(moved, size=int(10 ** rng.uniform(1, 7))))
    return files


@pytest.fixture(scope="module")
def library(make: Make) -> Index:
    return make(a_library())


MOMENTS = st.sampled_from(["2012-01-01", "2021-03-01", "2022-07-01", "2023-05-01", "2024-06-01"])
SOME_FILTERS = st.builds(
    Filters,
    path_globs=st.sampled_from(
        [(), (), ("2023",), ("may", "Holidays"), ("*.md",), ("/disk",), ("2023/*",), ("copies/",)]
    ),
    after=st.none() | MOMENTS.map(lambda day: f"{day}T00:00:00"),
    before=st.none() | MOMENTS.map(lambda day: f"{day}T00:00:00"),
    near=st.sampled_from(
        [None] * 3 + [GeoCircle(*VIENNA, 10), GeoCircle(*LINZ, 200), GeoCircle(-18, -180, 99)]
    ),
    camera=st.sampled_from([None, None, None, "canon", "D"]),
    min_width=st.sampled_from([None, None, None, 301, 4000]),
    orientation=st.sampled_from([None, None, None, "landscape", "portrait", "square"]),
    min_bytes=st.sampled_from([None, None, 1000, 100_000]),
    extensions=st.sampled_from([(), (), ("jpg",), ("png", "md")]),
    has_text=st.sampled_from([None, None, None, True, False]),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(SOME_FILTERS, st.sampled_from([1, 7, 1000]), st.booleans())
def test_a_filtered_search_is_that_of_all_files_that_pass(
    library: Index, filters: Filters, count: int, through_files: bool
) -> None:
    expected = sorted(
        (-round(max(file.cosines), 3), file.path) for file in library.files if passes(file, filters)
    )
    with pytest.MonkeyPatch.context() as patch:
        if through_files:  # as in an index with more vectors than are compared one by one
            patch.setattr(searcher, "MAX_EXACT_SUBSET", 0)
        found = searching.find(library.search, QUERY, count, filters=filters)
    assert len(found) == min(count, len(expected))
    assert {each.path for each in found} <= {path for _, path in expected}
    best = [-score for score, _ in expected[:count]]
    assert [each.score for each in found] == pytest.approx(best, abs=2e-3)
    request = searching.request(QUERY, count, filters=filters)
    told = library.search.search(request).empty_because
    assert bool(told) == (not expected)
    if told and len(told[0].filters) > 1:
        assert_needed(library, filters, told[0])


def assert_needed(library: Index, filters: Filters, emptied: EmptyFilter) -> None:
    """Check that the named filters together exclude everything, and that each of them is needed."""
    empty = Filters()
    chosen = {name: getattr(filters, name) for name in emptied.filters}
    assert not any(passes(file, Filters(**chosen)) for file in library.files)
    for name in chosen:
        others = replace(Filters(**chosen), **{name: getattr(empty, name)})
        assert any(passes(file, others) for file in library.files)


# Which filter excluded everything


@pytest.mark.parametrize(
    ("filters", "kinds", "emptied"),
    [
        (Filters(), KINDS, []),
        (Filters(extensions=("md",)), KINDS, []),
        (Filters(min_bytes=10**9), KINDS, [EmptyFilter(("min_bytes",), 6)]),
        (Filters(min_bytes=10**9, extensions=("md",)), KINDS, [EmptyFilter(("min_bytes",), 6)]),
        (
            Filters(path_globs=("nowhere",), extensions=("exe",)),
            KINDS,
            [EmptyFilter(("path_globs",), 6), EmptyFilter(("extensions",), 6)],
        ),
        (Filters(extensions=("md",)), ["image"], [EmptyFilter(("extensions",), 4)]),
        (
            Filters(extensions=("md",), min_bytes=10, min_width=1),
            KINDS,
            [EmptyFilter(("min_width", "extensions"), 3)],
        ),
        (
            Filters(after="2024-01-01T00:00:00"),
            ["text"],
            [EmptyFilter(("after",), 2, available=("2023-04-30", "2023-05-01"))],
        ),
        (
            Filters(camera="leica"),
            KINDS,
            [EmptyFilter(("camera",), 6, available=("Canon EOS 5D", "NIKON D90", "ÉCLAIR"))],
        ),
        (Filters(near=GeoCircle(0, 0, 1)), KINDS, [EmptyFilter(("near",), 6, located_images=3)]),
        (Filters(has_text=True), ["text"], [EmptyFilter(("has_text",), 2, 2)]),
        (
            Filters(has_text=True, camera="nikon"),
            KINDS,
            [EmptyFilter(("camera", "has_text"), 1, 2)],
        ),
    ],
)
def test_the_filter_that_excluded_everything_is_named(
    mixed: Index, filters: Filters, kinds: Sequence[Kind], emptied: list[EmptyFilter]
) -> None:
    response = mixed.search.search(searching.request(QUERY, kinds=kinds, filters=filters))
    assert response.empty_because == tuple(emptied)
    assert bool(response.results) == (not emptied)
