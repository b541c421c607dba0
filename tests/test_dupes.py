"""Duplicates: which files show the same image or text, and which of them is kept."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from hostile import NAMES
from PIL import Image, ImageFilter, ImageOps
from support import SAMPLE_DATA, Nmm

from nmm.index.analysis.collection import open_collection
from nmm.index.analysis.dupes.candidates import find_by_hash, find_by_vector
from nmm.index.analysis.dupes.crop_match import registered_distance
from nmm.index.analysis.dupes.disk_state import check_files
from nmm.index.analysis.dupes.groups import DuplicateReport, find_duplicates
from nmm.index.analysis.dupes.image_match import perceptual_hashes
from nmm.index.analysis.dupes.pairs import MatchKind, Thresholds, split_into_runs
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.indexing import indexer as build_module
from nmm.index.indexing.indexer import build
from nmm.index.media.image.fingerprint import GREY, fingerprint
from nmm.index.store.catalog.comparison_data import Appearance
from nmm.index.store.catalog.file_vectors import Item
from nmm.index.store.layout import IndexFolder

MAKE, MODEL, EXIF_IFD, DATE_TIME_ORIGINAL = 0x010F, 0x0110, 0x8769, 0x9003
PHOTOS = sorted((SAMPLE_DATA / "photos").glob("*.jpg"))


@pytest.fixture(autouse=True)
def loaded(mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the model once for all tests."""
    monkeypatch.setattr(build_module, "load_encoder", lambda *_, **__: mini)
    monkeypatch.setattr(build_module, "prepare", lambda *_, **__: None)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    there = tmp_path / "files"
    there.mkdir()
    return there


def photo(name: str) -> Image.Image:
    return Image.open(SAMPLE_DATA / "photos" / name).convert("RGB")


def taken(when: str, model: str = "X100") -> Image.Exif:
    exif = Image.Exif()
    exif[MAKE], exif[MODEL] = "Fujifilm", model
    exif.get_ifd(EXIF_IFD)[DATE_TIME_ORIGINAL] = when
    return exif


def find(
    files: Path, folder: IndexFolder, *matches: MatchKind, **thresholds: Any
) -> DuplicateReport:
    """Index some files, and return the duplicates among them."""
    build([files], folder, model="mini", offline=True)
    return again(folder, *matches, **thresholds)


def again(folder: IndexFolder, *matches: MatchKind, **thresholds: Any) -> DuplicateReport:
    with open_collection(folder) as collection:
        return find_duplicates(collection, matches or tuple(MatchKind), Thresholds(**thresholds))


def shown(found: DuplicateReport) -> list[tuple[str, str, set[str]]]:
    """Return for each group its kind, the name of the kept file, and the others."""
    return sorted(
        (
            group.kind.value,
            Path(group.files[0].path).name,
            {Path(file.path).name for file in group.files[1:]},
        )
        for group in found.groups
    )


# Near-duplicate images


def test_a_hash_is_that_of_imagehash_of_the_kept_pixels() -> None:
    grey = np.stack(
        [np.frombuffer(fingerprint(photo(path.name))[: GREY * GREY], np.uint8) for path in PHOTOS]
    ).reshape(-1, GREY, GREY)
    ours = perceptual_hashes(grey.astype(np.float32))
    for turn in range(4):
        for one, pixels in zip(ours[:, turn], np.rot90(grey, turn, (1, 2)), strict=True):
            image = Image.fromarray(np.ascontiguousarray(pixels))
            theirs = imagehash.phash(image, hash_size=8, highfreq_factor=2)
            assert np.packbits(theirs.hash).tobytes() == one.tobytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((image.width // 2, image.height // 2)),
        lambda image: image.transpose(Image.Transpose.ROTATE_90),
        lambda image: image.transpose(Image.Transpose.ROTATE_180),
        lambda image: image.convert("L"),
        lambda image: image.crop((3, 3, image.width - 3, image.height - 3)),
        lambda image: image.crop(
            tuple(
                round(part * side)
                for part, side in zip((0.05, 0.05, 0.95, 0.95), image.size * 2, strict=True)
            )
        ),
    ],
    ids=["half as wide", "turned by 90", "turned by 180", "grey", "1 % off", "5 % off"],
)
def test_slightly_modified_images_are_duplicates(
    files: Path, folder: IndexFolder, change: Any
) -> None:
    shutil.copy(SAMPLE_DATA / "photos/chelsea.jpg", files / "cat.jpg")
    shutil.copy(SAMPLE_DATA / "photos/espresso.jpg", files / "cup.jpg")
    change(photo("chelsea.jpg")).save(files / "changed.png")
    (group,) = shown(find(files, folder))
    assert (group[0], {group[1], *group[2]}) == ("near", {"cat.jpg", "changed.png"})


