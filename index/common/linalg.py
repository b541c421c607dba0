"""Normalise the rows of arrays, and draw samples of row numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def normalize_rows(vectors: NDArray[np.float32], *, eps: float = 0) -> None:
    """Scale vectors to length 1, in place.

    Args:
        vectors: Shape (n, dimension).
        eps: A vector of this length or less is rounding noise, and becomes zero.
    """
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(lengths > eps, lengths, np.inf)


def sample_indices(count: int, size: int, seed: int = 0) -> NDArray[np.int64]:
    """Return `size` distinct random indices below `count`, sorted; all if `count` is no larger."""
    import numpy as np

    if count <= size:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size, replace=False))
