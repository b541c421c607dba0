"""Query-specific relevance cut-off: which results are weak.

A score says how rarely an unrelated query matches an item so well (:mod:`nmm.index.calibration`).
Its scale is the same for all queries. But some queries match everything a little: those about the
subject of the whole collection, and those of common words. The query's background is the median of
its scores with a sample of all items, and

    a result is weak if score < background + margin

A weak result exceeds the background by no more than the best of as many unrelated items would. The
margin is 1 for up to 150 vectors; one in a thousand unrelated pairs reaches it. For more vectors it
grows like the maximum of normal variables, so that one in seven unrelated queries finds an item
that high: it is 1.3 for 5,000 and 1.7 for a million. The median of a few items is unreliable and
may come from relevant items, so the median of n items is multiplied by n / (n + 10). The background
is at least 0, so a score below 1 is weak for every query.

These alternatives were tried on emoji with keywords, the sample data and the documentation of
numpy, each with one threshold for all: raw cosines and scores; the query's own robust deviations
(median and MAD) instead of the score's spread, and their means with the score; higher quantiles
than the median; subtracting the items' scores with neutral queries (as QB-Norm, Bogolin et al.,
2022, and CSLS, Conneau et al., 2018, do in effect). A MAD does not help, because it is large for a
query that matches many items well. An additional cut at the largest gap, or at a fraction of the
best score, adds a hundredth to the figure and drops relevant results from long lists.
`bench/relevance.py` prints precision and recall beside the best flat thresholds.

A query with an image has cosines of another magnitude. Its neutral queries have the same form: each
text is replaced by a neutral query and each image by an image of the index, with the same weights.
So a score keeps its meaning: how rarely a query of this form about something else matches so well.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from nmm.index import calibration
from nmm.index.common.linalg import normalize_rows
from nmm.index.store.catalog.comparison_data import sample
from nmm.index.store.catalog.read_cache import CatalogStateCache
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS, Calibration, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.search.query import Query, Term

    Floats = NDArray[np.float32]

# Number of vectors of a kind for the background. With more, the median differs in the third digit.
CALIBRATION_SAMPLE = 1024
# Expected number of items that exceed the margin by chance for an unrelated query.
CHANCE_MATCHES = 0.15
# Number of items for which the median is halved.
PRIOR_ITEMS = 10
# Maximum and minimum number of neutral queries with an image. Fewer would be meaningless.
MAX_NEUTRAL, MIN_NEUTRAL = 64, 8
# Near-duplicates and series are related pairs, and too many for the quantile of one in a thousand.
# So the quantile of one in a hundred is used, times the ratio of both in a normal distribution.
RARE_QUANTILE, QUANTILE_RATIO = 0.01, 3.090 / 2.326
# Maximum spread, as a fraction of the distance from the median to a cosine of 1: with few images
# or many series, an identical image must not seem common.
MAX_SPREAD = 0.75
# Cosine above which an item is practically identical to the query, and never weak.
EQUAL_COSINE = 0.97


class QueryCalibration(NamedTuple):
    """How a query's cosines with items of one kind become scores, and which scores are weak.

    Attributes:
        scale: Converts cosines to scores.
        background: The median score of the query with all items, shrunk for a small sample; at
            least 0.
        margin: By how much a score has to exceed the background not to be weak.
    """

    scale: Calibration
    background: float
    margin: float

    def score(self, cosine: float) -> float:
        """Return the score of a cosine."""
        return (cosine - self.scale.median) / self.scale.spread

    def is_weak(self, score: float) -> bool:
        """Return whether a score is indistinguishable from the query's background level."""
        return score < min(self.background + self.margin, self.score(EQUAL_COSINE))


def chance_margin(count: int) -> float:
    """Return the score that hardly any of `count` unrelated items reaches; at least 1.

    Scores are assumed to be normal. The quantile of a small probability p is about the square root
    of 2 x - log(4 pi x), with x = -log p (Cramér, 1946, section 28.6).
    """

    def quantile(x: float) -> float:
        return math.sqrt(2 * x - math.log(4 * math.pi * x))

    least = -math.log(calibration.RARE)
    return quantile(max(math.log(max(count, 1) / CHANCE_MATCHES), least)) / quantile(least)


