"""How far a result stands out of what a query fits anyway, and which results are weak.

A score says how rarely queries about nothing in a collection fit an item so well
(:mod:`nmm.index.calibration`). It does not know the query. Some fit everything a little: those of a
collection's own subject, and those of common words. So the median of the scores that the query
has with a sample of all items is its level, and

    a result is weak if score < level + height

that is, if it does not stand out of what this query fits anyway by more than the best of so many
unrelated items would. The height is 1, what one in a thousand unrelated pairs reaches, for up to
150 vectors; for more it grows as the greatest of normal numbers does, so that of seven unrelated
queries one finds an item that high: it is 1.3 for 5,000, and 1.7 for a million. Of a handful of
items the median says little, and may be the right ones': it counts for n / (n + 10) of n items.
It is never taken for less than 0, so that what scores less than 1 is weak whatever the query.

What was tried beside it, on emoji with keywords, the sample data and the documentation of numpy,
each with one threshold for all of them: cosines and scores as they are; the query's own robust
deviations (median and MAD) instead of a score's unit, and their means with the score; higher
quantiles than the median; what items score with neutral queries taken off (which is what QB-Norm,
Bogolin et al., 2022, and CSLS, Conneau et al., 2018, come down to). A MAD is no help, for a query
that fits many items well has a great one. To cut at the largest gap, too, or at a part of the best
score, adds a hundredth to the figure, and drops right ones of long lists for it.
`bench/relevance.py` prints precision and recall beside the best flat thresholds.

A query with an image in it has cosines of another level. Its neutral queries are made in its own
manner: each text in it is replaced by one of the neutral queries, each image by one of the
index's, with the weights of the query. So a score means the same: how rarely something like
this query, about something else, fits so well.
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
# Items, of as many as there are, that stand out by chance for an unrelated query.
CHANCE_MATCHES = 0.15
# Items of which the median counts for a half.
PRIOR_ITEMS = 10
# Neutral queries with an image that are made of an index, at most, and at least: made of fewer
# images, they would say nothing.
MAX_NEUTRAL, MIN_NEUTRAL = 64, 8
# Copies and series are pairs that belong together, and too many for a quantile of one in a
# thousand: that of one in a hundred is taken, as many times as it is nearer in a normal one.
RARE_QUANTILE, QUANTILE_RATIO = 0.01, 3.090 / 2.326
# The greatest unit, as a part of what is left from the centre to a cosine of 1: few pictures, or
# many series, must not make an equal one seem common.
MAX_UNIT = 0.75
# The cosine of what is as good as the query itself, and so never weak.
EQUAL_COSINE = 0.97


class QueryCalibration(NamedTuple):
    """What a query's cosines with items of one kind say.

    Attributes:
        scale: From cosines to scores.
        level: The score that the query has with half of the items, as far as it can be known;
            0 if it is less.
        height: What one that stands out has above it.
    """

    scale: Calibration
    background: float
    margin: float

    def score(self, cosine: float) -> float:
        """The score of a cosine."""
        return (cosine - self.scale.median) / self.scale.spread

    def is_weak(self, score: float) -> bool:
        """Whether nothing tells a result of that score from what the query fits anyway."""
        return score < min(self.background + self.margin, self.score(EQUAL_COSINE))


def chance_margin(count: int) -> float:
    """The score that as good as no item of `count` unrelated ones reaches, 1 at least.

    For a normal distribution, whose quantile of a small part p is about the root of
    2 x - log(4 pi x), with x = -log p (Cramér, 1946, section 28.6).
    """

    def quantile(x: float) -> float:
        return math.sqrt(2 * x - math.log(4 * math.pi * x))

    least = -math.log(calibration.RARE)
    return quantile(max(math.log(max(count, 1) / CHANCE_MATCHES), least)) / quantile(least)


class Relevance:
    """What queries are held against, read of an index when the first one comes.

    Args:
        catalog: Of the index.
        states: Of the catalog.
        scale_of: The scale of a kind's cosines with texts; None if there are no vectors.
        neutral_texts: The vectors of the neutral queries, shape (queries, dimension).
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
        """Read the samples anew: the index was made again with another model."""
        self._generation = None

    def calibrate(
        self, kind: Kind, query: Query, vector: Floats, *, mark_weak: bool = True
    ) -> QueryCalibration | None:
        """How a query stands to the items of a kind; None if there are none.

        Args:
            kind: Of the items.
            query: What is looked for.
            vector: Of the query, shape (dimension,).
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
        """Vectors of a kind, shape (n, dimension), the same as long as the index is."""
        generation = self._states.last.generation
        if generation != self._generation:
            self._samples.clear()
            self._generation = generation
        if kind not in self._samples:
            self._samples[kind] = sample(self._catalog, kind, CALIBRATION_SAMPLE)
        return self._samples[kind]

    def _scale_like(self, query: Query, vector: Floats, kind: Kind) -> Calibration | None:
        """The scale of cosines with queries like one; None if the index cannot tell."""
        import numpy as np

        items = self._sample(kind)
        neutral = np.zeros((MAX_NEUTRAL, len(vector)), np.float32)
        # Pairs of an item, and a neutral query that it was taken for.
        own = np.zeros((MAX_NEUTRAL, len(items)), np.bool_)
        # Beside the greatest, so that none is too large.
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
        """What a term is; None if it is in words. Of a file, what its vector lies nearer to."""
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
