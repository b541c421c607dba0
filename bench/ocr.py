"""Measure text recognition in images: recall of drawn words, and the time.

Receipts, screenshots, signs and faint print are drawn with Pillow's font, read as by `nmm index
--ocr`, and compared. The photos of the sample data contain no words, so any text read in them is
wrong. For comparison, the same images are embedded in the same run.

    python bench/ocr.py [--each 3] [--longest 1600 ...] [--seed 1] [--model mini]

Recall of words is the share of the drawn words that were read correctly. Recall of characters is
the share of the drawn characters that were read, in order (Ratcliff and Obershelp). Precision of
words is the share of the read words that were drawn.
"""

from __future__ import annotations

import argparse
import io
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from report import Figure, note

from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.resolve import find_model
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.errors import MediaError
from nmm.index.indexing import ocr, ocr_tiles
from nmm.index.indexing.ocr import Ocr, load_ocr
from nmm.index.indexing.ocr_tiles import prepare
from nmm.index.media.image.decode import decode

QUICK = "--each 1"
SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"


@dataclass(frozen=True)
class Drawn:
    """An image file, and the lines it contains."""

    data: bytes
    lines: list[str]


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def vocabulary() -> list[str]:
    """Return the words of the sample texts that the font can draw."""
    texts = " ".join(path.read_text("utf-8", "ignore") for path in SAMPLE_DATA.rglob("*.txt"))
    return sorted(set(re.findall(r"[A-Za-z]{3,12}", texts)))


