"""Projects vectors to two dimensions so that neighbours stay neighbours."""

from __future__ import annotations

import importlib.util
import logging
from typing import TYPE_CHECKING

from nmm.index.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# PaCMAP samples near, mid-near and further pairs; fewer points have no such pairs.
MIN_PACMAP_POINTS = 16
# The default of PaCMAP's paper. More neighbours preserve less of each neighbourhood.
NEIGHBOURS = 10


def check_installed() -> None:
    """Check that PaCMAP is installed, without the time it takes to import.

    Raises:
        ModelError: PaCMAP is not installed.
    """
    if importlib.util.find_spec("pacmap") is None:
        raise _not_available("PaCMAP is not installed.")


def project(vectors: NDArray[np.float32], *, seed: int = 0) -> NDArray[np.float32]:
    """Project vectors to points so that points of near vectors are near.

    PaCMAP (Wang, Huang, Rudin and Shaposhnik, 2021, "Understanding How Dimension Reduction Tools
    Work") was faster here than UMAP and preserved about as many neighbours; ``bench/map.py``
    measures both. Few vectors are projected to their principal components.

    Args:
        vectors: Of any length, shape (n, dimension).
        seed: Equal seeds give equal points on the same machine.

    Returns:
        Points centred on 0, with a largest coordinate of ±1, shape (n, 2).

    Raises:
        ModelError: PaCMAP is not installed, or cannot be loaded.
    """
    import numpy as np

    if len(vectors) < MIN_PACMAP_POINTS or not np.ptp(vectors, axis=0).any():
        points = project_pca(vectors)
    else:
        points = _run_pacmap(vectors, seed)
    return scale_to_unit(points)


def _run_pacmap(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    import numpy as np

    # It logs every seed and every small sample as a warning.
    logging.getLogger("pacmap").setLevel(logging.ERROR)
    try:
        from pacmap import PaCMAP
    except ImportError as error:
        raise _not_available(f"PaCMAP cannot be imported: {error}") from error
    projection = PaCMAP(n_components=2, n_neighbors=NEIGHBOURS, random_state=seed)
    return np.asarray(projection.fit_transform(vectors, init="pca"), np.float32)


def project_pca(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the first two principal components, padded with zeros, shape (n, 2)."""
    import numpy as np

    points = np.zeros((len(vectors), 2), np.float32)
    if len(vectors) > 1:
        centred = vectors - vectors.mean(axis=0)
        left, values, _ = np.linalg.svd(centred, full_matrices=False)
        found = (left * values)[:, :2]
        # The sign of a component is arbitrary. Make its largest coordinate positive.
        signs = np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
        points[:, : found.shape[1]] = found * np.where(signs, signs, 1)
    return points


def scale_to_unit(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centre the points in their bounding box and scale the largest coordinate to ±1."""
    import numpy as np

    if not len(points):
        return points
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    centred = points - middle
    extent = float(np.abs(centred).max())
    return np.asarray(centred / (extent or 1), np.float32)


def _not_available(why: str) -> ModelError:
    return ModelError("A map cannot be drawn.", code="projection-missing", why=why)
