"""Colours of kinds and groups, on a light ground and on a dark one."""

from __future__ import annotations

from math import cos, radians, sin
from typing import NamedTuple

Colour = tuple[int, int, int]

GOLDEN_ANGLE = 137.508  # degrees: any number of hues in a row are far apart
FIRST, IMAGE, TEXT = 25, 250, 55  # hues


class Palette(NamedTuple):
    """Colours as red, green and blue from 0 to 255.

    Attributes:
        ground: What all stands on.
        mark: Of rings and letters.
        image, text: Of the kinds.
        none: Of what is in no group.
        groups: Of each group.
    """

    ground: Colour
    mark: Colour
    image: Colour
    text: Colour
    none: Colour
    groups: list[Colour]


def palette(groups: int, *, dark: bool = False) -> Palette:
    """The colours of so many groups, and of all else."""

    def of(hue: float, step: int = 0) -> Colour:
        if dark:
            return oklch(0.76 - 0.07 * step, 0.13, hue)
        return oklch(0.58 + 0.07 * step, 0.15, hue)

    return Palette(
        ground=(20, 20, 21) if dark else (248, 248, 246),
        mark=(255, 255, 255) if dark else (20, 20, 18),
        image=of(IMAGE),
        text=of(TEXT),
        none=(128, 128, 132) if dark else (140, 140, 136),
        groups=[of(FIRST + GOLDEN_ANGLE * number, number % 3) for number in range(groups)],
    )


def oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """The sRGB colour nearest to one in OKLCH, in which equal steps look equal.

    By https://bottosson.github.io/posts/oklab/; the hue is in degrees.
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
