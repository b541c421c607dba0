"""to_pixels equals CLIP's image processor."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from support import SAMPLE_DATA

from nmm.index.encoders.base import ImagePreprocessing
from nmm.index.encoders.families.normalized_tower import NormalizedTower
from nmm.index.encoders.preprocess import MAX_RESIZED_ASPECT, to_pixels
from nmm.index.encoders.preprocessor_config import read_image_preprocessing

GOLDEN = Path(__file__).parent / "golden" / "nomic-tiny" / "vision"
PHOTOS = sorted((SAMPLE_DATA / "photos").glob("*.jpg"))
SIDE = 32
SPEC = ImagePreprocessing(side=SIDE, mean=(0, 0, 0), std=(1, 1, 1))
LENGTHS = [1, 2, 31, 32, 33, 47, 100, 333]
SIZES = [
    (a, b) for a in LENGTHS for b in LENGTHS if max(a, b) <= MAX_RESIZED_ASPECT * min(a, b)
] + [
    (640, 427),
    (427, 640),
    (1200, 40),
    (40, 1200),
    (3000, 2000),
    (2000, 3000),
    (6400, 100),
]
EXTREME_SIZES = [(333, 1), (1, 333), (2, 333), (6500, 100), (100, 6501), (33, 4007), (20_011, 97)]


@cache
def processor_type() -> Any:
    """Return CLIP's image processor for Pillow, because torchvision resizes differently."""
    import transformers

    # Before transformers 5 there was only one.
    return getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor


def clip_pixels(image: Image.Image, side: int = SIDE) -> NDArray[np.uint8]:
    """Return the pixels that CLIP's image processor computes before it normalises them."""
    processor = processor_type()(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        do_rescale=False,
        do_normalize=False,
    )
    (pixels,) = processor(image, return_tensors="np").pixel_values
    return np.asarray(pixels.transpose(1, 2, 0), np.uint8)


def noise(size: tuple[int, int], low: int = 80, high: int = 176) -> Image.Image:
    """Return noise; with these bounds, bicubic overshoot stays within 0 to 255."""
    width, height = size
    levels = np.random.default_rng(0).integers(low, high, (height, width, 3), np.uint8)
    return Image.fromarray(levels)


def black_and_white(size: tuple[int, int]) -> Image.Image:
    """Return black and white blocks, different in each channel: overshoot is clipped everywhere."""
    blocks = noise((max(1, size[0] // 3), max(1, size[1] // 3)), 0, 256)
    return blocks.point(lambda level: 255 * (level > 127)).resize(size, Image.Resampling.NEAREST)


def by_size(size: tuple[int, int]) -> str:
    return "{}x{}".format(*size)


@pytest.mark.parametrize("size", SIZES, ids=by_size)
@pytest.mark.parametrize("draw", [noise, black_and_white])
def test_pixels_are_those_of_clips_processor(draw: Any, size: tuple[int, int]) -> None:
    image = draw(size)
    ours = to_pixels(image, SPEC)
    assert (str(ours.dtype), ours.shape) == ("uint8", (SIDE, SIDE, 3))
    np.testing.assert_array_equal(ours, clip_pixels(image))


@pytest.mark.parametrize("upright", [False, True], ids=["as it is", "turned"])
@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.stem)
def test_pixels_of_photos_are_those_of_clips_processor(photo: Path, upright: bool) -> None:
    image = Image.open(photo).convert("RGB")
    if upright:
        image = image.transpose(Image.Transpose.ROTATE_90)
    spec = ImagePreprocessing(side=224, mean=(0, 0, 0), std=(1, 1, 1))
    np.testing.assert_array_equal(to_pixels(image, spec), clip_pixels(image, 224))


def test_normalised_pixels_are_those_of_clips_processor() -> None:
    image = Image.open(PHOTOS[0]).convert("RGB")
    processor = processor_type().from_pretrained(GOLDEN)
    theirs = processor(image, return_tensors="np").pixel_values
    spec = read_image_preprocessing(GOLDEN / "preprocessor_config.json")
    pixels = torch.tensor(to_pixels(image, spec))[None]
    ours = NormalizedTower(torch.nn.Identity(), spec)(pixels)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("size", EXTREME_SIZES, ids=by_size)
def test_of_a_long_image_the_centre_is_off_by_two_levels_at_most(size: tuple[int, int]) -> None:
    image = noise(size)
    ours, theirs = to_pixels(image, SPEC).astype(int), clip_pixels(image).astype(int)
    assert np.abs(ours - theirs).max() <= 2


@pytest.mark.parametrize("upright", [False, True], ids=["wide", "high"])
def test_the_longest_image_is_resized_where_it_is_kept(upright: bool) -> None:
    # Its 89,000,000 pixels would be resized to 91,000,000,000, whose centre float32 cannot address.
    # An image of its middle has the same centre.
    length, middle = 89_000_000, 44_500_000
    row = np.full((length, 3), 128, np.uint8)
    row[middle - 500 : middle + 500] = np.asarray(noise((1000, 1)))[0]
    shape = (length, 1, 3) if upright else (1, length, 3)
    image = Image.fromarray(row.reshape(shape))
    part = row[middle - 30 : middle + 30].reshape((60, 1, 3) if upright else (1, 60, 3))
    theirs = clip_pixels(Image.fromarray(part)).astype(int)
    assert np.abs(to_pixels(image, SPEC).astype(int) - theirs).max() <= 2


def test_an_image_of_the_right_size_stays_as_it_is() -> None:
    image = noise((SIDE, SIDE))
    np.testing.assert_array_equal(to_pixels(image, SPEC), np.asarray(image))


def test_the_centre_is_taken() -> None:
    image = noise((3 * SIDE, SIDE))
    centre = image.crop((SIDE, 0, 2 * SIDE, SIDE))
    np.testing.assert_array_equal(to_pixels(image, SPEC), np.asarray(centre))
