"""Text recognition in images: read where it was drawn, once, in a pass that can be interrupted."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from drawn import Box, draw_lines
from PIL import Image
from support import Nmm

from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import ArchiveError
from nmm.index.events import Event, OcrFileProcessed, OcrStarted, OcrUnavailable
from nmm.index.indexing import ocr as ocr_module
from nmm.index.indexing import ocr_tiles
from nmm.index.indexing.indexer import LoadedModels, build
from nmm.index.indexing.ocr import Ocr, clean, load_ocr, reading_order
from nmm.index.indexing.ocr_tiles import Prepared, prepare
from nmm.index.indexing.options import IndexOptions
from nmm.index.maintenance.archive import export_archive, import_archive
from nmm.index.maintenance.status import status
from nmm.index.media.image.decode import DecodedImage, decode
from nmm.index.store.catalog.ocr_text import Line, reads_words, save_ocr_text, set_reads_words
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.recovery.integrity import contradictions
from nmm.index.store.recovery.row_repair import drop_contradictions

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
installed = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr") is None, reason="needs the extra ocr"
)
OCR = IndexOptions(ocr=True)
RECEIPT = ["CORNER BAKERY", "Receipt No. 48213", "Total 5.50 EUR"]


class RememberingOcr(Ocr):
    """Reads as an engine does, but each picture once: many tests index the same pictures."""

    def __init__(self, engine: Ocr) -> None:
        super().__init__(engine._engine)
        self._read: dict[tuple[bytes, ...], list[Line]] = {}

    def read(self, picture: Prepared) -> list[Line]:
        key = tuple(tile.image.tobytes() for tile in picture.tiles)
        if key not in self._read:
            self._read[key] = super().read(picture)
        return self._read[key]


@pytest.fixture(scope="module")
def engine() -> Ocr:
    """The text recognition engine, loaded once."""
    return load_ocr()


@pytest.fixture(scope="module")
def remembering(engine: Ocr) -> Ocr:
    """An engine for runs, which remembers what it read."""
    return RememberingOcr(engine)


@pytest.fixture
def models(remembering: Ocr, mini: OnnxEncoder) -> LoadedModels:
    return LoadedModels(mini, remembering)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a receipt, a copy of it, an image without words, and a note."""
    root = tmp_path.resolve() / "root"
    root.mkdir()
    draw_lines(RECEIPT, (400, 300))[0].save(root / "receipt.png")
    draw_lines(RECEIPT, (400, 300))[0].save(root / "copy.png")
    Image.linear_gradient("L").save(root / "sky.png")
    (root / "note.txt").write_text("A cat sleeps.", "utf-8")
    return root


def sign(path: Path, text: str) -> None:
    draw_lines([text], (240, 160), font_size=24)[0].save(path)


def png(image: Image.Image, **options: Any) -> DecodedImage:
    data = io.BytesIO()
    image.save(data, options.pop("format", "PNG"), **options)
    return decode(data.getvalue(), side=ocr_tiles.DECODE_SIDE)


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


def far_off(lines: list[Line], boxes: list[Box], tolerance: float) -> list[tuple[Line, Box]]:
    """Return the lines with an edge farther from the drawn one than so many pixels."""
    return [
        (line, box)
        for line, box in zip(lines, boxes, strict=True)
        if any(
            abs(found - drawn) > tolerance
            for found, drawn in zip(
                (line.x, line.y, line.x + line.width, line.y + line.height), box, strict=True
            )
        )
    ]


def rows(folder: IndexFolder, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder.catalog)) as connection:
        return connection.execute(sql).fetchall()


WORDS = (
    "SELECT path, words FROM files JOIN contents ON contents.id = content_id "
    "WHERE medium = 'image' ORDER BY path"
)


def words(folder: IndexFolder) -> dict[str, str | None]:
    return dict(rows(folder, WORDS))


@installed
def test_lines_are_read_where_they_were_drawn(engine: Ocr) -> None:
    image, boxes = draw_lines(RECEIPT, (400, 300))
    lines = engine.read(prepare(png(image)))
    assert texts(lines) == RECEIPT
    # The detector leaves a margin around the letters.
    assert far_off(lines, boxes, 12) == []
    assert all(line.confidence >= ocr_module.MIN_CONFIDENCE for line in lines)


