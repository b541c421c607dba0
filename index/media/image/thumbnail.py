"""An image file, small, to be shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.media.image.decode import decode
from nmm.index.media.reader import read_image_bytes

if TYPE_CHECKING:
    from PIL import Image


def thumbnail(path: Path, side: int) -> Image.Image:
    """The image in a file, upright, RGB, its longer side of at most `side` pixels.

    Raises:
        MediaError: It is no image, or cannot be read.
    """
    image = decode(read_image_bytes(path), side=side // 2).image
    image.thumbnail((side, side))
    return image
