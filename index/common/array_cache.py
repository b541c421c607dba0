"""Vectors that a model makes of texts that never change, kept from the first time on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.common.atomic_files import replace_atomically
from nmm.index.errors import OutputError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def load_or_compute(
    file: Path, shape: tuple[int, int], make: Callable[[], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The unit vectors in a file, of a shape; made and written there, if it does not hold them.

    Args:
        file: Its name tells what they are of; a folder of it that is not there is made.
        shape: Texts and dimension.
        make: Makes them.
    """
    import numpy as np

    with suppress(OSError, ValueError, EOFError):  # not there, or damaged
        kept = np.load(file, allow_pickle=False)
        lengths = np.linalg.norm(kept, axis=-1)
        if (kept.shape, kept.dtype) == (shape, np.float32) and np.allclose(lengths, 1, atol=1e-3):
            vectors: NDArray[np.float32] = kept
            return vectors
    vectors = make()
    # A place that may not be written to costs time alone.
    with suppress(OSError, OutputError, UsageError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replace_atomically(file) as part, part.open("wb") as out:
            np.save(out, vectors, allow_pickle=False)
    return vectors
