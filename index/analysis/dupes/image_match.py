"""Compares image fingerprints: finds copies that were re-saved, resized, rotated or recoloured.

The perceptual hash is pHash as computed by the package imagehash (`phash` with `hash_size=8`): for
each of the lowest 8 by 8 coefficients of a discrete cosine transform, whether it is above their
median. It is computed from the 16 by 16 brightness pixels in the catalog (:mod:`.fingerprint`), so
no image is read. `bench/dupes.py` shows that it is as good as that of the whole image.

The hash alone confuses pages of text. The brightness must therefore correlate, too, and the colours
may be paler or shifted, but not different.
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

# Coefficients per side of a hash, and its bits.
HASH_SIDE = 8
HASH_BITS = HASH_SIDE * HASH_SIDE
# Quarter turns that a copy may have been saved with.
ROTATIONS = 4
# The maximum distance of two copies: 1 minus the correlation of their brightness, and the mean
# difference of their colours in levels of 256, after one is made as pale as the other. Both were
# chosen with `bench/dupes.py`.
MAX_BRIGHTNESS_DISTANCE, MAX_COLOUR_DISTANCE = 0.06, 3.0
# The norm of the centred brightness, in levels, below which its pattern is noise.
MIN_VARIATION = 16.0
# Pairs per batch: both sides fit into a core's cache.
BATCH_SIZE = 1024


class Fingerprints(NamedTuple):
    """Unpacked fingerprints.

    Attributes:
        grey: Brightness in levels, uint8, shape (n, 16, 16).
        patterns: See :func:`brightness_patterns`.
        colours: Cb and Cr, centred on 0, shape (n, 2, 4, 4).
        known: Which images have a fingerprint, shape (n,). The others are grey.
    """

    grey: NDArray[np.uint8]
    patterns: Floats
    colours: Floats
    known: NDArray[np.bool_]


def unpack_fingerprints(fingerprints: Sequence[bytes | None]) -> Fingerprints:
    """Unpack fingerprints of :mod:`.fingerprint`; None or another length means none."""
    import numpy as np

    known = np.array([len(print_ or b"") == BYTES for print_ in fingerprints], np.bool_)
    valid = (print_ if print_ and len(print_) == BYTES else bytes(BYTES) for print_ in fingerprints)
    every = np.frombuffer(b"".join(valid), np.uint8).reshape(-1, BYTES)
    grey = every[:, : GREY * GREY].reshape(-1, GREY, GREY)
    colours = every[:, GREY * GREY :].reshape(-1, 2, COLOUR, COLOUR).astype(np.float32) - 128
    return Fingerprints(grey, brightness_patterns(grey), colours, known)


def perceptual_hashes(grey: Floats | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the 64-bit hash of each image in each quarter turn to the left, shape (n, 4, 8).

    Args:
        grey: Brightness, shape (n, 16, 16).
    """
    import numpy as np

    places = 2 * np.arange(GREY) + 1
    basis = np.cos(np.pi * np.arange(HASH_SIDE)[:, None] * places / (2 * GREY))
    found = np.empty((len(grey), ROTATIONS, HASH_BITS // 8), np.uint8)
    for rotation in range(ROTATIONS):
        low = (basis @ np.rot90(grey, rotation, (1, 2)) @ basis.T).reshape(len(grey), HASH_BITS)
        found[:, rotation] = np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1)
    return found


def is_same_picture(
    fingerprints: Fingerprints, firsts: Integers, seconds: Integers, rotations: Integers
) -> NDArray[np.bool_]:
    """Return whether brightness and colours of each pair agree, shape (m,).

    Args:
        fingerprints: Of all images.
        firsts, seconds: The pairs, as positions, shape (m,).
        rotations: Quarter turns to the left that match the first of each pair to the second, shape
            (m,).
    """
    import numpy as np

    found = np.zeros(len(firsts), np.bool_)
    for rotation in range(ROTATIONS):
        at = np.flatnonzero(
            (rotations == rotation) & fingerprints.known[firsts] & fingerprints.known[seconds]
        )
        # This rejects most candidates of the hash.
        at = at[
            _indexed_pattern_distance(fingerprints.patterns, firsts[at], seconds[at], rotation)
            <= MAX_BRIGHTNESS_DISTANCE
        ]
        colours = np.rot90(fingerprints.colours[firsts[at]], rotation, (2, 3))
        found[at] = (
            colour_distance(colours, fingerprints.colours[seconds[at]]) <= MAX_COLOUR_DISTANCE
        )
    return found


def brightness_patterns(grey: Floats | NDArray[np.uint8]) -> Floats:
    """Return the centred, normalised brightness, shape (n, pixels); shorter if nearly flat."""
    import numpy as np

    flat = grey.reshape(len(grey), GREY * GREY)
    around: Floats = flat - flat.mean(axis=1, keepdims=True, dtype=np.float32)
    lengths = np.linalg.norm(around, axis=1, keepdims=True)
    around /= np.maximum(lengths, MIN_VARIATION)
    return around


def pattern_distance(firsts: Floats, seconds: Floats) -> Floats:
    """Return 1 minus the correlation of each pair of patterns, shape (m,).

    A nearly flat image is near nothing.
    """
    import numpy as np

    found: Floats = 1 - np.einsum("ij,ij->i", firsts, seconds)
    return found


def _indexed_pattern_distance(
    every: Floats, firsts: Integers, seconds: Integers, rotation: int
) -> Floats:
    """Return :func:`pattern_distance` of pairs of positions, the first of each rotated."""
    import numpy as np

    # The positions of the rotated image's pixels in the original.
    turned = np.rot90(np.arange(GREY * GREY).reshape(GREY, GREY), rotation).ravel()
    found = np.empty(len(firsts), np.float32)
    for start in range(0, len(firsts), BATCH_SIZE):
        some = slice(start, start + BATCH_SIZE)
        found[some] = pattern_distance(every[firsts[some]][:, turned], every[seconds[some]])
    return found


def colour_distance(firsts: Floats, seconds: Floats) -> Floats:
    """Return the mean colour difference of each pair in levels, shape (m,).

    Both are centred, and one is scaled to the saturation of the other: a copy may have lost colour,
    or all of it, and may have a tint.
    """
    import numpy as np

    around = [part.reshape(len(part), 2, COLOUR * COLOUR) for part in (firsts, seconds)]
    one, other = (part - part.mean(axis=2, keepdims=True) for part in around)

    def residual(colours: Floats, reference: Floats) -> Floats:
        strength = (colours * reference).sum(axis=(1, 2))
        strength /= np.maximum((reference * reference).sum(axis=(1, 2)), 1e-6)
        rest: Floats = np.abs(colours - strength.clip(0, 2)[:, None, None] * reference).mean(
            axis=(1, 2)
        )
        return rest

    nearest: Floats = np.minimum(residual(one, other), residual(other, one))
    return nearest
