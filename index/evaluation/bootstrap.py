"""Confidence intervals by the bootstrap.

The observations are resampled with replacement, and the figure is computed for each resample. BCa
intervals (bias-corrected and accelerated: Efron, 1987, "Better Bootstrap Confidence Intervals";
Efron and Tibshirani, 1993, chapter 14) then take percentiles that also hold for skewed figures,
such as a recall near 1. The acceleration is computed from the empirical influence of each
observation instead of the jackknife, which would take as many computations.

Two systems measured on the same observations are compared by a paired bootstrap: the difference of
the figures is computed for each resample. The intervals of both may overlap widely although one
system is better nearly everywhere.
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
    """Settings of the bootstrap.

    Attributes:
        resamples: The number of resamples.
        confidence: The nominal coverage of the intervals.
        seed: Equal seeds give equal resamples.
    """

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its confidence interval.

    Attributes:
        value: The figure of all observations.
        low, high: The interval; None if all resamples are alike, as for a single observation or if
            every observation is correct.
    """

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Statistics:
    """Figures that can be computed for resamples of the observations.

    Attributes:
        count: The number of observations.
        compute: Maps the multiplicity of each observation, shape (count,), to the figures, shape
            (figures,).
        influence: The influence of each observation on each figure, up to a factor, shape (count,
            figures).
    """

    count: int
    compute: Callable[[Floats], Floats]
    influence: Floats

    def __sub__(self, other: Statistics) -> Statistics:
        """Return the differences of the figures of two systems on the same observations."""
        return Statistics(
            self.count,
            lambda counts: self.compute(counts) - other.compute(counts),
            self.influence - other.influence,
        )


def mean_statistics(values: Floats) -> Statistics:
    """Return the statistics of column means; `values` has shape (observations, figures)."""
    count = len(values)
    return Statistics(count, lambda counts: counts @ values / count, values - values.mean(axis=0))


def estimate(statistics: Statistics, sampling: Sampling) -> list[Estimate]:
    """Return each figure with its interval."""
    import numpy as np

    count = statistics.count
    observed = statistics.compute(np.ones(count))
    resampled = np.empty((sampling.resamples, len(observed)))
    random = np.random.default_rng(sampling.seed)
    for row in resampled:
        counts = np.bincount(random.integers(count, size=count), minlength=count)
        row[:] = statistics.compute(counts.astype(np.float64))
    return [
        Estimate(float(value), *_interval(float(value), column, influence, sampling.confidence))
        for value, column, influence in zip(
            observed, resampled.T, statistics.influence.T, strict=True
        )
    ]


def _interval(
    value: float, resampled: Floats, influence: Floats, confidence: float
) -> tuple[float, float] | tuple[None, None]:
    """Return the BCa interval of a figure; `resampled` has shape (resamples,)."""
    from statistics import NormalDist

    import numpy as np

    # A correlation is undefined if a resample repeats a single pair.
    resampled = resampled[np.isfinite(resampled)]
    spread = np.ptp(resampled) if len(resampled) else 0.0
    if spread <= 1e-12 * max(1.0, abs(value)):
        return None, None
    # Ties count half: figures of few observations take few values.
    below = ((resampled < value).sum() + (resampled == value).sum() / 2) / len(resampled)
    smallest = 1 / (2 * len(resampled))
    normal = NormalDist()
    bias = normal.inv_cdf(float(np.clip(below, smallest, 1 - smallest)))
    squares = float((influence**2).sum())
    acceleration = float((influence**3).sum()) / (6 * squares**1.5) if squares else 0.0

    def level(quantile: float) -> float:
        shifted = bias + quantile
        return normal.cdf(bias + shifted / (1 - acceleration * shifted))

    outer = normal.inv_cdf((1 + confidence) / 2)
    low, high = np.quantile(resampled, [level(-outer), level(outer)])
    assert math.isfinite(low)
    return float(low), float(high)
