"""`nmm map --png`: the map as a PNG with thumbnails and the names of clusters."""

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

    from nmm.cli.render.html.sprites import SpriteSheet
    from nmm.index.analysis.projection.layout import FileMap

    Box = tuple[float, float, float, float]

SIZE = (1600, 1200)
MARGIN = 90  # pixels around the points
THUMBNAIL_SIDE = 84  # the longer side, in pixels
FONT_SIZE = 24
# The image is drawn at twice its size and then reduced, which smooths edges.
SUPERSAMPLING = 2
# Metadata that marks an image as written by nmm, so that it may be replaced.
SOFTWARE = "nmm map"


def check_writable(file: Path) -> None:
    """Check that an image may be written: there is no file, or one that nmm wrote.

    Raises:
        UsageError: There is another file, or the name does not end in .png.
        OutputError: The existing file cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    if file.suffix.lower() != ".png":
        raise UsageError(f"{file} is not a name for a PNG file.", hint="For example: map.png")
    try:
        if not file.is_file() or not file.stat().st_size:
            return
        with Image.open(file, formats=["PNG"]) as image:
            is_own = image.info.get("Software") == SOFTWARE
    except UnidentifiedImageError:
        is_own = False
    except (OSError, SyntaxError, ValueError) as error:
        raise OutputError(f"{file} cannot be read.", why=str(error)) from error
    if not is_own:
        raise UsageError(
            f"{file} exists and is not a map that nmm drew.", hint="Name another file."
        )


def write_png(file: Path, image: Image.Image) -> None:
    """Write a PNG atomically.

    Raises:
        UsageError: There is another file.
        OutputError: The image cannot be written.
    """
    from PIL.PngImagePlugin import PngInfo

    from nmm.index.common.atomic_files import replace_atomically

    check_writable(file)
    about = PngInfo()
    about.add_text("Software", SOFTWARE)
    data = io.BytesIO()
    image.save(data, "PNG", pnginfo=about)
    with replace_atomically(file) as part:
        part.write_bytes(data.getvalue())


def select_without_overlap(drawn: FileMap, positions: Sequence[int]) -> list[int]:
    """Return the positions whose thumbnails do not overlap; earlier ones win."""
    at = _to_pixels(drawn)
    spacing = 1.1 * THUMBNAIL_SIDE * SUPERSAMPLING
    kept: dict[tuple[int, int], list[int]] = {}
    for position in positions:
        x, y = at[position]
        column, row = int(x // spacing), int(y // spacing)
        near = (
            other
            for dx in (-1, 0, 1)
            for dy in (-1, 0, 1)
            for other in kept.get((column + dx, row + dy), ())
        )
        if all(max(abs(x - at[o][0]), abs(y - at[o][1])) >= spacing for o in near):
            kept.setdefault((column, row), []).append(position)
    chosen = {position for cell in kept.values() for position in cell}
    return [position for position in positions if position in chosen]


def render(drawn: FileMap, kinds: Sequence[str], sprites: SpriteSheet | None) -> Image.Image:
    """Render the map as an image of :data:`SIZE` pixels.

    Args:
        drawn: The map.
        kinds: The kind of each file; it determines the colour if there are no clusters.
        sprites: Thumbnails, drawn where they do not overlap.
    """
    from PIL import Image, ImageDraw

    colours = palette(len(drawn.clusters))
    at = _to_pixels(drawn)
    image = Image.new("RGB", (SUPERSAMPLING * SIZE[0], SUPERSAMPLING * SIZE[1]), colours.ground)
    pen = ImageDraw.Draw(image)
    radius = SUPERSAMPLING * min(max(0.2 * SIZE[1] / len(at) ** 0.5, 1.2), 7)
    for position, (x, y) in enumerate(at):
        box = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(box, fill=_colour(colours, drawn, kinds, position))
    if sprites:
        number = {position: n for n, position in enumerate(sprites.of)}
        for position in select_without_overlap(drawn, sprites.of):
            shown = sprites.thumbnail(number[position]).convert("RGB")
            scale = SUPERSAMPLING * THUMBNAIL_SIDE / max(shown.size)
            shown = shown.resize([max(round(scale * side), 1) for side in shown.size])
            x, y = at[position]
            left, top = round(x - shown.width / 2), round(y - shown.height / 2)
            edge = 2 * SUPERSAMPLING
            frame = (left - edge, top - edge, left + shown.width + edge, top + shown.height + edge)
            pen.rectangle(frame, fill=_colour(colours, drawn, kinds, position))
            image.paste(shown, (left, top))
    for x, y, name, font in _visible_names(drawn, pen):
        pen.text(
            (x, y), name, colours.mark, font, "mm",
            stroke_width=4 * SUPERSAMPLING, stroke_fill=colours.ground,
        )  # fmt: skip
    return image.resize(SIZE, Image.Resampling.LANCZOS)


def _colour(
    colours: Palette, drawn: FileMap, kinds: Sequence[str], position: int
) -> tuple[int, int, int]:
    if not drawn.clusters:
        return colours.image if kinds[position] == "image" else colours.text
    group = int(drawn.cluster_of[position])
    return colours.groups[group] if group >= 0 else colours.none


def _to_pixels(drawn: FileMap, points: object = None) -> list[tuple[float, float]]:
    """Return the pixel positions of points, at double size."""
    import numpy as np

    low, high = drawn.points.min(axis=0), drawn.points.max(axis=0)
    spacing = np.array(SIZE) - 2 * MARGIN
    scale = float((spacing / np.maximum(high - low, 1e-9)).min())
    shown = drawn.points if points is None else np.asarray(points)
    moved = (shown - (low + high) / 2) * min(scale, 1e6) * [1, -1] + np.array(SIZE) / 2
    return [(float(x), float(y)) for x, y in SUPERSAMPLING * moved]


def _visible_names(
    drawn: FileMap, pen: ImageDraw.ImageDraw
) -> Iterator[tuple[float, float, str, ImageFont.ImageFont | ImageFont.FreeTypeFont]]:
    """Yield names and positions, without names that would cover that of a larger cluster."""
    from PIL import ImageFont

    font = ImageFont.load_default(SUPERSAMPLING * FONT_SIZE)
    taken: list[Box] = []
    for group, (x, y) in zip(drawn.clusters, _to_pixels(drawn, drawn.label_positions), strict=True):
        name = printable(group.name)
        left, top, right, bottom = pen.textbbox((0, 0), name, font, "mm")
        # Keep even a long name within the image.
        half = (right - left) / 2 + 4 * SUPERSAMPLING
        x = min(max(x, half), max(SUPERSAMPLING * SIZE[0] - half, half))  # noqa: PLW2901
        box = (x + left, y + top, x + right, y + bottom)
        if all(
            box[0] > other[2] or box[2] < other[0] or box[1] > other[3] or box[3] < other[1]
            for other in taken
        ):
            taken.append(box)
            yield x, y, name, font
