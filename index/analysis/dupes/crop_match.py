"""Whether one fingerprint is a part of another: a crop, a straightened picture, one with a frame.

A hash tells only what lies in the same place. So the one is laid on the other by Gauss-Newton
steps on scale, turn and shift (Lucas and Kanade, 1981; Baker and Matthews, 2004), of the 16 by
16 pixels that the catalog keeps, and their correlation is taken where they fit best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.index.analysis.dupes.image_match import LEAST, patterns
from nmm.index.media.image.fingerprint import GREY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# What is begun with: 4 % less at each side.
START = 0.92
# After the first steps only those go on that are no further apart.
FIRST_STEPS, STEPS, PROMISING = 3, 8, 0.25
# The least and the most of a side that a part may be; radians that it may be turned by.
SCALES, TURN = (0.75, 1.02), 0.09
PAIRS_AT_ONCE = 512


def apart_registered(wholes: Floats, parts: Floats) -> Floats:
    """1 less the correlation of each part with where it fits best in its whole, shape (m,).

    Args:
        wholes, parts: Brightness, shape (m, 16, 16).
    """
    import numpy as np

    found = np.ones(len(wholes), np.float32)
    for start in range(0, len(wholes), PAIRS_AT_ONCE):
        at = np.arange(start, min(start + PAIRS_AT_ONCE, len(wholes)))
        where = np.tile(np.array([START, START, 0, 0, 0], np.float32), (len(at), 1))
        for steps in (FIRST_STEPS, STEPS):
            best, where = _fitted(wholes[at], parts[at], where, steps)
            found[at] = np.minimum(found[at], best)
            promising = best <= PROMISING
            at, where = at[promising], where[promising]
    return found


def _fitted(wholes: Floats, parts: Floats, where: Floats, steps: int) -> tuple[Floats, Floats]:
    """What was least apart in some steps on, and where these ended.

    Args:
        wholes, parts: Brightness, shape (m, 16, 16).
        where: Scales across and down, turn, shifts right and down, shape (m, 5).
        steps: How many.
    """
    import numpy as np

    middle, half = (GREY - 1) / 2, GREY / 2
    rows, columns = np.mgrid[:GREY, :GREY].astype(np.float32)
    x, y = ((places.ravel() - middle) / half for places in (columns, rows))
    wanted = patterns(parts)
    best = np.ones(len(parts), np.float32)
    for _ in range(steps):
        across, down, turn, right, below = (where[:, [n]] for n in range(5))
        seen, by_x, by_y = _sampled(
            wholes,
            (across * x - turn * y + right) * half + middle,
            (turn * x + down * y + below) * half + middle,
        )
        around = seen - seen.mean(axis=1, keepdims=True)
        lengths = np.maximum(np.linalg.norm(around, axis=1, keepdims=True), LEAST)
        pattern = around / lengths
        best = np.minimum(best, 1 - (wanted * pattern).sum(axis=1))
        slopes = np.stack([by_x * x, by_y * y, by_y * x - by_x * y, by_x, by_y], axis=2)
        slopes = half * (slopes - slopes.mean(axis=1, keepdims=True)) / lengths[..., None]
        # Only what changes the pattern counts, not what changes its contrast.
        along = (pattern[..., None] * slopes).sum(axis=1, keepdims=True)
        slopes -= pattern[..., None] * along
        square = np.einsum("mpi,mpj->mij", slopes, slopes)
        damping = 1e-3 * np.trace(square, axis1=1, axis2=2)[:, None, None] / 5 + 1e-9
        gain = np.einsum("mpi,mp->mi", slopes, wanted - pattern)
        where = where + np.linalg.solve(square + damping * np.eye(5), gain[..., None])[..., 0]
        where[:, :2] = where[:, :2].clip(*SCALES)
        where[:, 2] = where[:, 2].clip(-TURN, TURN)
        room = np.maximum(SCALES[1] - where[:, :2], 0)
        where[:, 3:] = where[:, 3:].clip(-room, room)
    return best.astype(np.float32), where.astype(np.float32)


def _sampled(images: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """What images are between their pixels, and how it changes to the right and downwards."""
    import numpy as np

    end = GREY - 1 - 1e-3
    x, y = x.clip(0, end), y.clip(0, end)
    left, top = x.astype(np.int64), y.astype(np.int64)
    each = np.arange(len(images))[:, None]
    one, two = images[each, top, left], images[each, top, left + 1]
    three, four = images[each, top + 1, left], images[each, top + 1, left + 1]
    x, y = x - left, y - top
    above, beneath = one + (two - one) * x, three + (four - three) * x
    by_x = (two - one) * (1 - y) + (four - three) * y
    return above + (beneath - above) * y, by_x, beneath - above
