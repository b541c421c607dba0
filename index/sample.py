"""A part of many, for what would take too long of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def sample_of(count: int, size: int, seed: int = 0) -> NDArray[np.int64]:
    """Places from 0 to `count`, in order: `size` of them by chance, none twice; all if no more."""
    import numpy as np

    if count <= size:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size, replace=False))
