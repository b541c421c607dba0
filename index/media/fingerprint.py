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

    import numpy as np
    from numpy.typing import NDArray
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


def is_copy(one: bytes, others: Sequence[bytes]) -> NDArray[np.bool_]:
    """Which of some fingerprints are of the picture that one is of, shape (n,).

    None of those that are no fingerprints, by their length.
    """
    import numpy as np

    proper = np.array([len(other) == BYTES == len(one) for other in others], np.bool_)
    if not proper.any():
        return proper
    kept = [other for other, is_proper in zip(others, proper.tolist(), strict=True) if is_proper]
    first = np.frombuffer(one, np.uint8).astype(np.float32)
    rest = np.frombuffer(b"".join(kept), np.uint8).reshape(len(kept), BYTES).astype(np.float32)
    cut = GREY * GREY
    colours = np.abs(rest[:, cut:] - first[cut:]).mean(axis=1)
    proper[proper] = (colours <= COLOUR_APART) & (_apart(first[:cut], rest[:, :cut]) <= GREY_APART)
    return proper


def _apart(one: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 less the correlations of a pattern with others; 0 where the levels are the same."""
    import numpy as np

    a, b = one - one.mean(), others - others.mean(axis=1, keepdims=True)
    lengths = np.sqrt((a @ a) * (b * b).sum(axis=1))
    apart = 1 - b @ a / np.maximum(lengths, 1)
    same = np.abs(others - one).mean(axis=1) <= SAME
    result: NDArray[np.float32] = np.where(same, 0, apart)
    return result