@installed
def test_boxes_of_a_large_turned_photo_are_in_the_upright_picture_at_full_size(
    engine: Ocr,
) -> None:
    image, boxes = draw_lines(RECEIPT, (3400, 2600), font_size=260)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = image.transpose(Image.Transpose.ROTATE_90)
    decoded = png(turned, format="JPEG", exif=exif)
    assert (decoded.width, decoded.height) == (3400, 2600)
    assert decoded.image.width < 3400, "it was decoded at half the size"
    lines = engine.read(prepare(decoded))
    assert texts(lines) == RECEIPT
    assert far_off(lines, boxes, 12 * 8) == []


@installed
def test_every_line_of_a_long_picture_is_read_once(engine: Ocr) -> None:
    written = [f"Message number {n}" for n in range(40, 77)]
    image, boxes = draw_lines(written, (640, 3000), font_size=40)
    lines = engine.read(prepare(png(image)))
    assert texts(lines) == written
    assert far_off(lines, boxes, 15) == []


@installed
def test_a_long_line_is_read_in_pieces_cut_between_words(engine: Ocr) -> None:
    written = [f"{n}: " + "the quick brown fox jumps over the lazy dog " * 3 for n in (12, 34, 56)]
    image = draw_lines(written, (1500, 400), font_size=20)[0]
    lines = engine.read(prepare(png(image)))
    assert " ".join(texts(lines)).split() == " ".join(written).split()
    assert len(lines) > len(written)


@installed
@pytest.mark.parametrize("kind", ["CMYK", "transparent", "white on black"])
def test_words_are_read_whatever_the_pixels_are(engine: Ocr, kind: str) -> None:
    image = draw_lines(["Platform 12"], (300, 200))[0]
    if kind == "CMYK":
        decoded = png(image.convert("CMYK"), format="JPEG")
    elif kind == "transparent":
        image.putalpha(image.convert("L").point(lambda level: 255 - level))
        decoded = png(image)
    else:
        decoded = png(draw_lines(["Platform 12"], (300, 200), ink="white", paper="black")[0])
    assert texts(engine.read(prepare(decoded))) == ["Platform 12"]


@installed
def test_noise_has_no_words(engine: Ocr) -> None:
    assert engine.read(prepare(png(Image.effect_noise((300, 300), 120)))) == []


@pytest.mark.parametrize("size", [(1, 1), (5000, 4000), (7, 900)])
def test_images_without_room_for_text_are_not_read(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "red")
    if min(size) > 1 and min(size) < 100:
        image.putpixel((0, 0), (0, 0, 0))
    prepared = prepare(png(image))
    assert (list(prepared.tiles), prepared.width, prepared.height) == ([], *size)