class Relevance:
    """Calibrates queries with a sample of the index. The first query reads the sample.

    Args:
        catalog: The index's.
        states: The last state of the catalog that was read.
        calibration_of: Returns the calibration of a kind's cosines with texts; None without
            vectors.
        neutral_texts: Returns the vectors of the neutral queries, shape (queries, dimension).
    """

    def __init__(
        self,
        catalog: Catalog,
        states: CatalogStateCache,
        calibration_of: Callable[[Kind], Calibration | None],
        neutral_texts: Callable[[], Floats],
    ) -> None:
        self._catalog = catalog
        self._states = states
        self._calibration_of = calibration_of
        self._neutral_texts = neutral_texts
        self._generation: int | None = None
        self._samples: dict[Kind, Floats] = {}

    def forget(self) -> None:
        """Drop the samples, because the index was rebuilt with another model."""
        self._generation = None

    def calibrate(
        self, kind: Kind, query: Query, vector: Floats, *, mark_weak: bool = True
    ) -> QueryCalibration | None:
        """Return the calibration of a query for the items of a kind; None if there are none.

        Args:
            kind: The kind of the items.
            query: The query.
            vector: The query's, shape (dimension,).
            mark_weak: Whether to determine which results are weak, which reads a sample.
        """
        import numpy as np

        stored = self._calibration_of(kind)
        of_texts = all(term.text for term in query.terms)
        if stored and of_texts and not mark_weak:
            return QueryCalibration(stored, -math.inf, 0)
        items = self._sample(kind)
        if stored is None or not len(items):
            return None
        if not of_texts:
            stored = self._calibrate_like(query, vector, kind) or stored
        count = len(items)
        # np.median imports numpy.ma, which takes longer than all of this.
        lower, upper = (count - 1) // 2, count // 2
        cosines = np.partition(items @ vector, (lower, upper))
        middle = float(cosines[lower] + cosines[upper]) / 2
        median = (middle - stored.median) / stored.spread
        measured = self._states.last.bases[kind]
        background = max(median, 0) * count / (count + PRIOR_ITEMS)
        return QueryCalibration(
            stored, background, chance_margin(max(count, measured[1] if measured else 0))
        )

    def _sample(self, kind: Kind) -> Floats:
        """Return a sample of a kind's vectors, shape (n, dimension), until the index changes."""
        generation = self._states.last.generation
        if generation != self._generation:
            self._samples.clear()
            self._generation = generation
        if kind not in self._samples:
            self._samples[kind] = sample(self._catalog, kind, CALIBRATION_SAMPLE)
        return self._samples[kind]

    def _calibrate_like(self, query: Query, vector: Floats, kind: Kind) -> Calibration | None:
        """Return the calibration for queries like this one; None if the index has too few items."""
        import numpy as np

        items = self._sample(kind)
        neutral = np.zeros((MAX_NEUTRAL, len(vector)), np.float32)
        # Pairs of an item and a neutral query that contains it.
        own = np.zeros((MAX_NEUTRAL, len(items)), np.bool_)
        # Weights are relative to the greatest, so that no sum overflows.
        greatest = max(abs(term.weight) for term in query.terms) or 1
        for place, term in enumerate(query.terms):
            source = self._kind_of(term, vector)
            pool = self._neutral_texts() if source is None else self._sample(source)
            if len(pool) < MIN_NEUTRAL:
                return None
            # Evenly from the pool, and not the same ones for two terms.
            chosen = (np.arange(MAX_NEUTRAL) * len(pool) // MAX_NEUTRAL + 7 * place) % len(pool)
            neutral += np.float32(term.weight / greatest) * pool[chosen]
            if source == kind:
                own[np.arange(MAX_NEUTRAL), chosen] = True
        normalize_rows(neutral)
        cosines = (neutral @ items.T)[~own]
        if not len(cosines):
            return None
        centre, rare = np.quantile(cosines, (0.5, 1 - RARE_QUANTILE)).tolist()
        spread = min((rare - centre) * QUANTILE_RATIO, (1 - centre) * MAX_SPREAD)
        return Calibration(centre, max(spread, calibration.MIN_SPREAD))

    def _kind_of(self, term: Term, vector: Floats) -> Kind | None:
        """Return the kind of a term; None for a text. A file's kind is inferred from its vector."""
        if term.text:
            return None
        if term.image is not None:
            return "image"
        near = {
            kind: float(items.mean(axis=0) @ vector)
            for kind in KINDS
            if len(items := self._sample(kind))
        }
        return max(near, key=near.__getitem__)
