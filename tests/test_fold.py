"""Near-duplicate results are merged, and no others."""

from __future__ import annotations

import random
import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest
import searching
from PIL import Image, ImageDraw, ImageFont
from support import SAMPLE_DATA, Nmm

from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.indexing import indexer as build_module
from nmm.index.indexing.indexer import build
from nmm.index.media.image.fingerprint import BYTES, copies, fingerprint
from nmm.index.search import engine as search_module
from nmm.index.search.engine import open_search
from nmm.index.search.near_duplicates import WordSet, is_near_duplicate_text
from nmm.index.search.result import SearchResult
from nmm.index.store.layout import IndexFolder

PHOTOS = sorted((SAMPLE_DATA / "photos").glob("*.jpg"))
DATE_TIME_ORIGINAL, EXIF_IFD = 0x9003, 0x8769


@pytest.fixture(autouse=True)
def loaded(mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the model once for all tests."""
    for module in (build_module, search_module):
        monkeypatch.setattr(module, "load_encoder", lambda *_, **__: mini)
    monkeypatch.setattr(build_module, "prepare", lambda *_, **__: None)


def find(
    folder: IndexFolder, query: str, count: int = 50, *, fold: bool = True
) -> list[SearchResult]:
    with open_search(folder) as search:
        return searching.find(search, query, count, collapse_duplicates=fold)


def rows(results: list[SearchResult]) -> list[set[str]]:
    """Return the names in each row: of the representative file, and of its copies."""
    return [{Path(path).name for path in (one.path, *one.copies)} for one in results]


def photo(name: str) -> Image.Image:
    return Image.open(SAMPLE_DATA / "photos" / name).convert("RGB")


def saved(image: Image.Image, **options: object) -> Image.Image:
    data = BytesIO()
    image.save(data, "JPEG", **options)
    return Image.open(data).convert("RGB")


# Pictures


def test_a_picture_and_its_copies_are_one_row(tmp_path: Path, folder: IndexFolder) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cat, cup = photo("chelsea.jpg"), photo("espresso.jpg")
    cat.save(pictures / "cat.png")
    cat.save(pictures / "again.jpg", quality=60)
    cat.resize((cat.width // 2, cat.height // 2)).save(pictures / "small.webp")
    edge = cat.width // 100, cat.height // 100
    cat.crop((*edge, cat.width - edge[0], cat.height - edge[1])).save(pictures / "cropped.png")
    cup.save(pictures / "cup.png")
    (pictures / "cup copy.png").write_bytes((pictures / "cup.png").read_bytes())
    build([pictures], folder)
    results = find(folder, "a cat")
    assert rows(results) == [
        {"cat.png", "again.jpg", "small.webp", "cropped.png"},
        {"cup.png", "cup copy.png"},
    ]
    assert [result.rank for result in results] == [1, 2]


def test_the_best_of_the_copies_stands_for_them_and_the_others_follow_by_rank(
    tmp_path: Path, folder: IndexFolder
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for quality in (30, 60, 90):
        photo("chelsea.jpg").save(pictures / f"{quality}.jpg", quality=quality)
    build([pictures], folder)
    every = find(folder, "a cat", fold=False)
    (row,) = find(folder, "a cat")
    assert len(every) == 3
    assert [row.path, *row.copies] == [one.path for one in every]
    assert row.score == every[0].score
    assert all(one.copies == () for one in every)


def test_as_many_rows_are_found_as_are_asked_for_however_many_copies_there_are(
    tmp_path: Path, folder: IndexFolder
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(40):
        (pictures / f"cat {number:02}.jpg").write_bytes(PHOTOS[2].read_bytes())
    for file in PHOTOS:
        (pictures / file.name).write_bytes(file.read_bytes())
    build([pictures], folder)
    found = find(folder, "a cat", 3)
    assert len(found) == 3
    assert len(found[0].copies) == 40
    assert [one.copies for one in found[1:]] == [(), ()]


def test_of_different_files_none_is_hidden(sample_data: Path, folder: IndexFolder) -> None:
    build([sample_data], folder)
    for query in ("a cat", "how to make espresso", "asdf qwer"):
        folded, every = find(folder, query, 100), find(folder, query, 100, fold=False)
        assert folded == every
        assert len(every) == 31


@pytest.mark.parametrize(
    ("times", "rows_found"),
    [
        (("2020:01:01 10:00:00", "2020:01:01 10:00:00"), 1),
        (("2020:01:01 10:00:00", "2020:01:01 10:00:01"), 2),
        (("2020:01:01 10:00:00", None), 1),
    ],
)
def test_pictures_that_were_taken_at_two_times_are_two(
    tmp_path: Path, folder: IndexFolder, times: tuple[str | None, ...], rows_found: int
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, time in enumerate(times):
        exif = Image.Exif()
        if time:
            exif.get_ifd(EXIF_IFD)[DATE_TIME_ORIGINAL] = time
        photo("launch.jpg").save(pictures / f"{number}.jpg", quality=80 + number, exif=exif)
    build([pictures], folder)
    assert len(find(folder, "a rocket")) == rows_found


def test_pictures_of_an_older_index_fold_by_their_vectors(
    tmp_path: Path, folder: IndexFolder
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for file in PHOTOS:
        (pictures / file.name).write_bytes(file.read_bytes())
    photo("chelsea.jpg").save(pictures / "chelsea.png")
    build([pictures], folder)
    with closing(sqlite3.connect(folder.catalog, isolation_level=None)) as connection:
        connection.execute("UPDATE contents SET fingerprint = NULL")
    found = rows(find(folder, "a cat"))
    assert {"chelsea.jpg", "chelsea.png"} in found
    assert len(found) == len(PHOTOS)


@pytest.mark.parametrize("wrong", ["text", b"", b"short", b"x" * (BYTES + 1), 7])
def test_invalid_fingerprints_are_ignored(
    tmp_path: Path, folder: IndexFolder, wrong: object
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("chelsea.jpg", "espresso.jpg"):
        photo(name).save(pictures / name)
    build([pictures], folder)
    with closing(sqlite3.connect(folder.catalog, isolation_level=None)) as connection:
        connection.execute("UPDATE contents SET fingerprint = ?", (wrong,))
    assert len(find(folder, "a cat")) == 2


# Fingerprints


def heart(colour: str) -> Image.Image:
    image = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(image).ellipse((40, 40, 160, 160), fill=colour)
    return image


def page(text: str) -> Image.Image:
    image = Image.new("RGB", (850, 1100), "white")
    ImageDraw.Draw(image).multiline_text(
        (70, 70), text, font=ImageFont.load_default(20), fill="black"
    )
    return image


def page_of(name: str) -> Image.Image:
    text = (SAMPLE_DATA / "notes" / name).read_text("utf-8")
    return page("\n".join(line[:70] for line in text.splitlines()[:35]))


@pytest.mark.parametrize(
    "image",
    [*(photo(file.name) for file in PHOTOS), heart("red"), page_of("chelsea.md")],
)
@pytest.mark.parametrize(
    "change",
    [
        lambda image: saved(image, quality=60),
        lambda image: image.resize((image.width // 2, image.height // 2)),
        lambda image: image.resize((image.width * 2, image.height * 2)),
    ],
    ids=["saved again", "smaller", "larger"],
)
def test_a_copy_has_the_fingerprint_of_its_original(
    image: Image.Image, change: Callable[[Image.Image], Image.Image]
) -> None:
    assert copies([fingerprint(image), fingerprint(change(image))]) == [[], [0]]


@pytest.mark.parametrize(
    "images",
    [
        [photo(file.name) for file in PHOTOS],
        [heart(colour) for colour in ("red", "blue", "green", "black", "orange")],
        [Image.new("RGB", (99, 99), colour) for colour in ("white", "silver", "black", "red")],
        [page_of(name) for name in ("chelsea.md", "garden_diary.md", "bike_repair.md")],
    ],
    ids=["photos", "colours", "flat", "pages"],
)
def test_different_pictures_have_different_fingerprints(images: list[Image.Image]) -> None:
    assert copies([fingerprint(image) for image in images]) == [[] for _ in images]
    assert copies([fingerprint(image) for image in (*images, *images)])[len(images) :] == [
        [place] for place in range(len(images))
    ]


def test_invalid_fingerprints_match_nothing() -> None:
    print_ = fingerprint(photo("chelsea.jpg"))
    assert copies([b"", print_, print_[1:], print_, b""]) == [[], [], [], [1], []]


# Texts


BODY = (SAMPLE_DATA / "notes" / "garden_diary.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("copy", "is_one"),
    [
        (BODY.replace("\n", "\r\n").encode(), True),
        (BODY.encode("utf-16"), True),
        (BODY.replace("\n", " \n").encode(), True),
        (BODY.replace("greenhouse", "glasshouse").encode(), True),
        (BODY.replace("two", "2").encode(), False),
        ((BODY[: len(BODY) // 3] + "\n\nAnother end.\n").encode(), False),
    ],
    ids=["line ends", "UTF-16", "spaces", "a word", "a number", "another end"],
)
def test_texts_are_one_row_if_all_their_words_are_nearly_the_same(
    tmp_path: Path, folder: IndexFolder, copy: bytes, is_one: bool
) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_bytes(BODY.encode())
    (notes / "b.md").write_bytes(copy)
    build([notes], folder)
    found = rows(find(folder, "the plan for the long bed"))
    assert sorted(map(sorted, found)) == ([["a.md", "b.md"]] if is_one else [["a.md"], ["b.md"]])


def changed(seed: int, share: float) -> tuple[str, str]:
    """Two passages, of which one has a share of other words, and some more."""
    chance = random.Random(seed)
    one = [
        chance.choice(["Über", "die", "Brücke", "12", "ways:", "7", "it's", "2023", "and", "cats"])
        for _ in range(99)
    ]
    one += [f"w{chance.randrange(400)}" for _ in range(chance.randrange(300))]
    other = [chance.choice([*one, "x", "9"]) if chance.random() < share else word for word in one]
    other += one[: chance.randrange(1 + int(2 * share * len(one)))]
    return " ".join(one), " ".join(other)


def test_the_early_exit_for_different_passages_is_exact() -> None:
    """Compared with the definition, word by word."""
    found = Counter[bool]()
    for seed in range(400):
        one, other = changed(seed, share=random.Random(seed).choice((0, 0.02, 0.05, 0.1, 0.4)))
        counts = [Counter(re.findall(r"\w+", text.casefold())) for text in (one, other)]
        common = (counts[0] & counts[1]).total()
        every = (counts[0] | counts[1]).total()
        differ = (counts[0] | counts[1]) - (counts[0] & counts[1])
        same = common >= 0.9 * every and all(word.isalpha() for word in differ)
        assert is_near_duplicate_text(WordSet([one]), WordSet([other])) == same, (one, other)
        assert is_near_duplicate_text(WordSet(other.split(" ", 9)), WordSet([one])) == same
        found[same] += 1
    assert min(found.values()) > 40


def test_two_programs_with_one_licence_are_two(tmp_path: Path, folder: IndexFolder) -> None:
    licence = " ".join(["Permission is hereby granted to use this software."] * 12)
    code = tmp_path / "code"
    code.mkdir()
    for name in ("moon", "larder"):
        body = f"{name} does what a {name} does, and never more than that. " * 15
        (code / f"{name}.txt").write_text(f"{licence}\n\n\n{body}\n", "utf-8")
    build([code], folder)
    found = find(folder, "permission to use software")
    assert [one.copies for one in found] == [(), ()]
    assert found[0].text == found[1].text


# The command


def test_the_command_merges_near_duplicates_unless_all(tmp_path: Path, nmm: Nmm) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    photo("chelsea.jpg").save(pictures / "cat.png")
    photo("chelsea.jpg").save(pictures / "cat.jpg", quality=70)
    photo("espresso.jpg").save(pictures / "cup.png")
    assert nmm("index", "--model", "mini", pictures).returncode == 0
    folded = nmm("search", "a cat", "--paths").stdout.splitlines()
    unfolded = nmm("search", "a cat", "--paths", "--all").stdout.splitlines()
    assert [Path(path).stem for path in folded] == ["cat", "cup"]
    assert sorted(Path(path).name for path in unfolded) == ["cat.jpg", "cat.png", "cup.png"]