@pytest.mark.parametrize(
    ("size", "tiles"),
    [
        ((40, 30), 1),
        ((4000, 3000), 1),
        ((1170, 2532), 1),
        ((1080, 8000), 4),
        ((8, 12000), 8),
        ((60000, 400), 8),
        ((400, 200), 1),
    ],
)
def test_inputs_of_text_recognition_have_a_bounded_size_and_shape(
    size: tuple[int, int], tiles: int
) -> None:
    image = Image.new("RGB", size, "white")
    image.paste("black", (0, 0, size[0] // 2, size[1] // 2))
    prepared = prepare(DecodedImage(image, *size, None))
    assert len(prepared.tiles) == tiles
    for tile in prepared.tiles:
        longest, shortest = max(tile.image.size), min(tile.image.size)
        assert longest <= ocr_tiles.MAX_SIDE
        assert shortest >= ocr_tiles.MIN_CANVAS
        assert longest <= shortest * ocr_tiles.MAX_ASPECT


@pytest.mark.parametrize(
    ("read", "kept"),
    [
        ("plain", "plain"),
        ("two\nlines\tand\x1b[31m \x00 \u202e\u200b more", "two lines and [31m more"),
        ("Cafe\u0301", "Café"),
        ("\u3000 a1 \ue000", "a1"),
        ("~ ... 7 -", ""),
        ("x" * 5000, "x" * 1000),
        ("", ""),
    ],
)
def test_text_is_kept_clean(read: str, kept: str) -> None:
    assert clean(read) == kept


def test_lines_are_in_reading_order() -> None:
    places = {"d": (0, 30), "b": (90, 2), "a": (0, 0), "c": (200, -3), "e": (0, 60)}
    lines = [Line(text, x, y, 50, 20, 1) for text, (x, y) in places.items()]
    assert "".join(texts(reading_order(lines))) == "abcde"


@installed
def test_nothing_is_downloaded_printed_or_unpickled(tmp_path: Path) -> None:
    draw_lines(RECEIPT, (400, 300))[0].save(tmp_path / "receipt.png")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "def hook(event, _):\n"
        "    if event.startswith(('socket.', 'urllib.', 'pickle.')):\n"
        "        raise RuntimeError(event)\n"
        "sys.addaudithook(hook)\n"
        "from nmm.index.media.image.decode import decode\n"
        "from nmm.index.indexing.ocr import load_ocr\n"
        "from nmm.index.indexing.ocr_tiles import prepare\n"
        "found = load_ocr().read(prepare(decode(Path(sys.argv[1]).read_bytes())))\n"
        "sys.exit(len(found))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, tmp_path / "receipt.png"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")


@installed
def test_words_and_boxes_are_kept_and_read_once(
    root: Path, folder: IndexFolder, models: LoadedModels
) -> None:
    told: list[Event] = []
    first = build([root], folder, model="mini", options=OCR, models=models, on_event=told.append)
    assert first.ocr
    # The receipt and its copy have the same content.
    assert (first.ocr.read, first.ocr.with_words, first.ocr.left) == (2, 1, 0)
    assert told[-3] == OcrStarted(2)
    assert {
        Path(event.path).name for event in told[-2:] if isinstance(event, OcrFileProcessed)
    } == {
        "copy.png",
        "sky.png",
    }
    assert words(folder) == {
        "copy.png": "\n".join(RECEIPT),
        "receipt.png": "\n".join(RECEIPT),
        "sky.png": "",
    }
    boxes = rows(folder, "SELECT line, text, x < 60, width > 100, confidence > 0.7 FROM boxes")
    assert boxes == [(n, text, 1, 1, 1) for n, text in enumerate(RECEIPT, start=1)]
    found = status(folder)
    assert (found.images, found.pictures_read, found.pictures_with_words) == (3, 3, 2)
    told.clear()
    again = build([root], folder, models=models, on_event=told.append)
    assert again.ocr
    assert (again.ocr.read, again.ocr.left) == (0, 0)
    assert not [event for event in told if isinstance(event, OcrStarted)]


@installed
def test_text_recognition_stays_on_until_switched_off(
    root: Path, folder: IndexFolder, models: LoadedModels
) -> None:
    build([root], folder, model="mini", options=OCR, models=models)
    sign(root / "exit.png", "Emergency exit")
    build([], folder, models=models)
    assert words(folder)["exit.png"] == "Emergency exit"
    sign(root / "exit.png", "Way out")
    summary = build([], folder, models=models, options=IndexOptions(ocr=False))
    sign(root / "gate.png", "Gate 21")
    summary = build([], folder, models=models)
    assert summary.ocr is None
    found = words(folder)
    assert (found["exit.png"], found["gate.png"]) == (None, None)
    assert found["receipt.png"] == "\n".join(RECEIPT), "what was read stays"


@installed
def test_only_images_below_the_given_paths_are_read(
    root: Path, folder: IndexFolder, models: LoadedModels
) -> None:
    (root / "sub").mkdir()
    sign(root / "sub" / "exit.png", "Emergency exit")
    sign(root / "subway.png", "Subway")
    build([root], folder, model="mini", models=models)
    assert set(words(folder).values()) == {None}
    build([root / "sub"], folder, models=models, options=OCR)
    read = {path: text for path, text in words(folder).items() if text is not None}
    assert read == {"sub/exit.png": "Emergency exit"}


def at_begin(act: Callable[[], object]) -> Callable[[Event], None]:
    def on_event(event: Event) -> None:
        if isinstance(event, OcrStarted):
            act()

    return on_event


@installed
@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (Path.unlink, "not readable: No such file or directory"),
        (
            lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n of another kind"),
            "changed while it was indexed; the next run takes it up",
        ),
    ],
)
def test_an_image_deleted_meanwhile_is_reported_and_read_later(
    root: Path,
    folder: IndexFolder,
    models: LoadedModels,
    act: Callable[[Path], object],
    reason: str,
) -> None:
    sky = root / "sky.png"
    whole = sky.read_bytes()
    summary = build(
        [root],
        folder,
        model="mini",
        options=OCR,
        models=models,
        on_event=at_begin(lambda: act(sky)),
    )
    assert [(one.path, one.reason) for one in summary.skipped] == [
        (str(sky), f"its words were not read: {reason}")
    ]
    assert summary.ocr
    assert (summary.ocr.read, summary.ocr.left, words(folder)["sky.png"]) == (1, 1, None)
    sky.write_bytes(whole)
    build([root], folder, models=models)
    assert words(folder)["sky.png"] == ""


