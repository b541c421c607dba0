"""Whether two fingerprints are of one picture, however it was saved, resized, turned or recoloured.

The perceptual hash is pHash as the package imagehash computes it (`phash` with `hash_size=8`):
the lowest 8 by 8 coefficients of a discrete cosine transform, each above their median or not.
It is computed of the 16 by 16 pixels of brightness that the catalog keeps
(:mod:`.fingerprint`), so that no image is read; `bench/dupes.py` prints that
it is as good as that of the whole image.

A hash alone takes one page of text for another. So the brightness has to correlate, too, and
the colours may be paler or shifted, but not others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nmm.index.media.image.fingerprint import BYTES, COLOUR, GREY

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Integers = NDArray[np.int64]

# Coefficients to a side of a hash, and its bits.
SIDE = 8
BITS = SIDE * SIDE
# Quarter turns that a copy may have been saved with.
TURNS = 4
# 1 less the correlation of the brightness of two, at most; and what their colours (levels of 256,
# on average) may differ by when one is made as pale as the other. Both are chosen from what
# `bench/dupes.py` prints.
BRIGHTNESS, COLOURS = 0.06, 3.0
# The least variation, in levels times pixels, that correlation is not the noise of.
LEAST = 16.0
# Pairs whose brightness is compared at once: both sides of so many stay in a core's cache.
PAIRS_AT_ONCE = 1024


class Prints(NamedTuple):
    """Fingerprints, unpacked.

    Attributes:
        grey: Brightness in levels, uint8 of shape (n, 16, 16).
        patterns: Of the brightness, see :func:`patterns`.
        colours: Cb and Cr around 0, shape (n, 2, 4, 4).
        known: Of which there is a fingerprint, shape (n,); the others are grey.
    """

    grey: NDArray[np.uint8]
    patterns: Floats
    colours: Floats
    known: NDArray[np.bool_]


def unpack(prints: Sequence[bytes | None]) -> Prints:
    """Fingerprints of :mod:`.fingerprint`; None, or another length, is none."""
    import numpy as np

    known = np.array([len(print_ or b"") == BYTES for print_ in prints], np.bool_)
    proper = (print_ if print_ and len(print_) == BYTES else bytes(BYTES) for print_ in prints)
    every = np.frombuffer(b"".join(proper), np.uint8).reshape(-1, BYTES)
    grey = every[:, : GREY * GREY].reshape(-1, GREY, GREY)
    colours = every[:, GREY * GREY :].reshape(-1, 2, COLOUR, COLOUR).astype(np.float32) - 128
    return Prints(grey, patterns(grey), colours, known)


def hashes(grey: Floats | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The perceptual hash of each, by quarter turns to the left, shape (n, 4, 8): 64 bits.

    Args:
        grey: Brightness, shape (n, 16, 16).
    """
    import numpy as np

    places = 2 * np.arange(GREY) + 1
    basis = np.cos(np.pi * np.arange(SIDE)[:, None] * places / (2 * GREY))
    found = np.empty((len(grey), TURNS, BITS // 8), np.uint8)
    for turn in range(TURNS):
        low = (basis @ np.rot90(grey, turn, (1, 2)) @ basis.T).reshape(len(grey), BITS)
        found[:, turn] = np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1)
    return found


def is_one_picture(
    prints: Prints, ones: Integers, others: Integers, turns: Integers
) -> NDArray[np.bool_]:
    """Of pairs, whether brightness and colours are of one picture.

    Args:
        prints: Fingerprints.
        ones, others: The pairs, by their places, shape (m,).
        turns: Quarter turns to the left that make the one of each pair what the other is.
    """
    import numpy as np

    found = np.zeros(len(ones), np.bool_)
    for turn in range(TURNS):
        at = np.flatnonzero((turns == turn) & prints.known[ones] & prints.known[others])
        # Of what a hash proposes, this leaves little.
        at = at[_apart_of(prints.patterns, ones[at], others[at], turn) <= BRIGHTNESS]
        colours = np.rot90(prints.colours[ones[at]], turn, (2, 3))
        found[at] = colours_apart(colours, prints.colours[others[at]]) <= COLOURS
    return found


def patterns(grey: Floats | NDArray[np.uint8]) -> Floats:
    """Brightness around its mean, of unit length, shape (n, pixels); shorter if nearly flat."""
    import numpy as np

    flat = grey.reshape(len(grey), GREY * GREY)
    around: Floats = flat - flat.mean(axis=1, keepdims=True, dtype=np.float32)
    lengths = np.linalg.norm(around, axis=1, keepdims=True)
    around /= np.maximum(lengths, LEAST)
    return around


def apart(ones: Floats, others: Floats) -> Floats:
    """1 less the correlation of each pair of patterns, shape (m,).

    What is nearly flat is near to nothing.
    """
    import numpy as np

    found: Floats = 1 - np.einsum("ij,ij->i", ones, others)
    return found


def _apart_of(every: Floats, ones: Integers, others: Integers, turn: int) -> Floats:
    """As of :func:`apart`, of pairs given by their places, of which the ones are turned."""
    import numpy as np

    # Where the pixels of a turned picture are in that which is not.
    turned = np.rot90(np.arange(GREY * GREY).reshape(GREY, GREY), turn).ravel()
    found = np.empty(len(ones), np.float32)
    for start in range(0, len(ones), PAIRS_AT_ONCE):
        some = slice(start, start + PAIRS_AT_ONCE)
        found[some] = apart(every[ones[some]][:, turned], every[others[some]])
    return found


def colours_apart(ones: Floats, others: Floats) -> Floats:
    """Levels by which the colours of each pair differ, when one is as pale as the other.

    A copy may have lost colour, or all of it, and may have a tint all over.
    """
    import numpy as np

    around = [part.reshape(len(part), 2, COLOUR * COLOUR) for part in (ones, others)]
    one, other = (part - part.mean(axis=2, keepdims=True) for part in around)

    def left(of: Floats, by: Floats) -> Floats:
        strength = (of * by).sum(axis=(1, 2)) / np.maximum((by * by).sum(axis=(1, 2)), 1e-6)
        rest: Floats = np.abs(of - strength.clip(0, 2)[:, None, None] * by).mean(axis=(1, 2))
        return rest

    nearest: Floats = np.minimum(left(one, other), left(other, one))
    return nearest
