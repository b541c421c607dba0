"""Colours of kinds and groups, for a light and a dark background."""

from __future__ import annotations

from math import cos, radians, sin
from typing import NamedTuple

Colour = tuple[int, int, int]

GOLDEN_ANGLE = 137.508  # degrees: successive hues are far apart, however many there are
FIRST_HUE, IMAGE_HUE, TEXT_HUE = 25, 250, 55


class Palette(NamedTuple):
    """Colours as red, green and blue from 0 to 255.

    Attributes:
        ground: The background.
        mark: Rings and letters.
        image, text: Images and texts.
        none: Files in no group.
        groups: One colour for each group.
    """

    ground: Colour
    mark: Colour
    image: Colour
    text: Colour
    none: Colour
    groups: list[Colour]


def palette(groups: int, *, dark: bool = False) -> Palette:
    """Return the colours for a number of groups."""

    def of(hue: float, step: int = 0) -> Colour:
        if dark:
            return oklch(0.76 - 0.07 * step, 0.13, hue)
        return oklch(0.58 + 0.07 * step, 0.15, hue)

    return Palette(
        ground=(20, 20, 21) if dark else (248, 248, 246),
        mark=(255, 255, 255) if dark else (20, 20, 18),
        image=of(IMAGE_HUE),
        text=of(TEXT_HUE),
        none=(128, 128, 132) if dark else (140, 140, 136),
        groups=[of(FIRST_HUE + GOLDEN_ANGLE * number, number % 3) for number in range(groups)],
    )


def oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """Return the sRGB colour nearest to one in OKLCH, a space in which equal steps look equal.

    The formulas are from https://bottosson.github.io/posts/oklab/. The hue is in degrees.
    """
    a, b = chroma * cos(radians(hue)), chroma * sin(radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3
    return (
        _byte(4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short),
        _byte(-1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short),
        _byte(-0.0041960863 * long - 0.7034186147 * middle + 1.707614701 * short),
    )


def _byte(linear: float) -> int:
    c = min(max(linear, 0.0), 1.0)
    return round(255 * (12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055))
