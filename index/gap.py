"""The modality gap: images and texts lie in different parts of the space, and are brought together.

In a model trained with pairs, images lie around one mean and texts around another, apart by more
than what tells two subjects apart (Liang et al., 2022, "Mind the Gap", who close it, as here, by a
shift along the difference of the two means). What groups or draws such vectors would find the
kinds, and not what they are of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.catalog import Kind


def closed(vectors: NDArray[np.float32], kinds: Sequence[Kind]) -> NDArray[np.float32]:
    """The same vectors with each kind moved so that both have one mean; of unit length again.

    Of one kind alone, or of vectors between whose kinds no gap is seen, they stay as they are.
    What the kinds are of is moved, too: if all images are of one subject and all texts of
    another, they will lie together. A mean of few says little, and a difference of two such means
    is partly chance. So it is shrunk by the part of its square that chance would give (as James
    and Stein, 1961, do, to 0 at least): a single text among images is hardly moved.

    Args:
        vectors: Of unit length, or zero, shape (n, dimension).
        kinds: Of each.
    """
    import numpy as np

    images = np.fromiter((kind == "image" for kind in kinds), np.bool_, len(vectors))
    there = vectors.any(axis=1)
    sides = [images & there, ~images & there]
    counts = [int(side.sum()) for side in sides]
    if not all(counts):
        return vectors
    means = [vectors[side].mean(axis=0, dtype=np.float64) for side in sides]
    gap = means[0] - means[1]
    # The variance of a vector around its kind's mean, over both kinds: unit vectors have
    # E|x|² = 1 = |mean|² + variance.
    within = sum(n * (1 - m @ m) for n, m in zip(counts, means, strict=True))
    variance = within / max(sum(counts) - 2, 1)
    chance = variance * sum(1 / n for n in counts)
    square = float(gap @ gap)
    part = max(1 - chance / square, 0) if square > 0 else 0.0
    if not part:
        return vectors
    moved = vectors.copy()
    whole = sum(counts)
    # The common mean stays where it is, so that what is most of the vectors moves least.
    moved[sides[0]] -= (part * counts[1] / whole * gap).astype(np.float32)
    moved[sides[1]] += (part * counts[0] / whole * gap).astype(np.float32)
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    moved /= np.where(lengths, lengths, 1)
    return moved
