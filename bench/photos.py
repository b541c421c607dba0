"""Generate photos as hard to encode as those of a camera.

Detail falls off with its size as in photographs (Field, 1987: amplitude by 1/f), with sensor noise
added. A JPEG of 24 megapixels then has 8 to 9 MB, as from a camera. All photos differ, and every
run generates the same ones.

    python bench/photos.py DIR [--count 10] [--megapixels 24] [--format JPEG]
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Amplitude of each octave of detail, in levels of 256, for brightness and for a single channel.
CONTRAST, COLOUR = 24, 10
SENSOR = 2.5  # standard deviation of a pixel's noise, in levels
QUALITY = {"JPEG": 90, "HEIF": 60}
SUFFIX = {"JPEG": "jpg", "PNG": "png", "HEIF": "heic"}
# Number of distinct JPEGs. Further files repeat these, with a number after their end, which no
# decoder reads: their bytes, and so their hashes, differ.
ENCODED = 40


@cache
def _scene(width: int, height: int) -> NDArray[np.uint8]:
    chance = np.random.default_rng(0)
    scene = np.full((height, width, 3), 128, np.float32)
    cells = 3
    while cells < width:
        shape = max(2, cells * height // width), cells
        grey = CONTRAST * chance.standard_normal(shape, np.float32)
        for channel in range(3):
            detail = grey + COLOUR * chance.standard_normal(shape, np.float32)
            large = Image.fromarray(detail).resize((width, height), Image.Resampling.BICUBIC)
            scene[..., channel] += np.asarray(large)
        cells *= 3
    scene += SENSOR * chance.standard_normal((height, width, 1), np.float32)
    return scene.clip(0, 255).astype(np.uint8)


def photo(megapixels: float, number: int) -> Image.Image:
    """Return a 3:2 photo: the scene, shifted and flipped differently for each number."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5 / 16) * 16
    scene = _scene(height * 3 // 2, height)
    chance = np.random.default_rng(number)
    down, right = (int(chance.integers(size)) for size in scene.shape[:2])
    moved = np.roll(scene, (down, right), (0, 1))[:: chance.choice([-1, 1])]
    return Image.fromarray(np.ascontiguousarray(moved[..., chance.permutation(3)]))


def write_photos(folder: Path, count: int, megapixels: float, form: str = "JPEG") -> list[Path]:
    """Write so many photos into a folder as `JPEG`, `PNG` or `HEIF`; return their paths."""
    if form == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05}.{SUFFIX[form]}" for number in range(count)]
    for number, path in enumerate(paths):
        if form == "JPEG" and number >= ENCODED:
            path.write_bytes(paths[number % ENCODED].read_bytes() + number.to_bytes(4, "big"))
            continue
        options = {"quality": QUALITY[form]} if form in QUALITY else {"compress_level": 1}
        photo(megapixels, number).save(path, form, **options)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("--format", choices=SUFFIX, default="JPEG")
    arguments = parser.parse_args()
    for path in write_photos(
        arguments.folder, arguments.count, arguments.megapixels, arguments.format
    ):
        print(f"{path.stat().st_size:11}  {path}")


if __name__ == "__main__":
    main()
