"""Vectors of unit length, whose inner products are cosines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def make_unit(vectors: NDArray[np.float32], *, nowhere: float = 0) -> None:
    """Give vectors the length 1, in place; one that points nowhere becomes zero.

    Args:
        vectors: Shape (n, dimension).
        nowhere: What is no longer than this is nothing but roundings.
    """
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(lengths > nowhere, lengths, np.inf)
