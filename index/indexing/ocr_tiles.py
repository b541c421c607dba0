"""Make images ready for OCR: smaller, cut into tiles, and padded."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

    from nmm.index.media.image.decode import DecodedImage

# Pixels of the longest side of a tile: a larger image is made smaller first.
MAX_SIDE = 1600
# Side to decode a JPEG for: one of 4:3 that is at least twice as large is decoded at 1/2 or less.
DECODE_SIDE = MAX_SIDE * 3 // 8
# A long image, such as of a scrolled page, keeps at least so many pixels across and is cut into at
# most so many tiles. Tiles overlap, because a line may lie where the image is cut.
MIN_WIDTH = 640
MAX_TILES = 8
TILE_OVERLAP = 160
# A longer tile is padded to this aspect ratio, because the detector enlarges by the shortest side.
MAX_ASPECT = 4
# Pixels of the shortest side: of an image in which a letter can be read, and of a padded tile.
MIN_SIDE = 8
MIN_CANVAS = 64


class Tile(NamedTuple):
    """A part of an image, ready for the detector.

    Attributes:
        image: The pixels, padded.
        x, y: Its upper left corner in the image that was made smaller.
        first, last: Lines count whose middle, along the longer side of that image, lies from
            `first` to before `last`. Others are counted in the next tile.
    """

    image: Image.Image
    x: int
    y: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image of bounded size, ready for the detector.

    Attributes:
        tiles: Its parts; none if there can be no words in it.
        width, height: Pixels of the upright image at its full size.
        scale_x, scale_y: Pixels of the full size for one pixel of the smaller image.
    """

    tiles: Sequence[Tile]
    width: int
    height: int
    scale_x: float = 1
    scale_y: float = 1


def prepare(decoded: DecodedImage) -> Prepared:
    """Make an image ready for the detector: smaller, cut and padded. Safe in any thread."""
    from PIL import Image

    image, width, height = decoded.image, decoded.width, decoded.height
    plain = all(low == high for low, high in image.getextrema())  # type: ignore[misc]
    if plain or min(width, height) < MIN_SIDE:
        return Prepared((), width, height)
    longest, across = max(image.size), min(image.size)
    most = MAX_TILES * (MAX_SIDE - TILE_OVERLAP) + TILE_OVERLAP
    shrink = max(MAX_SIDE / longest, min(MIN_WIDTH / across, most / longest))
    if shrink < 1:
        size = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    tiles = list(_tiles(image))
    return Prepared(tiles, width, height, width / image.width, height / image.height)


def _tiles(image: Image.Image) -> Iterator[Tile]:
    """Cut an image along its longer side into tiles; an image that is not long is one tile."""
    longest, across = max(image.size), min(image.size)
    count = max(1, math.ceil((longest - TILE_OVERLAP) / (MAX_SIDE - TILE_OVERLAP)))
    length = min(longest, MAX_SIDE)
    starts = [round(n * (longest - length) / max(1, count - 1)) for n in range(count)]
    # The first of two tiles counts to the middle of their overlap, the second from there.
    ends = [(this + length + after) / 2 for this, after in itertools.pairwise(starts)]
    for start, first, last in zip(starts, [-math.inf, *ends], [*ends, math.inf], strict=True):
        x, y = (start, 0) if image.width > image.height else (0, start)
        size = (length, across) if image.width > image.height else (across, length)
        part = image.crop((x, y, x + size[0], y + size[1])) if count > 1 else image
        yield Tile(_pad(part), x, y, first, last)


def _pad(image: Image.Image) -> Image.Image:
    """Pad an image with white if it is too small or too long for the detector."""
    from PIL import Image

    shortest = max(MIN_CANVAS, math.ceil(max(image.size) / MAX_ASPECT))
    if min(image.size) >= shortest:
        return image
    canvas = Image.new("RGB", (max(image.width, shortest), max(image.height, shortest)), "white")
    canvas.paste(image)
    return canvas
