"""Arrays of vectors: normalise rows, draw samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def normalize_rows(vectors: NDArray[np.float32], *, eps: float = 0) -> None:
    """Give vectors the length 1, in place; one that points eps becomes zero.

    Args:
        vectors: Shape (n, dimension).
        eps: What is no longer than this is nothing but roundings.
    """
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(lengths > eps, lengths, np.inf)


def sample_indices(count: int, size: int, seed: int = 0) -> NDArray[np.int64]:
    """Places from 0 to `count`, in order: `size` of them by chance, none twice; all if no more."""
    import numpy as np

    if count <= size:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size, replace=False))
