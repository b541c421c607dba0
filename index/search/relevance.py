"""Query-specific relevance cut-off: which results are weak.

A score says how rarely an unrelated query fits an item so well (:mod:`nmm.index.calibration`). It
does not depend on the query. Some queries fit everything a little: those about the subject of the
whole collection, and those of common words. The query's background is the median of its scores
with a sample of all items, and

    a result is weak if score < background + margin

A weak result does not exceed the background by more than the best of as many unrelated items
would. The margin is 1, what one in a thousand unrelated pairs reaches, for up to 150 vectors. For
more it grows as the maximum of normal variables does, so that one in seven unrelated queries
finds an item that high: it is 1.3 for 5,000 and 1.7 for a million. The median of a few items says
little and may come from relevant ones, so of n items it counts for n / (n + 10). The background is
at least 0, so that a score below 1 is weak whatever the query.

Alternatives were tried on emoji with keywords, the sample data and the documentation of numpy,
each with one threshold for all: raw cosines and scores; the query's own robust deviations (median
and MAD) instead of the score's spread, and their means with the score; higher quantiles than the
median; subtracting the items' scores with neutral queries (which QB-Norm, Bogolin et al., 2022,
and CSLS, Conneau et al., 2018, come down to). A MAD does not help, because a query that fits many
items well has a large one. An additional cut at the largest gap, or at a fraction of the best
score, adds a hundredth to the figure and drops relevant results from long lists.
`bench/relevance.py` prints precision and recall beside the best flat thresholds.

A query with an image has cosines of another magnitude. Its neutral queries are made like it: each
text is replaced by a neutral query, each image by an image of the index, with the weights of the
query. So a score means the same: how rarely a similar query about something else fits so well.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from nmm.index import calibration
from nmm.index.common.linalg import normalize_rows
from nmm.index.store.catalog.comparison_data import sample
from nmm.index.store.catalog.read_cache import States
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS, Calibration, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.search.query import Query, Term

    Floats = NDArray[np.float32]

# Vectors of a kind that a query is held against; its median of more differs in the third digit.
CALIBRATION_SAMPLE = 1024
# Expected number of items that exceed the margin by chance for an unrelated query.
CHANCE_MATCHES = 0.15
# Number of items for which the median counts for a half.
PRIOR_ITEMS = 10
# Maximum and minimum number of neutral queries with an image. Fewer would say nothing.
MAX_NEUTRAL, MIN_NEUTRAL = 64, 8
# Copies and series are related pairs, and too many for the quantile of one in a thousand. The
# quantile of one in a hundred is used, times the ratio of both in a normal distribution.
RARE_QUANTILE, QUANTILE_RATIO = 0.01, 3.090 / 2.326
# Maximum spread, as a fraction of the distance from the median to a cosine of 1: with few images or
# many series, an identical one must not seem common.
MAX_UNIT = 0.75
# Cosine above which an item is practically identical to the query, and never weak.
EQUAL_COSINE = 0.97


class QueryCalibration(NamedTuple):
    """How a query's cosines with items of one kind become scores, and which scores are weak.

    Attributes:
        scale: Turns cosines into scores.
        background: The median score of the query with all items, shrunk for a small sample; at
            least 0.
        margin: How far a score has to exceed the background so that it is not weak.
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

    Scores are taken as normal. The quantile of a small probability p is about the square root of
    2 x - log(4 pi x), with x = -log p (Cramér, 1946, section 28.6).
    """

    def quantile(x: float) -> float:
        return math.sqrt(2 * x - math.log(4 * math.pi * x))

    least = -math.log(calibration.RARE)
    return quantile(max(math.log(max(count, 1) / CHANCE_MATCHES), least)) / quantile(least)


class Relevance:
    """Calibrates queries with a sample of the index, which is read for the first query.

    Args:
        catalog: The index's.
        states: What was last read of the catalog's state.
        scale_of: Returns the calibration of a kind's cosines with texts; None without vectors.
        neutral_texts: Returns the vectors of the neutral queries, shape (queries, dimension).
    """

    def __init__(
        self,
        catalog: Catalog,
        states: States,
        scale_of: Callable[[Kind], Calibration | None],
        neutral_texts: Callable[[], Floats],
    ) -> None:
        self._catalog = catalog
        self._states = states
        self._scale_of = scale_of
        self._neutral_texts = neutral_texts
        self._generation: int | None = None
        self._samples: dict[Kind, Floats] = {}

    def forget(self) -> None:
        """Drop the samples, for the index was rebuilt with another model."""
        self._generation = None

    def calibrate(
        self, kind: Kind, query: Query, vector: Floats, *, mark_weak: bool = True
    ) -> QueryCalibration | None:
        """Return the calibration of a query for the items of a kind; None if there are none.

        Args:
            kind: The kind of the items.
            query: What is searched for.
            vector: The query's, shape (dimension,).
            mark_weak: Whether it has to be known which results are weak. It takes a sample of
                the index.
        """
        import numpy as np

        kept = self._scale_of(kind)
        of_texts = all(term.text for term in query.terms)
        if kept and of_texts and not mark_weak:
            return QueryCalibration(kept, -math.inf, 0)
        items = self._sample(kind)
        if kept is None or not len(items):
            return None
        if not of_texts:
            kept = self._scale_like(query, vector, kind) or kept
        count = len(items)
        # np.median imports numpy.ma, which takes longer than all of this.
        lower, upper = (count - 1) // 2, count // 2
        cosines = np.partition(items @ vector, (lower, upper))
        middle = float(cosines[lower] + cosines[upper]) / 2
        median = (middle - kept.median) / kept.spread
        measured = self._states.last.measured[kind]
        background = max(median, 0) * count / (count + PRIOR_ITEMS)
        return QueryCalibration(
            kept, background, chance_margin(max(count, measured[1] if measured else 0))
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

    def _scale_like(self, query: Query, vector: Floats, kind: Kind) -> Calibration | None:
        """Return the calibration for queries like this one; None if the index has too few items."""
        import numpy as np

        items = self._sample(kind)
        neutral = np.zeros((MAX_NEUTRAL, len(vector)), np.float32)
        # Pairs of an item and a neutral query that contains it.
        own = np.zeros((MAX_NEUTRAL, len(items)), np.bool_)
        # Relative to the greatest weight, so that none is too large.
        greatest = max(abs(term.weight) for term in query.terms) or 1
        for place, term in enumerate(query.terms):
            source = self._kind_of(term, vector)
            pool = self._neutral_texts() if source is None else self._sample(source)
            if len(pool) < MIN_NEUTRAL:
                return None
            # Spread over the pool, and not the same for two terms.
            chosen = (np.arange(MAX_NEUTRAL) * len(pool) // MAX_NEUTRAL + 7 * place) % len(pool)
            neutral += np.float32(term.weight / greatest) * pool[chosen]
            if source == kind:
                own[np.arange(MAX_NEUTRAL), chosen] = True
        normalize_rows(neutral)
        cosines = (neutral @ items.T)[~own]
        if not len(cosines):
            return None
        centre, rare = np.quantile(cosines, (0.5, 1 - RARE_QUANTILE)).tolist()
        unit = min((rare - centre) * QUANTILE_RATIO, (1 - centre) * MAX_UNIT)
        return Calibration(centre, max(unit, calibration.MIN_SPREAD))

    def _kind_of(self, term: Term, vector: Floats) -> Kind | None:
        """Return the kind of a term, that of a file by its vector; None for a text."""
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
