"""What rankings and correlations are measured by, each as those who defined it say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.evaluation.bootstrap import Statistics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.evaluation.bootstrap import Floats


class Tied(NamedTuple):
    """Results that are equally good, in a ranking: how many, and how many of them are right.

    One that is like no other is a group of its own.
    """

    size: int
    right: int


def recall(ranking: Sequence[Tied], relevant: int, count: int) -> float:
    """The part of what is right that is among the first `count`, as trec_eval counts it.

    Of equal results any may come first: it is the mean over their orders (McSherry and Najork,
    2008, "Computing Information Retrieval Performance Measures Efficiently in the Presence of
    Tied Scores"), here and below.

    Args:
        ranking: Best first.
        relevant: How many are right, found or not.
        count: Results that are looked at.
    """
    found, place = 0.0, 0
    for size, right in ranking:
        taken = min(max(count - place, 0), size)
        found += right * taken / size
        place += size
    return found / relevant


def reciprocal_rank(ranking: Sequence[Tied]) -> float:
    """1 / the rank of the first that is right; 0 without one (Voorhees, 1999)."""
    place = 0
    for size, right in ranking:
        if right:
            orders = math.comb(size, right)
            return sum(
                # The first right one is so far behind: the others are all after it.
                math.comb(size - ahead - 1, right - 1) / orders / (place + ahead + 1)
                for ahead in range(size - right + 1)
            )
        place += size
    return 0.0


def ndcg(ranking: Sequence[Tied], relevant: int, count: int) -> float:
    """Normalised discounted cumulative gain of the first `count` (Järvelin and Kekäläinen, 2002).

    What is right gains 1, over log2(1 + rank).
    """
    gain, place = 0.0, 0
    for size, right in ranking:
        gain += right / size * sum(map(_discount, range(place + 1, min(place + size, count) + 1)))
        place += size
    return gain / sum(map(_discount, range(1, min(relevant, count) + 1)))


def _discount(rank: int) -> float:
    return 1 / math.log2(1 + rank)


def chance_among_first(ahead: int, equal: int, count: int) -> float:
    """The chance of one to be among the first `count`, with so many better and so many as good.

    It is one of those that are as good itself.
    """
    return min(max(count - ahead, 0), equal) / equal


def correlations(measured: Floats, told: Floats) -> Statistics:
    """Spearman's and Pearson's coefficients of two columns of numbers, shape (observations,).

    Spearman's is Pearson's of the ranks, of which equal numbers share the mean.
    """
    import numpy as np

    pairs = (measured, told)
    values = [np.unique(column, return_inverse=True)[1] for column in pairs]

    def compute(counts: Floats) -> Floats:
        one, other = (_ranks(places, counts) for places in values)
        return np.array([_pearson(one, other, counts), _pearson(*pairs, counts)])

    once = np.ones(len(measured))
    ranks = [_ranks(places, once) for places in values]
    # Of Spearman's, as if ranks stayed; it serves the skewness alone.
    return Statistics(
        len(measured), compute, np.stack([_influence(*ranks), _influence(*pairs)], axis=1)
    )


def _ranks(places: NDArray[np.int64], counts: Floats) -> Floats:
    """The ranks of observations that are there so often each.

    Args:
        places: Of each observation, that of its value among all different ones.
        counts: How often it is there.
    """
    import numpy as np

    of_value = np.bincount(places, weights=counts)
    middles = np.cumsum(of_value) - (of_value - 1) / 2
    found: Floats = middles[places]
    return found


def _pearson(one: Floats, other: Floats, counts: Floats) -> float:
    import numpy as np

    total = counts.sum()
    one, other = (column - counts @ column / total for column in (one, other))
    scale = math.sqrt(float(counts @ one**2) * float(counts @ other**2))
    # Of numbers that are all the same there is none.
    return float(np.clip(counts @ (one * other) / scale, -1, 1)) if scale else math.nan


def _influence(one: Floats, other: Floats) -> Floats:
    """How each observation influences Pearson's coefficient (Devlin et al., 1975)."""
    import numpy as np

    def standard(column: Floats) -> Floats:
        deviations = column - column.mean()
        norm = float(np.sqrt((deviations**2).mean()))
        scaled: Floats = deviations / (norm or 1.0)
        return scaled

    one, other = standard(one), standard(other)
    found: Floats = one * other - (one * other).mean() * (one**2 + other**2) / 2
    return found
