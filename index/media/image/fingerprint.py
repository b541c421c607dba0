"""What a picture looks like, in a few bytes: small enough to keep, and to find copies by.

A copy that was saved again, made smaller or cropped a little has other bytes, and a vector that
may be far off: of a JPEG of quality 60 that `mini` makes has a cosine of 0.89 to that of the
original, while two clock faces have 1.00. So the picture itself is kept: 16 by 16 pixels of
brightness and 4 by 4 of colour, the one part of an image that copying hardly changes.
Smaller prints cannot tell a page of text from another one. `bench/relevance.py` prints how
many copies fold, and how many others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

# Pixels to a side, of brightness and of each of the two colour differences.
GREY, COLOUR = 16, 4
BYTES = GREY * GREY + 2 * COLOUR * COLOUR
# How far the brightness of two may be from one another (1 less their correlation), and their
# colours (levels of 256, on average). What is saved again or made smaller is within 0.006, most
# of what loses one in a hundred on each side within 0.03, and pages of text of one layout lie
# from there on: a greater part cut off cannot be told from another page.
GREY_APART, COLOUR_APART = 0.03, 6.0
# Levels apart, on average, that are none: in what is of nearly one colour, correlation is noise.
SAME = 1.0


def fingerprint(image: Image.Image) -> bytes:
    """The fingerprint of an RGB image: brightness, row by row, then Cb and Cr (JFIF)."""
    from PIL.Image import Resampling

    small = image.resize((GREY, GREY), Resampling.BOX).convert("YCbCr")
    brightness, blue, red = small.split()
    colours = (band.resize((COLOUR, COLOUR), Resampling.BOX) for band in (blue, red))
    return b"".join(band.tobytes() for band in (brightness, *colours))


def copies(prints: Sequence[bytes]) -> list[list[int]]:
    """Of each of some fingerprints, the places of those before it that are of the same picture.

    What is no fingerprint, by its length, is like none.
    """
    import numpy as np

    proper = [place for place, print_ in enumerate(prints) if len(print_) == BYTES]
    found: list[list[int]] = [[] for _ in prints]
    if len(proper) < 2:
        return found
    joined = b"".join(prints[place] for place in proper)
    every = np.frombuffer(joined, np.uint8).reshape(len(proper), BYTES).astype(np.float32)
    grey, colours = every[:, : GREY * GREY], every[:, GREY * GREY :]
    means = grey.mean(axis=1)
    patterns = grey - means[:, None]
    lengths = (patterns * patterns).sum(axis=1)
    apart = 1 - patterns @ patterns.T / np.maximum(np.sqrt(np.outer(lengths, lengths)), 1)
    # Levels that are the same on average have means that are no further from each other.
    likely = (apart <= GREY_APART) | (np.abs(means[:, None] - means) <= SAME)
    for one in np.flatnonzero(np.tril(likely, -1).any(axis=1)).tolist():
        (others,) = likely[one, :one].nonzero()
        is_same = np.abs(grey[others] - grey[one]).mean(axis=1) <= SAME
        is_near = np.abs(colours[others] - colours[one]).mean(axis=1) <= COLOUR_APART
        alike = others[is_near & (is_same | (apart[one, others] <= GREY_APART))]
        found[proper[one]] = [proper[other] for other in alike.tolist()]
    return found
