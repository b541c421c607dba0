"""`nmm map --png`: the map as a picture, with thumbnails and the names of groups on it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.cli.console.text import printable
from nmm.cli.render.palette import Palette, palette
from nmm.index.errors import OutputError, UsageError

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

    from nmm.cli.render.html.sprites import Sprites
    from nmm.index.analysis.projection.layout import FileMap

    Box = tuple[float, float, float, float]

SIZE = (1600, 1200)
EDGE = 90  # pixels around the points
THUMBNAIL = 84  # the longer side, in pixels
LETTERS = 24  # height of the names
# Everything is drawn twice as large and then made smaller, which smooths edges.
TWICE = 2
# By this a picture is known as one that nmm wrote, and may be replaced.
SOFTWARE = "nmm map"


def check_place(file: Path) -> None:
    """See that a picture may be written there: nothing is, or one that nmm wrote.

    Raises:
        UsageError: Something else is there, or the name is not that of a PNG.
        OutputError: What is there cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    if file.suffix.lower() != ".png":
        raise UsageError(f"{file} is no name for a PNG.", hint="Name it so: map.png")
    try:
        if not file.is_file() or not file.stat().st_size:
            return
        with Image.open(file, formats=["PNG"]) as there:
            is_own = there.info.get("Software") == SOFTWARE
    except UnidentifiedImageError:
        is_own = False
    except (OSError, SyntaxError, ValueError) as error:
        raise OutputError(f"{file} cannot be read.", why=str(error)) from error
    if not is_own:
        raise UsageError(
            f"{file} is there, and is no map that nmm drew.", hint="Name another file."
        )


def write_picture(file: Path, picture: Image.Image) -> None:
    """Write a PNG; it appears, or is replaced, when all is there.

    Raises:
        UsageError: Something else is there.
        OutputError: It cannot be written.
    """
    from PIL.PngImagePlugin import PngInfo

    from nmm.index.common.atomic_files import replace_atomically

    check_place(file)
    about = PngInfo()
    about.add_text("Software", SOFTWARE)
    data = io.BytesIO()
    picture.save(data, "PNG", pnginfo=about)
    with replace_atomically(file) as part:
        part.write_bytes(data.getvalue())


def without_overlap(drawn: FileMap, places: Sequence[int]) -> list[int]:
    """Those of some files, the first before the others, whose thumbnails do not overlap."""
    at = _pixels(drawn)
    room = 1.1 * THUMBNAIL * TWICE
    kept: dict[tuple[int, int], list[int]] = {}
    for place in places:
        x, y = at[place]
        column, row = int(x // room), int(y // room)
        near = (
            other
            for dx in (-1, 0, 1)
            for dy in (-1, 0, 1)
            for other in kept.get((column + dx, row + dy), ())
        )
        if all(max(abs(x - at[o][0]), abs(y - at[o][1])) >= room for o in near):
            kept.setdefault((column, row), []).append(place)
    chosen = {place for cell in kept.values() for place in cell}
    return [place for place in places if place in chosen]


def picture(drawn: FileMap, kinds: Sequence[str], sprites: Sprites | None) -> Image.Image:
    """The map of files of these kinds, of :data:`SIZE` pixels.

    Args:
        drawn: The map.
        kinds: Of each file; they give the colours where there are no groups.
        sprites: Thumbnails; those of :func:`without_overlap` are drawn.
    """
    from PIL import Image, ImageDraw

    colours = palette(len(drawn.clusters))
    at = _pixels(drawn)
    image = Image.new("RGB", (TWICE * SIZE[0], TWICE * SIZE[1]), colours.ground)
    pen = ImageDraw.Draw(image)
    radius = TWICE * min(max(0.2 * SIZE[1] / len(at) ** 0.5, 1.2), 7)
    for place, (x, y) in enumerate(at):
        box = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(box, fill=_colour(colours, drawn, kinds, place))
    if sprites:
        number = {place: n for n, place in enumerate(sprites.of)}
        for place in without_overlap(drawn, sprites.of):
            shown = sprites.thumbnail(number[place]).convert("RGB")
            scale = TWICE * THUMBNAIL / max(shown.size)
            shown = shown.resize([max(round(scale * side), 1) for side in shown.size])
            x, y = at[place]
            left, top = round(x - shown.width / 2), round(y - shown.height / 2)
            edge = 2 * TWICE
            frame = (left - edge, top - edge, left + shown.width + edge, top + shown.height + edge)
            pen.rectangle(frame, fill=_colour(colours, drawn, kinds, place))
            image.paste(shown, (left, top))
    for x, y, name, font in _names(drawn, pen):
        pen.text(
            (x, y), name, colours.mark, font, "mm",
            stroke_width=4 * TWICE, stroke_fill=colours.ground,
        )  # fmt: skip
    return image.resize(SIZE, Image.Resampling.LANCZOS)


def _colour(
    colours: Palette, drawn: FileMap, kinds: Sequence[str], place: int
) -> tuple[int, int, int]:
    if not drawn.clusters:
        return colours.image if kinds[place] == "image" else colours.text
    group = int(drawn.cluster_of[place])
    return colours.groups[group] if group >= 0 else colours.none


def _pixels(drawn: FileMap, points: object = None) -> list[tuple[float, float]]:
    """Where points of the map are in the picture, drawn twice as large."""
    import numpy as np

    low, high = drawn.points.min(axis=0), drawn.points.max(axis=0)
    room = np.array(SIZE) - 2 * EDGE
    scale = float((room / np.maximum(high - low, 1e-9)).min())
    shown = drawn.points if points is None else np.asarray(points)
    moved = (shown - (low + high) / 2) * min(scale, 1e6) * [1, -1] + np.array(SIZE) / 2
    return [(float(x), float(y)) for x, y in TWICE * moved]


def _names(
    drawn: FileMap, pen: ImageDraw.ImageDraw
) -> Iterator[tuple[float, float, str, ImageFont.ImageFont | ImageFont.FreeTypeFont]]:
    """Names where they stand, those that would cover one of a larger group left out."""
    from PIL import ImageFont

    font = ImageFont.load_default(TWICE * LETTERS)
    taken: list[Box] = []
    for group, (x, y) in zip(drawn.clusters, _pixels(drawn, drawn.label_positions), strict=True):
        name = printable(group.name)
        left, top, right, bottom = pen.textbbox((0, 0), name, font, "mm")
        # Within the picture, however long it is.
        half = (right - left) / 2 + 4 * TWICE
        x = min(max(x, half), max(TWICE * SIZE[0] - half, half))  # noqa: PLW2901
        box = (x + left, y + top, x + right, y + bottom)
        if all(
            box[0] > other[2] or box[2] < other[0] or box[1] > other[3] or box[3] < other[1]
            for other in taken
        ):
            taken.append(box)
            yield x, y, name, font