def test_different_and_mirrored_photos_are_no_duplicates(files: Path, folder: IndexFolder) -> None:
    for path in PHOTOS:
        shutil.copy(path, files)
    ImageOps.mirror(photo("astronaut.jpg")).save(files / "mirrored.png")
    found = find(files, folder)
    assert found.groups == []
    assert found.bytes == found.thumbnails == 0


def test_a_crop_matches_its_original_only() -> None:
    def grey(image: Image.Image) -> Any:
        pixels = np.frombuffer(fingerprint(image)[: GREY * GREY], np.uint8)
        return pixels.reshape(1, GREY, GREY).astype(np.float32)

    whole, other = photo("chelsea.jpg"), photo("espresso.jpg")
    part = whole.crop((20, 10, whole.width - 20, whole.height - 15))
    assert registered_distance(grey(whole), grey(part))[0] < 0.07
    assert registered_distance(grey(other), grey(part))[0] > 0.3
    empty = np.zeros((0, GREY, GREY), np.float32)
    assert registered_distance(empty, empty).shape == (0,)


def test_pairs_by_hash_and_by_vector_are_those_of_all_comparisons() -> None:
    chance = np.random.default_rng(0)
    few = chance.integers(0, 256, (40, 1, 8), np.uint8)
    every = np.repeat(np.concatenate([few, few ^ 1, few ^ 3]), 4, axis=1)
    pairs = {
        (int(one), int(other))
        for block in find_by_hash(every, 10)
        for one, other in zip(block.firsts, block.seconds, strict=True)
    }
    bits = np.unpackbits(every[:, 0], axis=1)
    apart = (bits[:, None] != bits[None]).sum(axis=2)
    assert pairs == {(i, j) for i in range(120) for j in range(i + 1, 120) if apart[i, j] <= 10}

    vectors = chance.standard_normal((60, 8)).astype(np.float32)
    vectors = np.concatenate([vectors, vectors + 0.01])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    near = find_by_vector(vectors, 0.99)
    cosines = vectors @ vectors.T
    expected = {(i, j) for i in range(120) for j in range(i + 1, 120) if cosines[i, j] >= 0.99}
    assert set(zip(near.firsts.tolist(), near.seconds.tolist(), strict=True)) == expected
    assert len(find_by_vector(vectors[:1], 0.5).firsts) == 0


def test_texts_with_the_same_words_are_near_duplicates_unless_amounts_differ(
    files: Path, folder: IndexFolder
) -> None:
    text = (SAMPLE_DATA / "notes/garden_diary.md").read_text("utf-8")
    (files / "diary.md").write_text(text)
    (files / "diary again.md").write_text(text.replace(" the ", " that ", 1) + "\nRead again.\n")
    (files / "bill.txt").write_text("Invoice 17: 12 hours of gardening, 480 euros, paid in May.")
    (files / "bill 2.txt").write_text("Invoice 18: 13 hours of gardening, 520 euros, paid in May.")
    assert shown(find(files, folder)) == [("near", "diary again.md", {"diary.md"})]


# Groups


def test_a_group_contains_duplicates_of_the_kept_file_only(
    files: Path, folder: IndexFolder
) -> None:
    """Two images fade into one another: neighbours are similar, the ends are not."""
    one, other = (photo(name).resize((400, 300)) for name in ("chelsea.jpg", "espresso.jpg"))
    for step in range(11):
        Image.blend(one, other, step / 10).save(files / f"{step:02}.png")
    found = find(files, folder, bits=20)
    assert len(found.groups) > 1
    every = [file.path for group in found.groups for file in group.files]
    assert len(every) == len(set(every))
    assert not any(
        {"00.png", "10.png"} <= {Path(f.path).name for f in g.files} for g in found.groups
    )
    for group in found.groups:
        assert [file.keep for file in group.files] == [True] + [False] * (len(group.files) - 1)


def test_copies_of_one_content_keep_the_oldest(files: Path, folder: IndexFolder) -> None:
    for name, age in (("a.jpg", 10), ("b.jpg", 30), ("c.jpg", 20)):
        shutil.copy(PHOTOS[0], files / name)
        os.utime(files / name, (1_700_000_000 - age, 1_700_000_000 - age))
    found = find(files, folder, MatchKind.EXACT)
    assert shown(found) == [("exact", "b.jpg", {"a.jpg", "c.jpg"})]
    assert found.bytes == 2 * PHOTOS[0].stat().st_size
    assert found.thumbnails == 0
    (group,) = found.groups
    assert [file.reason for file in group.files] == ["the oldest", "newer", "newer"]


