"""Images of words, drawn with Pillow's built-in font."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

Box: TypeAlias = tuple[float, float, float, float]


def draw_lines(
    lines: Sequence[str],
    size: tuple[int, int],
    *,
    font_size: int = 32,
    ink: str = "black",
    paper: str = "white",
) -> tuple[Image.Image, list[Box]]:
    """Draw lines below each other; return the image and each line's left, top, right and bottom."""
    image = Image.new("RGB", size, paper)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(font_size)
    boxes = []
    for number, line in enumerate(lines):
        place = (font_size, font_size * (1 + 2 * number))
        pen.text(place, line, fill=ink, font=font)
        boxes.append(pen.textbbox(place, line, font=font))
    return image, boxes
