"""Score calibration, so that images and texts can be ranked in one list.

The cosines of a model's two kinds have different scales: two texts can have far greater cosines
than a text and an image, relevant or not (the modality gap; Liang et al., 2022, "Mind the Gap").
Sorted by cosine, an unrelated text then ranks before the right image. So each kind is measured
against queries that are unrelated to the collection, and

    score = (cosine - median) / spread

where the median is that of their cosines with the items of the kind, and the spread is the
distance from the median to the cosine that one in a thousand of these pairs exceeds. A score of 1
means that unrelated queries match an item of this kind so well once in a thousand times. The score
does not depend on the shift and scale of a kind's cosines, and within a kind the order stays that
of the cosine. QB-Norm (Bogolin et al., 2022) does the same per item; here it is done per kind, so
the model alone orders the images among themselves.

The standard deviation is not used: a collection of texts on one subject has a small one and long
tails, so any text that shares a word with the query would rank before any image.
`bench/mini.py` prints how each choice ranks the right item in a mixed list.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

from nmm.index.common.array_cache import load_or_compute
from nmm.index.encoders.base import Encoder, Task
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import Calibration, Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Typical short queries on many subjects. Some will match items of a collection, which hardly
# changes a median.
NEUTRAL_QUERIES = (
    "a birthday cake with candles",
    "a bridge over a river",
    "a broken window",
    "a bus stop in the rain",
    "a child on a swing",
    "a crowded market",
    "a dog running on the beach",
    "a door painted green",
    "a field of sunflowers",
    "a glass of wine",
    "a guitar on a chair",
    "a handwritten letter",
    "a kitchen sink",
    "a man in a suit",
    "a map of the city",
    "a mountain lake",
    "a parking ticket",
    "a pile of books",
    "a plane in the sky",
    "a pair of shoes",
    "a red car",
    "a sailing boat",
    "a screenshot of a chat",
    "a snowy street at night",
    "a swimming pool",
    "a table set for dinner",
    "a train station",
    "a tree in autumn",
    "a wedding",
    "a woman with glasses",
    "an empty office",
    "an old church",
    "bank account number",
    "birds on a wire",
    "budget for next year",
    "christmas presents",
    "computer keyboard",
    "concert tickets",
    "doctor's appointment",
    "error message",
    "exercise plan",
    "family tree",
    "fireworks",
    "flight booking",
    "football match",
    "fresh vegetables",
    "how to change a light bulb",
    "how to apologise",
    "insurance policy",
    "job application",
    "learning a language",
    "list of names",
    "meeting at three o'clock",
    "opening hours",
    "phone number of the plumber",
    "quarterly report",
    "science homework",
    "the price of gold",
    "things to buy",
    "train timetable",
    "translation of a song",
    "weather forecast",
    "what is the meaning of life",
    "wifi password",
)

# A calibration is measured on at most this many vectors; more change only its third digit.
CALIBRATION_SAMPLE = 4096
# With more vectors, this part of them must be added or removed before it is measured again.
DRIFT = 0.1
# One neutral pair in a thousand scores 1 or more.
RARE = 0.001
# The spread for vectors that have the same cosine with every query.
MIN_SPREAD = 1e-3


def measure(catalog: Catalog, kind: Kind, neutral: NDArray[np.float32]) -> Calibration | None:
    """Return the calibration of a kind from neutral queries; None if there are no vectors.

    `neutral` holds the query vectors, shape (queries, dimension).
    """
    import numpy as np

    every = catalog.vector_count(kind) // CALIBRATION_SAMPLE + 1
    cosines = [vectors @ neutral.T for _, vectors in catalog.vectors(kind, every=every)]
    if not cosines:
        return None
    return fit(np.concatenate(cosines))


def fit(cosines: NDArray[np.float32]) -> Calibration:
    """Return the calibration of a kind, from the cosines of its items with neutral queries."""
    import numpy as np

    median, rare = np.quantile(cosines, (0.5, 1 - RARE))
    return Calibration(float(median), max(float(rare - median), MIN_SPREAD))


def neutral_vectors(encoder: Encoder) -> NDArray[np.float32]:
    """Return the vectors of the neutral queries, shape (queries, dimension), cached with the model.

    They are the same for every index of a model. So they are embedded once, and a run that finds
    only images never loads the text tower.
    """
    model = encoder.model
    # Everything that the vectors depend on; the folder implies the precision.
    prompts = "\n".join(model.prompt(text, Task.QUERY) for text in NEUTRAL_QUERIES)
    made_of = f"{encoder.weights}\n{model.dimension}\n{prompts}"
    name = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    return load_or_compute(
        encoder.folder / f"neutral-{name}.npy",
        (len(NEUTRAL_QUERIES), model.dimension),
        partial(encoder.embed_texts, NEUTRAL_QUERIES, Task.QUERY),
    )
