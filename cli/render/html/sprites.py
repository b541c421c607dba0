"""A sprite sheet: the thumbnails of many images in one image, for the map.

The sheet has at most 4,096 pixels per side, which every graphics card supports. The side of a
thumbnail is the largest of :data:`SIDES` with which all images fit. If more images than fit with
the smallest side (7,225), a subset is chosen that is spread evenly over the map.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.errors import MediaError

if TYPE_CHECKING:
    from PIL import Image

    from nmm.index.analysis.projection.layout import FileMap
    from nmm.index.store.catalog.file_vectors import Item

SHEET_SIDE = 4096
SIDES = (256, 192, 128, 96, 64, 48)
WEBP_QUALITY = 72
GRID = 64  # cells per side; each cell gets its first thumbnail before any gets its second


@dataclass(frozen=True)
class SpriteSheet:
    """Thumbnails in one image, in rows of `columns`, each in the upper left of its square.

    Attributes:
        of: The position of each thumbnail's file.
        sizes: The width and height of each thumbnail, in pixels.
        side: The side of a square.
        columns: Squares per row.
        sheet: The image, RGBA.
        skipped: Unreadable files, each with the reason.
    """

    of: list[int]
    sizes: list[tuple[int, int]]
    side: int
    columns: int
    sheet: Image.Image
    skipped: list[tuple[str, str]]

    def thumbnail(self, number: int) -> Image.Image:
        """Return one thumbnail."""
        x, y = number % self.columns * self.side, number // self.columns * self.side
        width, height = self.sizes[number]
        return self.sheet.crop((x, y, x + width, y + height))

    def source(self) -> str:
        """Return the sheet as a WebP data URI."""
        data = io.BytesIO()
        self.sheet.save(data, "WEBP", quality=WEBP_QUALITY, method=2)
        return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"


def side_for(count: int) -> int:
    """Return the side of a thumbnail for a number of images."""
    return next((side for side in SIDES if (SHEET_SIDE // side) ** 2 >= count), SIDES[-1])


def select_images(files: Sequence[Item], drawn: FileMap) -> list[int]:
    """Return the positions of images that get a thumbnail, the most important first.

    Each content is selected once. The map is divided into cells. First comes one image of each
    cell, from the fullest cell on, then a second of each, and so on. Within a cell, the images that
    are most central in their clusters come first.
    """
    import numpy as np

    central = np.full(len(files), len(files))
    for group in drawn.clusters:
        central[group.files] = np.arange(len(group.files))
    positions = [position for position, item in enumerate(files) if item.kind == "image"]
    _, firsts = np.unique([files[position].content for position in positions], return_index=True)
    images = np.asarray(positions, np.int64)[np.sort(firsts)]
    cells = np.clip((drawn.points[images] + 1) / 2 * GRID, 0, GRID - 1).astype(np.int64)
    cell = cells[:, 0] * GRID + cells[:, 1]
    counts = np.bincount(cell, minlength=GRID * GRID)
    order = np.lexsort((central[images], cell))
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    images, cell = images[order], cell[order]
    best = images[np.lexsort((cell, -counts[cell], rank))]
    return [int(position) for position in best[: (SHEET_SIDE // side_for(len(best))) ** 2]]


def make_sprites(
    paths: Sequence[str], of: Sequence[int], on_file: Callable[[], None] = lambda: None
) -> SpriteSheet | None:
    """Make thumbnails of files in their order; return None if none can be read.

    Args:
        paths: The images.
        of: The position of each file.
        on_file: Called after each file.
    """
    from PIL import Image

    side = side_for(len(paths))
    skipped: list[tuple[str, str]] = []
    pictures: list[tuple[int, Image.Image]] = []
    for position, path, made in _thumbnails(paths, of, side):
        if isinstance(made, MediaError):
            skipped.append((path, made.what))
        else:
            pictures.append((position, made))
        on_file()
    if not pictures:
        return None
    columns = isqrt(len(pictures) - 1) + 1
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGBA", (columns * side, rows * side))
    for number, (_, picture) in enumerate(pictures):
        sheet.paste(picture, (number % columns * side, number // columns * side))
    return SpriteSheet(
        [position for position, _ in pictures],
        [picture.size for _, picture in pictures],
        side,
        columns,
        sheet,
        skipped,
    )


def _thumbnails(
    paths: Sequence[str], of: Sequence[int], side: int
) -> Iterator[tuple[int, str, Image.Image | MediaError]]:
    """Yield each thumbnail or its error, made in threads because Pillow releases the GIL."""
    from nmm.index.encoders.runtime.devices import available_cpus
    from nmm.index.media.image.thumbnail import thumbnail

    def make(path: str) -> Image.Image | MediaError:
        try:
            # Leave a margin, so that downscaling does not blend in the next square.
            return thumbnail(Path(path), side - 2)
        except MediaError as error:
            return error

    with ThreadPoolExecutor(available_cpus()) as pool:
        yield from zip(of, paths, pool.map(make, paths), strict=True)
