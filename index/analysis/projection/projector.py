"""Vectors laid out in a plane, so that those that are near stay near."""

from __future__ import annotations

import importlib.util
import logging
from typing import TYPE_CHECKING

from nmm.index.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# PaCMAP draws pairs from the nearest, the farther and the others; of fewer points there are none.
LEAST = 16
# Of PaCMAP, as its paper has it: more keep less of each neighbourhood.
NEIGHBOURS = 10


def check_installed() -> None:
    """See that there is what projects, without the time that it takes to load.

    Raises:
        ModelError: There is not.
    """
    if importlib.util.find_spec("pacmap") is None:
        raise _missing("PaCMAP is not installed.")


def project(vectors: NDArray[np.float32], *, seed: int = 0) -> NDArray[np.float32]:
    """A point for each vector, with those near to each other that have near vectors.

    By PaCMAP (Wang, Huang, Rudin and Shaposhnik, 2021, "Understanding How Dimension Reduction
    Tools Work"), which was faster here than UMAP and kept about as many neighbours;
    ``bench/map.py`` measures both. Few vectors are laid out by their principal components.

    Args:
        vectors: Of any length, shape (n, dimension).
        seed: The same one makes the same points, on one machine.

    Returns:
        Shape (n, 2), around 0, the farthest coordinate ±1.

    Raises:
        ModelError: PaCMAP is not installed, or cannot be loaded.
    """
    import numpy as np

    if len(vectors) < LEAST or not np.ptp(vectors, axis=0).any():
        points = principal(vectors)
    else:
        points = _pacmap(vectors, seed)
    return scaled(points)


def _pacmap(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    import numpy as np

    # It writes down every seed and every small sample as a warning.
    logging.getLogger("pacmap").setLevel(logging.ERROR)
    try:
        from pacmap import PaCMAP
    except ImportError as error:
        raise _missing(f"PaCMAP cannot be imported: {error}") from error
    projection = PaCMAP(n_components=2, n_neighbors=NEIGHBOURS, random_state=seed)
    return np.asarray(projection.fit_transform(vectors, init="pca"), np.float32)


def principal(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first two principal components, shape (n, 2); zeros where there are fewer."""
    import numpy as np

    points = np.zeros((len(vectors), 2), np.float32)
    if len(vectors) > 1:
        centred = vectors - vectors.mean(axis=0)
        left, values, _ = np.linalg.svd(centred, full_matrices=False)
        found = (left * values)[:, :2]
        # A component may point either way: its largest coordinate is positive.
        signs = np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
        points[:, : found.shape[1]] = found * np.where(signs, signs, 1)
    return points


def scaled(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The points around the middle of their extent, the farthest coordinate ±1."""
    import numpy as np

    if not len(points):
        return points
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    centred = points - middle
    extent = float(np.abs(centred).max())
    return np.asarray(centred / (extent or 1), np.float32)


def _missing(why: str) -> ModelError:
    return ModelError("A map cannot be drawn.", code="projection-missing", why=why)