@installed
def test_a_copy_is_read_if_the_first_file_is_gone(
    root: Path, folder: IndexFolder, models: LoadedModels
) -> None:
    summary = build(
        [root],
        folder,
        model="mini",
        options=OCR,
        models=models,
        on_event=at_begin((root / "copy.png").unlink),
    )
    assert (summary.skipped, words(folder)["receipt.png"]) == ([], "\n".join(RECEIPT))


@installed
def test_a_stopped_pass_keeps_its_results_and_is_resumed(
    root: Path, folder: IndexFolder, models: LoadedModels
) -> None:
    stop = threading.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, OcrFileProcessed):
            stop.set()

    stopped = build(
        [root], folder, model="mini", options=OCR, models=models, on_event=on_event, stop=stop
    )
    assert stopped.ocr
    assert (stopped.interrupted, stopped.ocr.read, stopped.ocr.left) == (True, 1, 1)
    summary = build([root], folder, models=models)
    assert summary.ocr
    assert (summary.interrupted, summary.ocr.read) == (False, 1)
    assert None not in words(folder).values()


KILLED = """
import os, signal, sys
from pathlib import Path
from nmm.index import events
from nmm.index.indexing import ocr_pass
from nmm.index.indexing.indexer import build
from nmm.index.indexing.options import IndexOptions
from nmm.index.store.layout import IndexFolder

ocr_pass.COMMIT_SECONDS = 0
passed = 0

def on_event(event):
    global passed
    passed += isinstance(event, events.OcrFileProcessed)
    if passed == 2:
        os.kill(os.getpid(), signal.SIGKILL)

options = IndexOptions(ocr=True)
build(
    [Path(sys.argv[1])], IndexFolder(Path(sys.argv[2])), model="mini", options=options,
    on_event=on_event,
)
"""


@installed
@posix
def test_a_killed_pass_is_resumed(root: Path, folder: IndexFolder, models: LoadedModels) -> None:
    for n in range(2):
        sign(root / f"sign{n}.png", f"Platform {n}5")
    done = subprocess.run([sys.executable, "-c", KILLED, root, folder.path], check=False)
    assert done.returncode == -signal.SIGKILL
    read = "SELECT count(words) FROM contents"
    assert rows(folder, read) == [(2,)]
    summary = build([], folder, models=models)
    assert summary.ocr
    assert (summary.unchanged, summary.ocr.read, summary.ocr.left) == (6, 2, 0)
    assert words(folder)["sign1.png"] == "Platform 15"
    lines = "SELECT count(*) FROM boxes WHERE text LIKE 'Platform %'"
    assert rows(folder, lines) == [(2,)]


