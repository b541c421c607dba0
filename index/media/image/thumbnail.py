"""Small versions of images, to be shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.media.image.decode import decode
from nmm.index.media.image.files import read_image_bytes

if TYPE_CHECKING:
    from PIL import Image


def thumbnail(path: Path, side: int) -> Image.Image:
    """Return the image in a file: upright, RGB, its longer side at most `side` pixels.

    Raises:
        MediaError: The file is not an image, or cannot be read.
    """
    return thumbnail_of(read_image_bytes(path), side)


def thumbnail_of(data: bytes, side: int) -> Image.Image:
    """Return the image in a file's bytes, made small; see :func:`thumbnail`."""
    image = decode(data, side=side // 2).image
    image.thumbnail((side, side))
    return image
