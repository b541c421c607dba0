"""Metrics equal those computed by hand, by scikit-learn and by SciPy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import bootstrap, pearsonr, spearmanr
from sklearn.metrics import ndcg_score

from nmm.index.evaluation.bootstrap import Estimate, Sampling, estimate, mean_statistics
from nmm.index.evaluation.metrics import (
    TieGroup,
    correlation_statistics,
    ndcg,
    probability_in_top,
    recall,
    reciprocal_rank,
)

SAMPLING = Sampling(resamples=4000)


def each_alone(right: Sequence[int]) -> list[TieGroup]:
    return [TieGroup(1, one) for one in right]


# Rankings


def test_recall_is_the_share_of_relevant_items_among_the_first() -> None:
    ranking = each_alone([1, 0, 1, 0, 0, 1])
    # One of the four relevant items was not found at all.
    assert [recall(ranking, 4, count) for count in (1, 2, 3, 5, 10)] == [
        1 / 4,
        1 / 4,
        1 / 2,
        1 / 2,
        3 / 4,
    ]
    assert recall([], 2, 5) == 0


def test_the_reciprocal_rank_is_that_of_the_first_relevant_item() -> None:
    assert reciprocal_rank(each_alone([0, 0, 1, 1])) == 1 / 3
    assert reciprocal_rank(each_alone([1])) == 1
    assert reciprocal_rank(each_alone([0, 0])) == 0
    assert reciprocal_rank([]) == 0


def test_ndcg_follows_its_definition() -> None:
    # Relevant at ranks 1 and 3, a third one not found: (1 + 1/2) / (1 + 1/log2(3) + 1/2).
    gained = 1 + 1 / 2
    best = 1 + 1 / math.log2(3) + 1 / 2
    assert ndcg(each_alone([1, 0, 1]), 3, 10) == pytest.approx(gained / best)
    # More items are relevant than are considered: a perfect ranking has relevant ones only.
    assert ndcg(each_alone([1] * 12), 30, 10) == pytest.approx(1)
    assert ndcg(each_alone([0] * 10 + [1]), 1, 10) == 0


scored = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=12).filter(
    lambda some: any(right for _, right in some)
)


def grouped(some: Sequence[tuple[int, bool]]) -> list[TieGroup]:
    """Return groups of equal scores, the highest first."""
    found = []
    for score in sorted({score for score, _ in some}, reverse=True):
        rights = [right for one, right in some if one == score]
        found.append(TieGroup(len(rights), sum(rights)))
    return found


@settings(deadline=None)
@given(scored, st.integers(1, 12))
def test_ndcg_with_ties_is_that_of_scikit_learn(some: list[tuple[int, bool]], count: int) -> None:
    scores, right = np.array([s for s, _ in some]), np.array([int(r) for _, r in some])
    theirs = ndcg_score(right[None], scores[None], k=count)
    assert ndcg(grouped(some), int(right.sum()), count) == pytest.approx(theirs)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), min_size=1, max_size=2).map(
        lambda groups: [TieGroup(size, min(right, size)) for size, right in groups]
    ),
    st.integers(1, 8),
)
def test_with_ties_a_figure_is_the_mean_over_all_orders(
    ranking: list[TieGroup], count: int
) -> None:
    relevant = sum(right for _, right in ranking) + 1
    groups = [[1] * right + [0] * (size - right) for size, right in ranking]
    orders = [
        each_alone(list(itertools.chain(*order)))
        for order in itertools.product(*(list(itertools.permutations(group)) for group in groups))
    ]
    for figure in (
        lambda one: recall(one, relevant, count),
        reciprocal_rank,
        lambda one: ndcg(one, relevant, count),
    ):
        assert figure(ranking) == pytest.approx(np.mean([figure(order) for order in orders]))


@pytest.mark.parametrize(
    ("ahead", "equal", "count", "chance"),
    [(0, 1, 1, 1), (1, 1, 1, 0), (0, 2, 1, 0.5), (0, 3, 5, 1), (4, 4, 5, 0.25), (5, 1, 5, 0)],
)
def test_tied_items_share_the_first_ranks_by_chance(
    ahead: int, equal: int, count: int, chance: float
) -> None:
    assert probability_in_top(ahead, equal, count) == chance


# Correlations


def test_correlations_are_those_of_scipy() -> None:
    random = np.random.default_rng(1)
    told = random.integers(0, 6, 200).astype(float)  # many are equal
    measured = np.round(told + random.normal(0, 2, 200), 1)
    spearman, pearson = correlation_statistics(measured, told).compute(np.ones(200))
    assert spearman == pytest.approx(spearmanr(measured, told).statistic, abs=1e-12)
    assert pearson == pytest.approx(pearsonr(measured, told).statistic, abs=1e-12)


def test_a_sample_has_the_correlations_of_what_is_in_it() -> None:
    random = np.random.default_rng(2)
    told = random.integers(0, 6, 50).astype(float)
    measured = told + random.normal(0, 2, 50)
    drawn = random.integers(50, size=50)
    counts = np.bincount(drawn, minlength=50).astype(float)
    spearman, pearson = correlation_statistics(measured, told).compute(counts)
    assert spearman == pytest.approx(spearmanr(measured[drawn], told[drawn]).statistic, abs=1e-12)
    assert pearson == pytest.approx(pearsonr(measured[drawn], told[drawn]).statistic, abs=1e-12)


def test_by_hand_what_rises_together_is_one_and_what_falls_is_minus_one() -> None:
    rising = np.array([1.0, 2.0, 3.0, 40.0])
    spearman, pearson = correlation_statistics(rising, np.array([1.0, 5.0, 6.0, 7.0])).compute(
        np.ones(4)
    )
    assert spearman == pytest.approx(1)
    assert 0 < pearson < 1
    assert correlation_statistics(rising, -rising).compute(np.ones(4)) == pytest.approx([-1, -1])
    assert np.isnan(correlation_statistics(rising, np.ones(4)).compute(np.ones(4))).all()


# Intervals


def test_an_interval_is_that_of_scipys_bca() -> None:
    # Skewed, like reciprocal ranks: the plain percentile interval differs here.
    values = np.random.default_rng(3).beta(0.5, 3, 60)
    [ours] = estimate(mean_statistics(values[:, None]), SAMPLING)
    theirs = bootstrap(
        (values,), np.mean, n_resamples=20000, method="BCa", rng=np.random.default_rng(4)
    ).confidence_interval
    plain = bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(4)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(values.mean())
    assert ours.low is not None
    assert ours.high is not None
    assert abs(ours.low - theirs.low) < 0.04 * width
    assert abs(ours.high - theirs.high) < 0.04 * width
    assert abs(ours.high - theirs.high) < abs(ours.high - plain.high)


def test_an_interval_of_correlations_is_near_that_of_scipy() -> None:
    random = np.random.default_rng(5)
    told = random.normal(size=80)
    measured = told + random.normal(0, 0.5, 80)
    ours = estimate(correlation_statistics(measured, told), SAMPLING)
    for one, statistic in zip(ours, (spearmanr, pearsonr), strict=True):

        def figure(
            a: NDArray[np.float64], b: NDArray[np.float64], statistic: object = statistic
        ) -> float:
            return float(statistic(a, b).statistic)  # type: ignore[operator]

        theirs = bootstrap(
            (measured, told),
            figure,
            paired=True,
            vectorized=False,
            n_resamples=1000,
            method="BCa",
            rng=np.random.default_rng(6),
        ).confidence_interval
        assert one.low == pytest.approx(theirs.low, abs=0.03)
        assert one.high == pytest.approx(theirs.high, abs=0.03)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(7)
    held = 0
    for seed in range(120):
        values = (random.random((80, 1)) < 0.7).astype(float)
        [one] = estimate(mean_statistics(values), Sampling(300, seed=seed))
        held += one.low is not None and one.high is not None and one.low <= 0.7 <= one.high
    # 114 are expected; fewer than 104 of 120 have a probability of one in ten thousand.
    assert 104 <= held < 120


def test_equal_seeds_give_equal_intervals() -> None:
    statistics = mean_statistics(np.random.default_rng(8).random((30, 2)))
    assert estimate(statistics, Sampling(200)) == estimate(statistics, Sampling(200))
    assert estimate(statistics, Sampling(200)) != estimate(statistics, Sampling(200, seed=1))


def test_equal_observations_have_no_interval() -> None:
    assert estimate(mean_statistics(np.ones((20, 1))), Sampling(200)) == [Estimate(1.0, None, None)]
    assert estimate(mean_statistics(np.array([[0.3]])), Sampling(200)) == [
        Estimate(0.3, None, None)
    ]


def test_a_difference_is_of_the_same_observations() -> None:
    """One is slightly better everywhere: intervals overlap, but the difference is clear."""
    random = np.random.default_rng(9)
    one = random.random((60, 1))
    other = one + random.normal(0.02, 0.01, (60, 1))
    [first], [second] = (estimate(mean_statistics(values), SAMPLING) for values in (one, other))
    [difference] = estimate(mean_statistics(other) - mean_statistics(one), SAMPLING)
    assert first.high is not None
    assert second.low is not None
    assert difference.low is not None
    assert second.low < first.high
    assert difference.low > 0
    assert difference.value == pytest.approx(second.value - first.value)
    reversed_ = estimate(mean_statistics(one) - mean_statistics(other), SAMPLING)[0]
    assert reversed_.value == pytest.approx(-difference.value)


def test_a_sample_without_a_correlation_is_left_out() -> None:
    # One in nine samples of three pairs contains one pair only.
    [spearman, _] = estimate(
        correlation_statistics(np.array([0.1, 0.2, 0.4]), np.array([1.0, 3.0, 2.0])), Sampling(500)
    )
    assert spearman.value == pytest.approx(0.5)
    assert spearman.low == -1
    assert spearman.high == 1
