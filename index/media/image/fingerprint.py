"""Perceptual fingerprints: find copies of an image by a few bytes.

A copy that was saved again, resized or cropped a little has other bytes, and its vector may be far
from that of the original: with `mini`, a JPEG of quality 60 can have a cosine of 0.89, while two
clock faces have 1.00. A fingerprint is a tiny image, which copying hardly changes: 16 by 16 pixels
of brightness and 4 by 4 of colour. Smaller ones cannot distinguish two pages of text.
`bench/relevance.py` prints how many copies are recognised, and how many other images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

# Pixels per side of the brightness, and of each of the two colour differences.
GREY, COLOUR = 16, 4
BYTES = GREY * GREY + 2 * COLOUR * COLOUR
# The largest difference of two copies in brightness (1 minus the correlation) and in colour (mean
# levels of 256). An image that was saved again or resized is within 0.006. Most that lost 1 % on
# each side are within 0.03. Beyond that are pages of text with one layout, which cannot be
# distinguished from a copy that lost more.
MAX_GREY_DISTANCE, MAX_COLOUR_DISTANCE = 0.03, 6.0
# A mean difference in levels that counts as none: in an image of nearly one colour, correlation is
# noise.
MAX_NOISE = 1.0


def fingerprint(image: Image.Image) -> bytes:
    """Return the fingerprint of an RGB image: brightness, row by row, then Cb and Cr (JFIF)."""
    from PIL.Image import Resampling

    small = image.resize((GREY, GREY), Resampling.BOX).convert("YCbCr")
    brightness, blue, red = small.split()
    colours = (band.resize((COLOUR, COLOUR), Resampling.BOX) for band in (blue, red))
    return b"".join(band.tobytes() for band in (brightness, *colours))


def copies(prints: Sequence[bytes]) -> list[list[int]]:
    """Return, for each fingerprint, the positions of those before it that show the same image.

    Bytes of another length are no fingerprint, and match none.
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
    # If levels differ little on average, their means differ no more.
    likely = (apart <= MAX_GREY_DISTANCE) | (np.abs(means[:, None] - means) <= MAX_NOISE)
    for one in np.flatnonzero(np.tril(likely, -1).any(axis=1)).tolist():
        (others,) = likely[one, :one].nonzero()
        is_same = np.abs(grey[others] - grey[one]).mean(axis=1) <= MAX_NOISE
        is_near = np.abs(colours[others] - colours[one]).mean(axis=1) <= MAX_COLOUR_DISTANCE
        alike = others[is_near & (is_same | (apart[one, others] <= MAX_GREY_DISTANCE))]
        found[proper[one]] = [proper[other] for other in alike.tolist()]
    return found
