"""The vectors of the neutral queries that scales are measured with, kept beside their model.

They are the same for every index that a model makes. So they are embedded once, and a run
that finds nothing but images never opens the text tower.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

from nmm.index.common.array_cache import kept_vectors
from nmm.index.encoders.registry import Encoder, Task
from nmm.index.scale import NEUTRAL_QUERIES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def neutral_vectors(encoder: Encoder) -> NDArray[np.float32]:
    """The vectors of the neutral queries, shape (queries, dimension)."""
    model = encoder.model
    # What they are made of; the precision is that of the folder.
    prompts = "\n".join(model.prompt(text, Task.QUERY) for text in NEUTRAL_QUERIES)
    made_of = f"{encoder.weights}\n{model.dimension}\n{prompts}"
    name = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    return kept_vectors(
        encoder.folder / f"neutral-{name}.npy",
        (len(NEUTRAL_QUERIES), model.dimension),
        partial(encoder.embed_texts, NEUTRAL_QUERIES, Task.QUERY),
    )
