"""Detects crops by registration: also straightened and framed copies of an image.

A perceptual hash compares only what lies at the same place. Here one fingerprint is registered to
the other by Gauss-Newton steps on scale, rotation and translation (Lucas and Kanade, 1981; Baker
and Matthews, 2004), on the 16 by 16 pixels that the catalog stores. The correlation at the best fit
is the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.index.analysis.dupes.image_match import MIN_VARIATION, brightness_patterns
from nmm.index.media.image.fingerprint import GREY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# The initial scale: 4 % less on each side.
INITIAL_SCALE = 0.92
# After the first steps, only pairs within this distance continue.
FIRST_STEPS, STEPS, MAX_PROMISING_DISTANCE = 3, 8, 0.25
# The side of a part relative to the whole, and its rotation in radians.
SCALE_RANGE, MAX_ROTATION = (0.75, 1.02), 0.09
BATCH_SIZE = 512


def registered_distance(wholes: Floats, parts: Floats) -> Floats:
    """Return 1 minus the correlation of each part with its best fit in its whole, shape (m,).

    Args:
        wholes, parts: Brightness, shape (m, 16, 16).
    """
    import numpy as np

    distances = np.ones(len(wholes), np.float32)
    for start in range(0, len(wholes), BATCH_SIZE):
        active = np.arange(start, min(start + BATCH_SIZE, len(wholes)))
        transforms = np.tile(
            np.array([INITIAL_SCALE, INITIAL_SCALE, 0, 0, 0], np.float32), (len(active), 1)
        )
        for steps in (FIRST_STEPS, STEPS):
            best, transforms = _register(wholes[active], parts[active], transforms, steps)
            distances[active] = np.minimum(distances[active], best)
            promising = best <= MAX_PROMISING_DISTANCE
            active, transforms = active[promising], transforms[promising]
    return distances


def _register(
    wholes: Floats, parts: Floats, transforms: Floats, steps: int
) -> tuple[Floats, Floats]:
    """Return the smallest distance within some steps, and the final transforms.

    Args:
        wholes, parts: Brightness, shape (m, 16, 16).
        transforms: Horizontal and vertical scale, rotation, shifts right and down, shape (m, 5).
        steps: The number of Gauss-Newton steps.
    """
    import numpy as np

    middle, half = (GREY - 1) / 2, GREY / 2
    rows, columns = np.mgrid[:GREY, :GREY].astype(np.float32)
    x, y = ((places.ravel() - middle) / half for places in (columns, rows))
    target = brightness_patterns(parts)
    best = np.ones(len(parts), np.float32)
    for _ in range(steps):
        across, down, rotation, right, below = (transforms[:, [n]] for n in range(5))
        sampled, slope_x, slope_y = _sample(
            wholes,
            (across * x - rotation * y + right) * half + middle,
            (rotation * x + down * y + below) * half + middle,
        )
        centred = sampled - sampled.mean(axis=1, keepdims=True)
        norms = np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), MIN_VARIATION)
        pattern = centred / norms
        best = np.minimum(best, 1 - (target * pattern).sum(axis=1))
        slopes = np.stack(
            [slope_x * x, slope_y * y, slope_y * x - slope_x * y, slope_x, slope_y], axis=2
        )
        slopes = half * (slopes - slopes.mean(axis=1, keepdims=True)) / norms[..., None]
        # Remove the component that changes the contrast but not the pattern.
        along = (pattern[..., None] * slopes).sum(axis=1, keepdims=True)
        slopes -= pattern[..., None] * along
        hessian = np.einsum("mpi,mpj->mij", slopes, slopes)
        damping = 1e-3 * np.trace(hessian, axis1=1, axis2=2)[:, None, None] / 5 + 1e-9
        gain = np.einsum("mpi,mp->mi", slopes, target - pattern)
        transforms = (
            transforms + np.linalg.solve(hessian + damping * np.eye(5), gain[..., None])[..., 0]
        )
        transforms[:, :2] = transforms[:, :2].clip(*SCALE_RANGE)
        transforms[:, 2] = transforms[:, 2].clip(-MAX_ROTATION, MAX_ROTATION)
        room = np.maximum(SCALE_RANGE[1] - transforms[:, :2], 0)
        transforms[:, 3:] = transforms[:, 3:].clip(-room, room)
    return best.astype(np.float32), transforms.astype(np.float32)


def _sample(images: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Interpolate images bilinearly; return values and slopes to the right and downwards."""
    import numpy as np

    end = GREY - 1 - 1e-3
    x, y = x.clip(0, end), y.clip(0, end)
    left, top = x.astype(np.int64), y.astype(np.int64)
    index = np.arange(len(images))[:, None]
    top_left, top_right = images[index, top, left], images[index, top, left + 1]
    bottom_left, bottom_right = images[index, top + 1, left], images[index, top + 1, left + 1]
    x, y = x - left, y - top
    above, beneath = (
        top_left + (top_right - top_left) * x,
        bottom_left + (bottom_right - bottom_left) * x,
    )
    slope_x = (top_right - top_left) * (1 - y) + (bottom_right - bottom_left) * y
    return above + (beneath - above) * y, slope_x, beneath - above
