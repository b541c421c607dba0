"""The vectors of the neutral queries that scales are measured with, kept beside their model.

They are the same for every index that a model makes. So they are embedded once, and a run
that finds nothing but images never opens the text tower.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING

from nmm.index.encoders.registry import Encoder, Task
from nmm.index.errors import OutputError, UsageError
from nmm.index.replace import replaced
from nmm.index.scale import NEUTRAL_QUERIES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def neutral_vectors(encoder: Encoder) -> NDArray[np.float32]:
    """The vectors of the neutral queries, shape (queries, dimension)."""
    import numpy as np

    model = encoder.model
    shape = len(NEUTRAL_QUERIES), model.dimension
    # What they are made of; the precision is that of the folder.
    prompts = "\n".join(model.prompt(text, Task.QUERY) for text in NEUTRAL_QUERIES)
    name = hashlib.sha256(f"{encoder.weights}\n{model.dimension}\n{prompts}".encode()).hexdigest()[
        :16
    ]
    file = encoder.folder / f"neutral-{name}.npy"
    with suppress(OSError, ValueError, EOFError):
        kept = np.load(file, allow_pickle=False)
        lengths = np.linalg.norm(kept, axis=-1)
        if (kept.shape, kept.dtype) == (shape, np.float32) and np.allclose(lengths, 1, atol=1e-3):
            vectors: NDArray[np.float32] = kept
            return vectors
    vectors = encoder.embed_texts(NEUTRAL_QUERIES, Task.QUERY)
    # A cache that may not be written to costs time alone.
    with suppress(OutputError, UsageError), replaced(file) as part, part.open("wb") as out:
        np.save(out, vectors, allow_pickle=False)
    return vectors
