"""Thumbnails of many images in one picture, as a page's map draws them.

There is one sheet of at most 4,096 pixels each way, which every graphics card takes. A thumbnail's
side is the largest of :data:`SIDES` with which all images have room. Of more images than fit with
the smallest (7,225), those have one that are spread most evenly over the map.
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

SHEET = 4096
SIDES = (256, 192, 128, 96, 64, 48)
QUALITY = 72
CELLS = 64  # across the map, of which each has its first thumbnail before any has its second


@dataclass(frozen=True)
class Sprites:
    """Thumbnails in one picture, in rows of `columns`, each in the upper left of its square.

    Attributes:
        of: What each is of: its position among the files.
        sizes: Across and down of each, in pixels.
        side: Of a square.
        columns: In a row.
        sheet: The picture, RGBA.
        skipped: Files that cannot be read, and why.
    """

    of: list[int]
    sizes: list[tuple[int, int]]
    side: int
    columns: int
    sheet: Image.Image
    skipped: list[tuple[str, str]]

    def thumbnail(self, number: int) -> Image.Image:
        """One of them, alone."""
        x, y = number % self.columns * self.side, number // self.columns * self.side
        width, height = self.sizes[number]
        return self.sheet.crop((x, y, x + width, y + height))

    def source(self) -> str:
        """The sheet as a WebP in a data URI."""
        data = io.BytesIO()
        self.sheet.save(data, "WEBP", quality=QUALITY, method=2)
        return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"


def side_for(count: int) -> int:
    """The side of a thumbnail, of so many."""
    return next((side for side in SIDES if (SHEET // side) ** 2 >= count), SIDES[-1])


def chosen(files: Sequence[Item], drawn: FileMap) -> list[int]:
    """Images that are to have a thumbnail, as positions in `files`; the first matter most.

    One of each content. The map is divided into cells: first comes one of each, that of the
    fullest first, then a second of each, and so on. In a cell, those that are most central in
    their groups come first.
    """
    import numpy as np

    central = np.full(len(files), len(files))
    for group in drawn.clusters:
        central[group.files] = np.arange(len(group.files))
    places = [place for place, item in enumerate(files) if item.kind == "image"]
    _, firsts = np.unique([files[place].content for place in places], return_index=True)
    images = np.asarray(places, np.int64)[np.sort(firsts)]
    cells = np.clip((drawn.points[images] + 1) / 2 * CELLS, 0, CELLS - 1).astype(np.int64)
    cell = cells[:, 0] * CELLS + cells[:, 1]
    counts = np.bincount(cell, minlength=CELLS * CELLS)
    order = np.lexsort((central[images], cell))
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    images, cell = images[order], cell[order]
    best = images[np.lexsort((cell, -counts[cell], rank))]
    return [int(place) for place in best[: (SHEET // side_for(len(best))) ** 2]]


def sprites(
    paths: Sequence[str], of: Sequence[int], passed: Callable[[], None] = lambda: None
) -> Sprites | None:
    """Thumbnails of files, in their order; None if none can be read.

    Args:
        paths: Of images.
        of: What to call each.
        passed: Called after each file.
    """
    from PIL import Image

    side = side_for(len(paths))
    skipped: list[tuple[str, str]] = []
    pictures: list[tuple[int, Image.Image]] = []
    for place, path, made in _thumbnails(paths, of, side):
        if isinstance(made, MediaError):
            skipped.append((path, made.what))
        else:
            pictures.append((place, made))
        passed()
    if not pictures:
        return None
    columns = isqrt(len(pictures) - 1) + 1
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGBA", (columns * side, rows * side))
    for number, (_, picture) in enumerate(pictures):
        sheet.paste(picture, (number % columns * side, number // columns * side))
    return Sprites(
        [place for place, _ in pictures],
        [picture.size for _, picture in pictures],
        side,
        columns,
        sheet,
        skipped,
    )


def _thumbnails(
    paths: Sequence[str], of: Sequence[int], side: int
) -> Iterator[tuple[int, str, Image.Image | MediaError]]:
    """Each thumbnail, or why there is none; made in threads, for Pillow lets go of the GIL."""
    from nmm.index.encoders.runtime.devices import available_cpus
    from nmm.index.media.image.thumbnail import thumbnail

    def make(path: str) -> Image.Image | MediaError:
        try:
            # An edge is left, so that nothing of the next square comes in when it is drawn smaller.
            return thumbnail(Path(path), side - 2)
        except MediaError as error:
            return error

    with ThreadPoolExecutor(available_cpus()) as pool:
        yield from zip(of, paths, pool.map(make, paths), strict=True)
