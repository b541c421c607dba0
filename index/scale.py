"""One list of images and texts that is fair to both.

The cosines of a model's two kinds are not on one scale: of two texts they lie far above
those of a text and an image, relevant or not (the modality gap; Liang et al., 2022, "Mind
the Gap"). Sorted by cosine, a text about nothing in particular stands before the right
picture. So each kind is measured against queries that have nothing to do with the
collection: their cosines with its items have a mean and a standard deviation, and

    score = (cosine - mean) / deviation

says by how many standard deviations an item fits the query better than an item of its
kind fits any query. Within a kind the order stays that of the cosine. It is the
normalisation that QB-Norm (Bogolin et al., 2022) does by item, done by kind: the order of
images among themselves is the model's business, and one vector is enough to measure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.index.store.catalog import Catalog, Kind, Scale

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What people search for, spread over subjects, and short as queries are. Some of them will
# fit some items of a collection: 64 of them and a robust mean of many items do not mind.
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

# Vectors that a scale is measured on, at most; more change its third digit.
SAMPLE = 4096
# Of unit vectors in some hundred dimensions, where every one fits every query the same.
LEAST_DEVIATION = 1e-3


def measure(catalog: Catalog, kind: Kind, neutral: NDArray[np.float32]) -> Scale | None:
    """The scale of a kind's cosines with neutral queries; None if there are no vectors.

    `neutral` holds the query vectors, shape (queries, dimension).
    """
    import numpy as np

    every = catalog.vector_count(kind) // SAMPLE + 1
    cosines = [vectors @ neutral.T for _, vectors in catalog.vectors(kind, every=every)]
    if not cosines:
        return None
    everything = np.concatenate(cosines)
    return Scale(float(everything.mean()), max(float(everything.std()), LEAST_DEVIATION))
