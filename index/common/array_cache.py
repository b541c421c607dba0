"""Cache vectors of texts that never change, in a file."""

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
    file: Path, shape: tuple[int, int], compute: Callable[[], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return the unit vectors stored in a file, or compute and store them.

    They are computed anew if the file is missing, damaged or of another shape. If it cannot be
    written, the vectors are returned all the same.

    Args:
        file: The file. Its name must identify the texts and the model. Missing folders are made.
        shape: The number of texts, and the dimension.
        compute: Returns the vectors.
    """
    import numpy as np

    with suppress(OSError, ValueError, EOFError):  # missing or damaged
        stored = np.load(file, allow_pickle=False)
        fits = (stored.shape, stored.dtype) == (shape, np.float32)
        if fits and np.allclose(np.linalg.norm(stored, axis=-1), 1, atol=1e-3):
            vectors: NDArray[np.float32] = stored
            return vectors
    vectors = compute()
    # Without a file, the next call only takes longer.
    with suppress(OSError, OutputError, UsageError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replace_atomically(file) as part, part.open("wb") as out:
            np.save(out, vectors, allow_pickle=False)
    return vectors