@installed
@posix
def test_ctrl_c_ends_the_pass_and_the_next_run_says_what_it_read(
    root: Path, folder: IndexFolder, nmm: Nmm, tmp_path: Path
) -> None:
    for n in range(6):
        sign(root / f"sign{n}.png", f"Platform {n}5")
    command = [Path(sys.executable).with_name("nmm"), "index", root, "--model", "mini", "--ocr"]
    environ = {**os.environ, "NMM_INDEX": str(folder.path)}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            if folder.catalog.exists() and rows(folder, "SELECT count(*) FROM files") == [(10,)]:
                process.send_signal(signal.SIGINT)
                break
            time.sleep(0.02)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out.startswith("10 added")
    assert out.endswith("Stopped before the end; the next nmm index goes on from here.\n")
    done = nmm("index", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)["ocr"]
    assert (said["left"], said["read"] > 0, said["seconds"] > 0) == (0, True, True)
    assert None not in words(folder).values()
    assert "words    seen in 8 of 9 images\n" in nmm("status").stdout


WITHOUT = """
import sys
sys.modules["rapidocr"] = None  # as if it were not installed
from nmm.cli import main
main()
"""


def test_a_missing_extra_is_named_with_its_install_command(root: Path, folder: IndexFolder) -> None:
    def without(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", WITHOUT, "index", *arguments, "--index", folder.path],
            check=False,
            capture_output=True,
            text=True,
        )

    done = without(root, "--model", "mini", "--ocr")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        "nmm: The text in images cannot be read.\nRapidOCR is not installed.\n"
        "Install it with: python -m pip install 'nmm[ocr]'\n"
    )
    assert not folder.path.exists()


def test_an_index_with_words_is_brought_up_to_date_without_the_extra(
    root: Path, folder: IndexFolder, mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    build([root], folder, model="mini", models=LoadedModels(mini))
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    told: list[Event] = []
    with open_for_writing(folder) as writer:
        set_reads_words(writer, reads=True)
    summary = build([], folder, models=LoadedModels(mini), on_event=told.append)
    (missing,) = [event for event in told if isinstance(event, OcrUnavailable)]
    assert missing.code == "ocr-missing"
    assert summary.ocr
    assert (summary.unchanged, summary.ocr.left) == (4, 2)


@installed
def test_a_rebuilt_index_keeps_what_was_read(
    root: Path, folder: IndexFolder, models: LoadedModels
) -> None:
    build([root], folder, model="mini", options=OCR, models=models)
    lines = (
        "SELECT text, x, y, width, height, confidence FROM boxes "
        "WHERE text NOT LIKE 'Emergency%' ORDER BY line"
    )
    before, boxes = words(folder), rows(folder, lines)
    sign(root / "exit.png", "Emergency exit")
    summary = build([], folder, rebuild=True, models=models)
    assert summary.ocr
    assert (summary.rebuild, summary.added, summary.ocr.read) == (True, 5, 1)
    assert words(folder) == {**before, "exit.png": "Emergency exit"}
    assert rows(folder, lines) == boxes
    with Catalog.open(folder.catalog) as catalog:
        assert reads_words(catalog)
        assert contradictions(catalog) == {}


@pytest.mark.parametrize(
    "line",
    [
        Line("far", 9e999, 0, 1, 1, 0.9),
        Line("back", 0, 0, -5, 1, 0.9),
        Line("sure", 0, 0, 1, 1, 2.0),
        Line("none", 0, 0, 1, 1, "high"),  # type: ignore[arg-type]
    ],
)
def test_an_invalid_box_is_detected_and_repaired(
    root: Path, folder: IndexFolder, mini: OnnxEncoder, line: Line, tmp_path: Path
) -> None:
    build([root], folder, model="mini", models=LoadedModels(mini))
    with open_for_writing(folder) as writer:
        (content,) = next(
            writer.connection.rows("SELECT min(id) FROM contents WHERE medium = 'image'")
        )
        save_ocr_text(writer, content, [line])
    export_archive(folder, tmp_path / "index.zip")
    with pytest.raises(ArchiveError, match=r"What is in its catalog is not right|of a wrong type"):
        import_archive(tmp_path / "index.zip", IndexFolder(tmp_path / "other"))
    with open_for_writing(folder) as writer:
        assert contradictions(writer) == {"box of words that is in no picture": 1}
        drop_contradictions(writer)
        assert contradictions(writer) == {}
    assert rows(folder, "SELECT count(*) FROM boxes") == [(0,)]
