"""Pictures, what becomes of them when they are saved again, and others like them, for `dupes.py`.

A file is called `ORIGINAL~CHANGE~NUMBER.png`: what has one ORIGINAL is one picture. Originals are
the photos of the sample data, photos of `photos.py` and emoji. The others, no two of which are one
picture, are hard on purpose: tiles of the sample photos (gravel beside gravel), pages of text of
one layout, and emoji, many of which differ by a mouth or a hand.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from copies import page
from emoji_set import draw, read_emoji
from photos import photo
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont

SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"
ORIGINAL = "_"
Change = Callable[[Image.Image], Image.Image]


def jpeg(quality: int) -> Change:
    def change(image: Image.Image) -> Image.Image:
        data = BytesIO()
        image.save(data, "JPEG", quality=quality)
        return Image.open(data).convert("RGB")

    return change


def resized(part: float) -> Change:
    return lambda image: image.resize((round(image.width * part), round(image.height * part)))


def cropped(part: float) -> Change:
    """With that part cut off at each side."""

    def change(image: Image.Image) -> Image.Image:
        x, y = round(image.width * part), round(image.height * part)
        return image.crop((x, y, image.width - x, image.height - y))

    return change


def straightened(degrees: float) -> Change:
    """Turned, and cropped to where there is picture everywhere."""

    def change(image: Image.Image) -> Image.Image:
        turned = image.rotate(degrees, Image.Resampling.BICUBIC)
        part = abs(degrees) / 57.3 / 2 * max(image.width / image.height, image.height / image.width)
        return cropped(part)(turned)

    return change


def tinted(image: Image.Image) -> Image.Image:
    """Of a warmer white."""
    red, green, blue = image.split()
    return Image.merge(
        "RGB", (red.point(lambda v: min(255, v * 1.12)), green, blue.point(lambda v: v * 0.85))
    )


def watermarked(image: Image.Image) -> Image.Image:
    """With words across it that shine through."""
    layer = Image.new("L", image.size)
    font = ImageFont.load_default(max(8, image.width // 9))
    draw_ = ImageDraw.Draw(layer)
    middle = image.width / 2, image.height / 2
    draw_.text(middle, "© SAMPLE", font=font, fill=110, anchor="mm")
    return Image.composite(Image.new("RGB", image.size, "white"), image, layer)


def framed(image: Image.Image) -> Image.Image:
    x, y = round(image.width * 0.02), round(image.height * 0.02)
    whole = Image.new("RGB", (image.width + 2 * x, image.height + 2 * y), "white")
    whole.paste(image, (x, y))
    return whole


CHANGES: dict[str, Change] = {
    "half as wide": resized(0.5),
    "a quarter as wide": resized(0.25),
    "twice as wide": resized(2),
    "JPEG, quality 90": jpeg(90),
    "JPEG, quality 60": jpeg(60),
    "JPEG, quality 30": jpeg(30),
    "1 % off each side": cropped(0.01),
    "3 % off each side": cropped(0.03),
    "5 % off each side": cropped(0.05),
    "10 % off each side": cropped(0.10),
    "turned by 90°": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned by 180°": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "straightened by 1°": straightened(1),
    "straightened by 3°": straightened(3),
    "brighter by 15 %": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "without colour": lambda image: image.convert("L").convert("RGB"),
    "half the colour": lambda image: ImageEnhance.Color(image).enhance(0.5),
    "warmer": tinted,
    "watermarked": watermarked,
    "framed": framed,
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(max(image.size) / 200)),
}


def originals(folder: Path, photos: int, emoji: int) -> dict[str, Image.Image]:
    found = {
        path.stem: Image.open(path).convert("RGB")
        for path in sorted(SAMPLE_DATA.glob("photos/*.jpg"))
    }
    found |= {f"noise {number}": photo(0.3, number) for number in range(photos)}
    return found


def burst(image: Image.Image, number: int) -> Image.Image:
    """What a camera sees a moment later: it moved by a few hundredths, and turned by less."""
    dice = random.Random(number)
    x, y = (round(dice.uniform(-0.03, 0.03) * side) for side in image.size)
    moved = ImageChops.offset(image, x, y).rotate(dice.uniform(-0.8, 0.8), Image.Resampling.BICUBIC)
    seen = cropped(0.06)(moved)
    return ImageEnhance.Brightness(seen).enhance(dice.uniform(0.97, 1.03))
