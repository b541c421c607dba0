"""Ranking metrics and correlations, as defined in the literature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.evaluation.bootstrap import Statistics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.evaluation.bootstrap import Floats


class TieGroup(NamedTuple):
    """Results with equal scores in a ranking.

    Attributes:
        size: The number of results; a result without ties is a group of one.
        relevant_count: How many of them are relevant.
    """

    size: int
    relevant_count: int


def recall(ranking: Sequence[TieGroup], relevant: int, count: int) -> float:
    """Return the share of relevant results among the first `count`, as trec_eval defines it.

    Tied results may come in any order. This and the following metrics are the mean over all orders
    (McSherry and Najork, 2008, "Computing Information Retrieval Performance Measures Efficiently in
    the Presence of Tied Scores").

    Args:
        ranking: Best first.
        relevant: The number of relevant results, found or not.
        count: The number of results that count.
    """
    found, rank = 0.0, 0
    for size, relevant_count in ranking:
        taken = min(max(count - rank, 0), size)
        found += relevant_count * taken / size
        rank += size
    return found / relevant


def reciprocal_rank(ranking: Sequence[TieGroup]) -> float:
    """Return 1 / the rank of the first relevant result, 0 without one (Voorhees, 1999)."""
    rank = 0
    for size, relevant_count in ranking:
        if relevant_count:
            orders = math.comb(size, relevant_count)
            return sum(
                # `ahead` tied results come before the first relevant one; the other relevant ones
                # come after it.
                math.comb(size - ahead - 1, relevant_count - 1) / orders / (rank + ahead + 1)
                for ahead in range(size - relevant_count + 1)
            )
        rank += size
    return 0.0


def ndcg(ranking: Sequence[TieGroup], relevant: int, count: int) -> float:
    """Return the normalised discounted cumulative gain of the first `count` results.

    See Järvelin and Kekäläinen, 2002. A relevant result has gain 1 and discount log2(1 + rank).
    """
    gain, rank = 0.0, 0
    for size, relevant_count in ranking:
        gain += (
            relevant_count
            / size
            * sum(map(_discount, range(rank + 1, min(rank + size, count) + 1)))
        )
        rank += size
    return gain / sum(map(_discount, range(1, min(relevant, count) + 1)))


def _discount(rank: int) -> float:
    return 1 / math.log2(1 + rank)


def probability_in_top(ahead: int, tied: int, count: int) -> float:
    """Return the probability of being among the first `count` if ties are broken at random.

    Args:
        ahead: The number of better ones.
        tied: The number of equal ones, itself included.
        count: The number of first places.
    """
    return min(max(count - ahead, 0), tied) / tied


def correlation_statistics(measured: Floats, reference: Floats) -> Statistics:
    """Return Spearman's and Pearson's coefficients of two columns, shape (observations,).

    Spearman's is Pearson's of the ranks, with mean ranks for ties.
    """
    import numpy as np

    pairs = (measured, reference)
    values = [np.unique(column, return_inverse=True)[1] for column in pairs]

    def compute(counts: Floats) -> Floats:
        one, other = (_ranks(value_index, counts) for value_index in values)
        return np.array([_pearson(one, other, counts), _pearson(*pairs, counts)])

    once = np.ones(len(measured))
    ranks = [_ranks(value_index, once) for value_index in values]
    # For Spearman's, ranks are treated as fixed: the influence only estimates the skewness.
    return Statistics(
        len(measured), compute, np.stack([_influence(*ranks), _influence(*pairs)], axis=1)
    )


def _ranks(value_index: NDArray[np.int64], counts: Floats) -> Floats:
    """Return the ranks of observations with multiplicities.

    Args:
        value_index: The index of each observation's value among the distinct values.
        counts: The multiplicity of each observation.
    """
    import numpy as np

    of_value = np.bincount(value_index, weights=counts)
    middles = np.cumsum(of_value) - (of_value - 1) / 2
    found: Floats = middles[value_index]
    return found


def _pearson(one: Floats, other: Floats, counts: Floats) -> float:
    import numpy as np

    total = counts.sum()
    one, other = (column - counts @ column / total for column in (one, other))
    scale = math.sqrt(float(counts @ one**2) * float(counts @ other**2))
    # The coefficient of a constant column is undefined.
    return float(np.clip(counts @ (one * other) / scale, -1, 1)) if scale else math.nan


def _influence(one: Floats, other: Floats) -> Floats:
    """Return the influence of each observation on Pearson's coefficient (Devlin et al., 1975)."""
    import numpy as np

    def standard(column: Floats) -> Floats:
        deviations = column - column.mean()
        norm = float(np.sqrt((deviations**2).mean()))
        scaled: Floats = deviations / (norm or 1.0)
        return scaled

    one, other = standard(one), standard(other)
    found: Floats = one * other - (one * other).mean() * (one**2 + other**2) / 2
    return found
