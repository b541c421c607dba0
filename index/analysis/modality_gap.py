"""The modality gap: images and texts lie in different parts of the space, and are brought together.

In a model trained with pairs, images lie around one mean and texts around another, apart by more
than what tells two subjects apart (Liang et al., 2022, "Mind the Gap"). What groups or draws such
vectors would find the kinds, and not what they are of. So each kind is centred on its own mean.

A mean that all vectors share hides what tells them apart in the same way, if there is one kind
only (Mu and Viswanath, 2018, "All-but-the-Top"), so that is taken off, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nmm.index.common.linalg import normalize_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.catalog.types import Kind

# A vector that is no longer than this once its mean is taken off points nowhere: what is left are
# the roundings of its halves.
NOWHERE = 1e-3


def closed(vectors: NDArray[np.float32], kinds: Sequence[Kind]) -> NDArray[np.float32]:
    """Vectors without the mean of their kind, of unit length again, shape (n, dimension).

    One that is its mean, or was zero, is zero. What the kinds are of goes with their means: if all
    images are of one subject and all texts of another, they will lie together.

    The mean of a few says little of their kind. It is drawn to the mean of all by the part of
    its distance that chance would give, squared (James and Stein, 1961): a single text among
    images keeps most of what tells it from them, as long as the gap is not much greater than that.

    Args:
        vectors: Of unit length, or zero, shape (n, dimension).
        kinds: Of each.
    """
    import numpy as np

    images = np.fromiter((kind == "image" for kind in kinds), np.bool_, len(vectors))
    there = vectors.any(axis=1)
    sides = [side for side in (images & there, ~images & there) if side.any()]
    if not sides:
        return vectors
    means = [vectors[side].mean(axis=0, dtype=np.float64) for side in sides]
    whole = vectors[there].mean(axis=0, dtype=np.float64)
    # Of unit vectors around their kind's mean: E|x|² = 1 = |mean|² + variance.
    spread = sum(side.sum() * (1 - mean @ mean) for side, mean in zip(sides, means, strict=True))
    variance = spread / max(there.sum() - len(sides), 1)
    result = np.zeros_like(vectors)
    for side, mean in zip(sides, means, strict=True):
        apart = mean - whole
        square = float(apart @ apart)
        part = max(1 - variance / side.sum() / square, 0) if square else 0
        result[side] = vectors[side] - (whole + part * apart)
    normalize_rows(result, eps=NOWHERE)
    return result
