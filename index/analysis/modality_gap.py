"""Removes the modality gap: the distance between the means of image and text vectors.

A model trained on image-text pairs puts images around one mean and texts around another. The means
are further apart than two subjects are (Liang et al., 2022, "Mind the Gap"), so clustering or
projecting such vectors would separate the kinds instead of the subjects. Each kind is therefore
centred on its own mean.

The mean is subtracted even if there is only one kind: a mean that all vectors share hides their
differences in the same way (Mu and Viswanath, 2018, "All-but-the-Top").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nmm.index.common.linalg import normalize_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.catalog.types import Kind

# A centred vector shorter than this has no direction: it is the rounding error of 16-bit floats.
MIN_LENGTH = 1e-3


def remove_modality_gap(vectors: NDArray[np.float32], kinds: Sequence[Kind]) -> NDArray[np.float32]:
    """Subtract the mean of its kind from each vector and normalise, shape (n, dimension).

    A vector that was zero, or that equals its mean, becomes zero. What the files of one kind have
    in common is lost: if all images show one subject and all texts another, the two will overlap.

    The mean of a few vectors says little about their kind. It is therefore shrunk towards the mean
    of all vectors by the share of its squared distance that chance would give (James and Stein,
    1961). A single text among images keeps most of its difference from them, unless the gap is much
    larger than that.

    Args:
        vectors: Normalised or zero, shape (n, dimension).
        kinds: The kind of each vector.
    """
    import numpy as np

    images = np.fromiter((kind == "image" for kind in kinds), np.bool_, len(vectors))
    nonzero = vectors.any(axis=1)
    sides = [side for side in (images & nonzero, ~images & nonzero) if side.any()]
    if not sides:
        return vectors
    means = [vectors[side].mean(axis=0, dtype=np.float64) for side in sides]
    overall = vectors[nonzero].mean(axis=0, dtype=np.float64)
    # For normalised vectors of one kind: E|x|² = 1 = |mean|² + variance.
    spread = sum(side.sum() * (1 - mean @ mean) for side, mean in zip(sides, means, strict=True))
    variance = spread / max(nonzero.sum() - len(sides), 1)
    result = np.zeros_like(vectors)
    for side, mean in zip(sides, means, strict=True):
        offset = mean - overall
        squared = float(offset @ offset)
        weight = max(1 - variance / side.sum() / squared, 0) if squared else 0
        result[side] = vectors[side] - (overall + weight * offset)
    normalize_rows(result, eps=MIN_LENGTH)
    return result