class Artist:
    """Draws images of random words."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._words = vocabulary()

    def _line(self, words: int) -> str:
        return " ".join(self._random.choices(self._words, k=words))

    def _amount(self) -> str:
        return f"{self._random.randint(1, 99)}.{self._random.randint(0, 99):02}"

    def receipt(self) -> Drawn:
        """Return a photo of a receipt: a narrow strip of paper on a table, 3 megapixels."""
        left = [self._line(1).upper(), *(self._line(2) for _ in range(14)), "TOTAL"]
        lines = [f"{text} {self._amount()}" for text in left]
        paper = _written(lines, 38, size=(900, 1700), paper=(248, 246, 240), ink=(40, 40, 44))
        table = Image.new("RGB", (1536, 2048), (96, 70, 52))
        table.paste(paper, (310, 170))
        return Drawn(
            _bytes(table.rotate(self._random.uniform(-3, 3), Image.Resampling.BICUBIC)), lines
        )

    def screenshot(self) -> Drawn:
        """Return a window of 1920 by 1080 with letters of 16 pixels."""
        lines = [self._line(9) for _ in range(24)]
        return Drawn(_bytes(_written(lines, 16, size=(1920, 1080)), "PNG"), lines)

    def small_print(self) -> Drawn:
        """Return the same with letters of 11 pixels."""
        lines = [self._line(12) for _ in range(30)]
        return Drawn(_bytes(_written(lines, 11, size=(1920, 1080)), "PNG"), lines)

    def long_screenshot(self) -> Drawn:
        """Return a scrolled page of 1080 by 6000."""
        lines = [self._line(6) for _ in range(64)]
        return Drawn(_bytes(_written(lines, 34, size=(1080, 6000)), "PNG"), lines)

    def sign(self) -> Drawn:
        """Return a few large words on a coloured board, rotated by up to 15 degrees."""
        lines = [self._line(2).upper(), f"{self._line(1)} {self._random.randint(10, 99)}"]
        board = _written(lines, 70, size=(1100, 420), paper=(20, 70, 140), ink=(250, 250, 250))
        street = Image.new("RGB", (1600, 1200), (150, 158, 150))
        street.paste(board, (250, 390))
        angle = self._random.uniform(-15, 15)
        return Drawn(_bytes(street.rotate(angle, Image.Resampling.BICUBIC)), lines)

    def faint(self) -> Drawn:
        """Return grey text on grey, with sensor noise."""
        lines = [self._line(4) for _ in range(8)]
        page = _written(lines, 40, size=(1200, 900), paper=(190,) * 3, ink=(168,) * 3)
        noise = Image.effect_noise(page.size, 16).convert("RGB")
        return Drawn(_bytes(Image.blend(page, noise, 0.2)), lines)


def _written(
    lines: list[str],
    size_of_font: int,
    *,
    size: tuple[int, int],
    paper: tuple[int, ...] = (255, 255, 255),
    ink: tuple[int, ...] = (20, 20, 20),
) -> Image.Image:
    image = Image.new("RGB", size, tuple(paper))
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size_of_font)
    step = min(2.6 * size_of_font, (size[1] - 2 * size_of_font) / len(lines))
    for number, line in enumerate(lines):
        pen.text((size_of_font, size_of_font + number * step), line, fill=tuple(ink), font=font)
    return image


def _bytes(image: Image.Image, form: str = "JPEG") -> bytes:
    data = io.BytesIO()
    image.save(data, form, quality=88)
    return data.getvalue()


def photographs() -> Iterator[Drawn]:
    """Return the sample photos, which contain no text."""
    for path in sorted((SAMPLE_DATA / "photos").iterdir()):
        try:
            decode(data := path.read_bytes())
        except MediaError:
            continue
        yield Drawn(data, [])


def read(engine: Ocr, picture: Drawn) -> list[str]:
    decoded = decode(picture.data, side=ocr_tiles.DECODE_SIDE)
    return [line.text for line in engine.read(prepare(decoded))]


def timed(work: Callable[[Drawn], object], pictures: list[Drawn]) -> tuple[list[object], float]:
    """Return the result for each image, and the median seconds."""
    results, seconds = [], []
    for picture in pictures:
        started = time.perf_counter()
        results.append(work(picture))
        seconds.append(time.perf_counter() - started)
    return results, float(np.median(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--each", type=int, default=3, help="pictures of each kind")
    parser.add_argument("--longest", type=int, nargs="+", default=[ocr_tiles.MAX_SIDE])
    parser.add_argument("--confidence", type=float, default=ocr.MIN_CONFIDENCE)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="mini")
    arguments = parser.parse_args()
    ocr.MIN_CONFIDENCE = arguments.confidence

    artist = Artist(arguments.seed)
    kinds = {
        name: [draw() for _ in range(arguments.each)]
        for name, draw in (
            ("receipts", artist.receipt),
            ("screenshots", artist.screenshot),
            ("small print", artist.small_print),
            ("long screenshots", artist.long_screenshot),
            ("signs", artist.sign),
            ("faint print", artist.faint),
        )
    }
    kinds["photographs"] = list(photographs())[: 2 * arguments.each]

    encoder = load_encoder(find_model(arguments.model))
    image = encoder.model.image

    def embed(picture: Drawn) -> None:
        pixels = to_pixels(decode(picture.data, side=image.side).image, image)
        encoder.embed_images(pixels[None])

    started = time.perf_counter()
    engine = load_ocr()
    read(engine, kinds["signs"][0])
    embed(kinds["signs"][0])
    print(f"loaded, with the first picture, in {time.perf_counter() - started:.1f} s")
    for longest in arguments.longest:
        ocr_tiles.MAX_SIDE, ocr_tiles.DECODE_SIDE = longest, longest * 3 // 8
        print(f"\nlongest side {longest}, confidence {ocr.MIN_CONFIDENCE}")
        print("kind              words  chars  precision  OCR s  embedding s  ratio")
        for name, pictures in kinds.items():
            found, seconds = timed(lambda picture: read(engine, picture), pictures)
            _, beside = timed(embed, pictures)
            print(
                f"{name:17} {figures(pictures, found)}  {seconds:5.2f}  {beside:11.3f}"
                f"  {seconds / beside:5.0f}"
            )
            if longest == arguments.longest[0]:
                note_kind(name, pictures, found, seconds, beside)


def note_kind(
    name: str, pictures: list[Drawn], found: list[object], seconds: float, beside: float
) -> None:
    if name == "photographs":
        what = "looking for words in a photograph without any"
        note(Figure(what, seconds, "s", "embedding it (mini)", beside, beside / seconds))
    elif name in {"receipts", "small print"}:
        note(Figure(f"words read in {name}: recall", float(figures(pictures, found)[:5]), ""))


def figures(pictures: list[Drawn], found: list[object]) -> str:
    """Return recall of words, recall of characters and precision of words over some images."""
    drawn_words = read_words = right = characters = same = 0
    for picture, lines in zip(pictures, found, strict=True):
        assert isinstance(lines, list)
        truth, said = words_of(" ".join(picture.lines)), words_of(" ".join(lines))
        drawn_words, read_words = drawn_words + len(truth), read_words + len(said)
        right += (Counter(truth) & Counter(said)).total()
        a, b = " ".join(truth), " ".join(said)
        characters += len(a)
        matcher = SequenceMatcher(None, a, b, autojunk=False)
        same += sum(block.size for block in matcher.get_matching_blocks())

    def share(part: int, whole: int) -> str:
        return f"{part / whole:5.3f}" if whole else "    -"

    said_wrong = share(right, read_words) if drawn_words else f"{read_words:5} wrong"
    return f"{share(right, drawn_words)}  {share(same, characters)}  {said_wrong:>9}"


if __name__ == "__main__":
    main()
