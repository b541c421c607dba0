"""to_pixels equals resizing the whole image and then taking the centre."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.registry import ImageInput

SIDE = 32
SPEC = ImageInput(side=SIDE, mean=(0, 0, 0), std=(1, 1, 1))
LONG_SIDES = [1, 2, 31, 32, 33, 47, 100, 333]
SIZES = [(a, b) for a in LONG_SIDES for b in LONG_SIDES] + [(640, 427), (427, 640), (1200, 40)]


@cache
def clip_processor() -> Any:
    """CLIP's image processor on Pillow, for torchvision resizes otherwise."""
    import transformers

    # Before transformers 5 there was but this one.
    kind = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
    return kind(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        do_rescale=False,
        do_normalize=False,
    )


def noise(size: tuple[int, int]) -> Image.Image:
    """Every pixel counts; bicubic overshoot stays within 0 to 255."""
    width, height = size
    levels = np.random.default_rng(0).integers(80, 176, (height, width, 3), np.uint8)
    return Image.fromarray(levels)


def difference(ours: NDArray[Any], theirs: NDArray[Any]) -> int:
    """By how many levels they differ at most."""
    assert ours.shape == theirs.shape
    return int(np.abs(ours.astype(int) - theirs.astype(int)).max())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "{}x{}".format(*size))
def test_pixels_are_those_of_clips_processor(size: tuple[int, int]) -> None:
    image = noise(size)
    (theirs,) = clip_processor()(image, return_tensors="np").pixel_values
    ours = to_pixels(image, SPEC)
    assert (str(ours.dtype), ours.shape) == ("uint8", (SIDE, SIDE, 3))
    # Pillow 13 may resample the whole of an upright image in the other order: rows, columns.
    limit = 1 if image.width >= image.height else 2
    assert difference(ours, theirs.transpose(1, 2, 0)) <= limit


def test_an_image_of_the_right_size_stays_as_it_is() -> None:
    image = noise((SIDE, SIDE))
    np.testing.assert_array_equal(to_pixels(image, SPEC), np.asarray(image))


def test_the_centre_is_taken() -> None:
    image = noise((3 * SIDE, SIDE))
    centre = image.crop((SIDE, 0, 2 * SIDE, SIDE))
    np.testing.assert_array_equal(to_pixels(image, SPEC), np.asarray(centre))
