"""How sure a figure is that was measured on a sample: intervals by the bootstrap.

What was measured is drawn again, with replacement, and the figure computed of each such sample;
of what comes out, BCa intervals (bias-corrected and accelerated: Efron, 1987, "Better Bootstrap
Confidence Intervals"; Efron and Tibshirani, 1993, chapter 14) take the percentiles that hold for
skewed figures, too, such as a recall near 1. The acceleration is computed of the empirical
influence of each observation, and not by leaving it out, which would take as many computations.

Two systems measured on the same observations are compared by drawing these, and computing the
difference of the figures in each sample (a paired bootstrap): the intervals of both may overlap
widely where one is better nearly everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How samples are drawn.

    Attributes:
        resamples: How many.
        confidence: The part of intervals that hold the true figure, if all goes well.
        seed: Equal seeds, equal samples.
    """

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure.

    Attributes:
        value: Of all observations.
        low, high: Its interval; None where the bootstrap says nothing, for all samples are
            alike: of a single observation, or where all are right.
    """

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Statistics:
    """Figures of some observations, ready to be computed of samples of them.

    Attributes:
        count: Observations.
        compute: The figures, shape (figures,), of a sample: how often each observation is in
            it, shape (count,).
        influence: How much each observation adds to each figure, shape (count, figures); any
            multiple of it will do.
    """

    count: int
    compute: Callable[[Floats], Floats]
    influence: Floats

    def __sub__(self, other: Statistics) -> Statistics:
        """The differences of the figures, of the same observations."""
        return Statistics(
            self.count,
            lambda counts: self.compute(counts) - other.compute(counts),
            self.influence - other.influence,
        )


def of_means(values: Floats) -> Statistics:
    """The means of columns of values, shape (observations, figures)."""
    count = len(values)
    return Statistics(count, lambda counts: counts @ values / count, values - values.mean(axis=0))


def measure(statistics: Statistics, sampling: Sampling) -> list[Measured]:
    """Each figure, with its interval."""
    import numpy as np

    count = statistics.count
    observed = statistics.compute(np.ones(count))
    drawn = np.empty((sampling.resamples, len(observed)))
    random = np.random.default_rng(sampling.seed)
    for row in drawn:
        counts = np.bincount(random.integers(count, size=count), minlength=count)
        row[:] = statistics.compute(counts.astype(np.float64))
    return [
        Measured(float(value), *_interval(float(value), column, influence, sampling.confidence))
        for value, column, influence in zip(observed, drawn.T, statistics.influence.T, strict=True)
    ]


def _interval(
    value: float, drawn: Floats, influence: Floats, confidence: float
) -> tuple[float, float] | tuple[None, None]:
    """The BCa interval of a figure, of what samples gave, shape (resamples,)."""
    from statistics import NormalDist

    import numpy as np

    # A sample in which a correlation is undefined, for all its pairs are the same one.
    drawn = drawn[np.isfinite(drawn)]
    spread = np.ptp(drawn) if len(drawn) else 0.0
    if spread <= 1e-12 * max(1.0, abs(value)):
        return None, None
    # Equal ones count half, for figures of few observations take few values.
    below = ((drawn < value).sum() + (drawn == value).sum() / 2) / len(drawn)
    least = 1 / (2 * len(drawn))
    normal = NormalDist()
    bias = normal.inv_cdf(float(np.clip(below, least, 1 - least)))
    squares = float((influence**2).sum())
    acceleration = float((influence**3).sum()) / (6 * squares**1.5) if squares else 0.0

    def level(quantile: float) -> float:
        shifted = bias + quantile
        return normal.cdf(bias + shifted / (1 - acceleration * shifted))

    outer = normal.inv_cdf((1 + confidence) / 2)
    low, high = np.quantile(drawn, [level(-outer), level(outer)])
    assert math.isfinite(low)
    return float(low), float(high)