def test_the_kept_image_has_most_pixels_then_sharpness_then_format(
    files: Path, folder: IndexFolder
) -> None:
    cat, cup = photo("chelsea.jpg"), photo("espresso.jpg")
    wall, space = photo("bricks.jpg"), photo("deep_field.jpg")
    cat.save(files / "cat large.jpg", quality=60)
    cat.resize((cat.width // 2, cat.height // 2)).save(files / "cat small.png")
    cup.save(files / "cup sharp.jpg", quality=90)
    cup.filter(ImageFilter.GaussianBlur(2)).save(files / "cup blurred.png")
    wall.save(files / "wall.jpg", quality=90)
    wall.save(files / "wall.png")
    space.save(files / "space.jpg", quality=95)
    space.save(files / "space web.jpg", quality=85)
    found = find(files, folder)
    assert shown(found) == [
        ("near", "cat large.jpg", {"cat small.png"}),
        ("near", "cup sharp.jpg", {"cup blurred.png"}),
        ("near", "space.jpg", {"space web.jpg"}),
        ("near", "wall.png", {"wall.jpg"}),
    ]
    reasons = {Path(f.path).name: f.reason for group in found.groups for f in group.files}
    assert reasons["cat small.png"] == "fewer pixels"
    assert reasons["cup blurred.png"] == "less sharp"
    assert reasons["wall.jpg"] == "a format that loses more"
    assert reasons["space web.jpg"] == "a smaller file"
    assert found.thumbnails == 6  # if the number of pixels decides, no file is read


def test_a_burst_is_from_one_camera_within_seconds(files: Path, folder: IndexFolder) -> None:
    cat = photo("chelsea.jpg")

    def frame(name: str, shift: int, when: str, **camera: str) -> None:
        moved = cat.crop((shift, 0, shift + 400, 300))
        moved.save(files / name, exif=taken(f"2024:05:01 {when}", **camera))

    frame("1.jpg", 0, "10:00:00")
    frame("2.jpg", 12, "10:00:01")
    frame("3.jpg", 24, "10:00:03")
    frame("later.jpg", 36, "10:00:09")
    frame("other camera.jpg", 48, "10:00:01", model="D5")
    photo("launch.jpg").resize((400, 300)).save(
        files / "else.jpg", exif=taken("2024:05:01 10:00:01")
    )
    found = find(files, folder)
    (group,) = shown(found)
    assert (group[0], {group[1], *group[2]}) == ("burst", {"1.jpg", "2.jpg", "3.jpg"})
    assert again(folder, MatchKind.NEAR, MatchKind.EXACT).groups == []
    assert len(again(folder, seconds=1.0).groups[0].files) == 2


def test_runs_go_on_as_long_as_the_pauses_are_short() -> None:
    times = ["10:00:00", "10:00:02", "10:00:04", "10:00:07+02:00", "09:59:58"]
    seen = [(n, Appearance(None, f"2024-05-01T{time}", "X")) for n, time in enumerate(times)]
    assert sorted(split_into_runs(seen, Thresholds())) == [[3], [4, 0, 1, 2]]


# Files on disk


def test_deleted_or_changed_files_are_never_kept(files: Path, folder: IndexFolder) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        shutil.copy(PHOTOS[0], files / name)
    (only,) = find(files, folder).groups
    kept = Path(only.files[0].path)
    kept.unlink()
    second = again(folder)
    assert second.missing == [(str(kept), "not there any more")]
    (group,) = second.groups
    assert kept.name not in {Path(file.path).name for file in group.files}
    changed = Path(group.files[0].path)
    data = bytearray(changed.read_bytes())
    data[-3] ^= 1
    changed.write_bytes(data)
    last = again(folder)
    assert last.groups == []
    assert sorted(last.missing) == sorted(
        [(str(kept), "not there any more"), (str(changed), "changed since it was indexed")]
    )


def test_a_file_with_another_time_is_checked_by_its_hash(files: Path, folder: IndexFolder) -> None:
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(PHOTOS[0], files / name)
    find(files, folder)
    os.utime(files / "a.jpg", (1, 1))
    found = again(folder)
    assert found.missing == []
    assert shown(found) == [("exact", "a.jpg", {"b.jpg"})]


@pytest.mark.skipif(not hasattr(os, "link"), reason="no hard links here")
def test_hard_links_take_no_space_and_stay_together(files: Path, folder: IndexFolder) -> None:
    shutil.copy(PHOTOS[0], files / "a.jpg")
    os.link(files / "a.jpg", files / "b.jpg")
    assert find(files, folder).groups == []
    shutil.copy(PHOTOS[0], files / "c.jpg")
    os.utime(files / "c.jpg", (1, 1))
    found = find(files, folder)
    (group,) = found.groups
    names = {Path(file.path).name: file for file in group.files}
    assert {name for name, file in names.items() if file.keep} == {"c.jpg"}
    assert found.bytes == PHOTOS[0].stat().st_size
    assert names["b.jpg"].reason == f"the same file as {files / 'a.jpg'}"
    assert names["b.jpg"].size == 0


def test_a_link_is_never_kept_instead_of_its_file(files: Path) -> None:
    (files / "z.txt").write_text("words")
    try:
        (files / "a.txt").symlink_to(files / "z.txt")
    except OSError:
        pytest.skip("no symbolic links here")
    there = (files / "z.txt").stat()
    link, file = (
        Item(n, 7, str(files / name), "text", b"", 5, there.st_mtime_ns, None, None, None)
        for n, name in enumerate(("a.txt", "z.txt"))
    )
    found = check_files([link, file])
    assert found.missing == []
    (unit,) = found.files[7]
    assert unit.paths == [file.path, link.path]


# The command


@pytest.fixture
def two(files: Path, nmm: Nmm) -> Path:
    shutil.copy(SAMPLE_DATA / "photos/chelsea.jpg", files / "cat.jpg")
    small = photo("chelsea.jpg").resize((225, 150))
    small.save(files / "small.jpg")
    return files


def test_the_command_suggests_files_and_removes_none(two: Path, nmm: Nmm) -> None:
    assert nmm("index", two, "--model", "mini").returncode == 0
    table = nmm("dupes", cwd=two)
    assert table.returncode == 0
    assert table.stdout.splitlines()[1].startswith("keep  cat.jpg  451 × 300, ")
    assert "small.jpg  225 × 150" in table.stdout
    assert "fewer pixels" in table.stdout
    assert nmm("dupes", "--paths").stdout == f"{two / 'small.jpg'}\n"
    assert nmm("dupes", "-0").stdout == f"{two / 'small.jpg'}\0"
    found = json.loads(nmm("dupes", "--json").stdout)
    assert found["version"] == 1
    assert found["bytes"] == (two / "small.jpg").stat().st_size
    (group,) = found["groups"]
    assert (group["kind"], [file["keep"] for file in group["files"]]) == ("near", [True, False])
    assert group["files"][1]["path"] == str(two / "small.jpg")
    exact = nmm("dupes", "--only", "exact")
    assert (exact.returncode, exact.stdout) == (1, "")
    assert exact.stderr == "No duplicates in 2 files (exact).\n"
    assert sorted(path.name for path in two.iterdir()) == ["cat.jpg", "small.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_in_a_terminal_lines_fit_and_paths_are_links(two: Path, nmm: Nmm) -> None:
    from terminal import nmm_on_terminal

    nmm("index", two, "--model", "mini")
    long = "a name that goes on and on, longer than a line of the terminal is wide.jpg"
    shutil.copy(two / "cat.jpg", two / long)
    nmm("index", two)
    status, written = nmm_on_terminal(two.parent, "dupes", width=60)
    assert status == 0
    shown = written.decode()
    assert "\x1b]8;" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\", "", shown)
    assert max(map(len, plain.split("\r\n"))) <= 60


def test_filters_and_invalid_options_are_reported(two: Path, nmm: Nmm) -> None:
    missing = nmm("dupes")
    assert missing.returncode == 4
    nmm("index", two, "--model", "mini")
    none = nmm("dupes", "--ext", "png")
    assert none.returncode == 1
    assert "--ext png" in none.stderr
    assert nmm("dupes", "--json", "--paths").returncode == 2
    assert nmm("dupes", "--only", "alike").returncode == 2
    assert nmm("dupes", "--gallery=-", "--json").returncode == 2


def test_a_file_that_vanished_is_named(two: Path, nmm: Nmm) -> None:
    nmm("index", two, "--model", "mini")
    (two / "cat.jpg").unlink()
    done = nmm("dupes", "--paths")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{two / 'cat.jpg'}: not there any more" in done.stderr


def test_hostile_names_are_escaped_for_people_and_kept_for_scripts(files: Path, nmm: Nmm) -> None:
    data = BytesIO()
    photo("chelsea.jpg").save(data, "JPEG")
    for name in NAMES:
        (files / name).write_bytes(data.getvalue())
    assert nmm("index", files, "--model", "mini").returncode == 0
    going = nmm("dupes", "-0").stdout.split("\0")[:-1]
    assert len(going) == len(NAMES) - 1
    # The pipe to this test translates line ends.
    assert {Path(path).name for path in going} < {name.replace("\r", "\n") for name in NAMES}
    table = nmm("dupes").stdout
    assert "\x1b" not in table
    assert "\u202e" not in table
    page = files.parent / "page.html"
    assert nmm("dupes", "--gallery", page).stdout == f"{page}\n"
    html = page.read_text("utf-8")
    assert html.count("<img ") == len(NAMES)
    assert "<img src=x" not in html
    assert "\u202e" not in html
