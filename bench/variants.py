"""Images, their modified copies, and similar but different images, for `dupes.py`.

A file is called `ORIGINAL~CHANGE~`; files with the same ORIGINAL are copies of one image. Originals
are the sample photos, photos of `photos.py` and emoji. The others, all different from one another,
are hard negatives on purpose: tiles of the sample photos (gravel beside gravel), pages of text of
one layout, and emoji, many of which differ by a mouth or a hand.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from copies import page
from emoji_set import draw, read_emoji
from photos import photo
from PIL import ExifTags, Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont

SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"
ORIGINAL = "_"
Change = Callable[[Image.Image], Image.Image]


def resized(part: float) -> Change:
    return lambda image: image.resize((round(image.width * part), round(image.height * part)))


def cropped(part: float) -> Change:
    """Cut that share off each side."""

    def change(image: Image.Image) -> Image.Image:
        x, y = round(image.width * part), round(image.height * part)
        return image.crop((x, y, image.width - x, image.height - y))

    return change


def straightened(degrees: float) -> Change:
    """Rotate, and crop to the part that is covered by the image."""

    def change(image: Image.Image) -> Image.Image:
        turned = image.rotate(degrees, Image.Resampling.BICUBIC)
        part = abs(degrees) / 57.3 / 2 * max(image.width / image.height, image.height / image.width)
        return cropped(part)(turned)

    return change


def tinted(image: Image.Image) -> Image.Image:
    """Give it a warmer white balance."""
    red, green, blue = image.split()
    return Image.merge(
        "RGB", (red.point(lambda v: min(255, v * 1.12)), green, blue.point(lambda v: v * 0.85))
    )


def watermarked(image: Image.Image) -> Image.Image:
    """Draw semi-transparent words across it."""
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


# Changes to JPEG are made on saving.
CHANGES: dict[str, Change] = {
    "half as wide": resized(0.5),
    "a quarter as wide": resized(0.25),
    "twice as wide": resized(2),
    "JPEG, quality 90": lambda image: image,
    "JPEG, quality 60": lambda image: image,
    "JPEG, quality 30": lambda image: image,
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


def sample_photos() -> dict[str, Image.Image]:
    return {
        path.stem: Image.open(path).convert("RGB")
        for path in sorted(SAMPLE_DATA.glob("photos/*.jpg"))
    }


def subjects(photos: int, emoji: dict[str, Image.Image]) -> dict[str, dict[str, Image.Image]]:
    """Return originals to make copies of, by subject."""
    return {
        "photos": sample_photos(),
        "noise": {f"noise {number}": photo(0.3, number) for number in range(photos)},
        "emoji": emoji,
    }


def tiles() -> dict[str, Image.Image]:
    """Return sixteen tiles of each sample photo."""
    found = {}
    for name, image in sample_photos().items():
        width, height = image.width // 4, image.height // 4
        for number in range(16):
            x, y = number % 4 * width, number // 4 * height
            found[f"tile {name} {number}"] = image.crop((x, y, x + width, y + height))
    return found


def pages(count: int) -> dict[str, Image.Image]:
    """Return so many pages, of sizes that vary a little, like scans."""
    return {
        f"page {number}": page(number).crop((0, 0, 850 - number % 7, 1200 - number % 5))
        for number in range(count)
    }


def drawings(folder: Path, count: int) -> dict[str, Image.Image]:
    """Return so many emoji with distinct names, on white; every second one is smaller."""
    items: dict[str, str] = {}
    for name, one in sorted(draw(folder, read_emoji()).items()):
        items.setdefault(one.item, name)
    found = {}
    for name in random.Random(0).sample(sorted(items.values()), count):
        with Image.open(folder / name) as image:
            white = Image.new("RGBA", image.size, "white")
            white.alpha_composite(image.convert("RGBA"))
            drawn = white.convert("RGB")
            smaller = resized(0.9 if len(found) % 2 else 1)
            found[f"emoji {Path(name).stem}"] = smaller(drawn)
    return found


def frame(image: Image.Image, number: int) -> Image.Image:
    """Return what a camera sees a moment later: slightly shifted and rotated."""
    dice = random.Random(number)
    x, y = (round(dice.uniform(-0.03, 0.03) * side) for side in image.size)
    moved = ImageChops.offset(image, x, y).rotate(dice.uniform(-0.8, 0.8), Image.Resampling.BICUBIC)
    return ImageEnhance.Brightness(cropped(0.06)(moved)).enhance(dice.uniform(0.97, 1.03))


def write(folder: Path, originals: dict[str, Image.Image], copies: bool) -> None:
    """Write originals and their copies as PNG, except those that are JPEG."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in originals.items():
        image.save(folder / f"{name}~{ORIGINAL}~.png", compress_level=1)
        for change, do in CHANGES.items() if copies else ():
            if change.startswith("JPEG"):
                quality = int(change.split()[-1])
                image.save(folder / f"{name}~{change}~.jpg", quality=quality)
            else:
                do(image).save(folder / f"{name}~{change}~.png", compress_level=1)


def write_bursts(folder: Path, frames: int) -> None:
    """Write a burst of each sample photo, one right after the other, from one camera."""
    folder.mkdir(parents=True, exist_ok=True)
    moment = datetime(2024, 5, 1, 10)
    for name, image in sample_photos().items():
        for number in range(frames):
            exif = Image.Exif()
            exif[ExifTags.Base.Model] = "X100"
            taken = {ExifTags.Base.DateTimeOriginal: moment.strftime("%Y:%m:%d %H:%M:%S")}
            exif.get_ifd(ExifTags.IFD.Exif).update(taken)
            frame(image, number).save(folder / f"{name}~{number}~.jpg", quality=92, exif=exif)
            moment += timedelta(seconds=1)
