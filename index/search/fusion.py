"""Rankings by meaning and by words, made one order.

Within a kind, they are fused by their ranks alone, for what they rank by cannot be compared.
Between images and texts that would not do: a picture of a cat, which has no words, would come
after every text that has the word, be it as far from the meaning as it may. So the kinds are
merged by how strong their items are on the one scale that scores are on: the first of a kind
has the place that its strongest gives, the second that of the second, and so on.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.store.catalog.types import KINDS

if TYPE_CHECKING:
    from nmm.index.search.keyword import KeywordMatches
    from nmm.index.store.catalog.types import Kind

# Of reciprocal rank fusion: how little the first places count more than those after them.
RRF_K = 60
# Of a normal distribution, in its deviations, what one in a thousand exceeds, which has the
# score 1, see :mod:`nmm.index.calibration`.
ONE_IN_A_THOUSAND = 3.0902
# How much more a word tells that is there than a score that as few reach by chance: a code that
# one file has comes before the best of pictures that have nothing to do with it.
KEYWORD_WEIGHT = 2.0


class Rank(NamedTuple):
    """What files are ordered by, the least first; those of the same one are equally good.

    Attributes:
        weakness: How weak the item is, of its kind, whose place it has.
        place: Its place in its kind, from 0.
    """

    weakness: float
    place: int


def fused(rankings: Iterable[Mapping[int, float]]) -> dict[int, float]:
    """What things come to in several rankings together: the more, the better.

    Reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009): the sum of 1 / (60 + rank)
    over the rankings in which a thing is.

    Args:
        rankings: Each with a number by thing, the least the best. Equal ones share a rank, so
            that another ranking decides between them.
    """
    sums: dict[int, float] = defaultdict(float)
    for numbers in rankings:
        for thing, rank in _ranks(numbers).items():
            sums[thing] += 1 / (RRF_K + rank)
    return dict(sums)


def _ranks(numbers: Mapping[int, float]) -> dict[int, int]:
    """The rank of each thing, from 1 for the least number, in that order; equal ones share it."""
    found: dict[int, int] = {}
    last, rank = None, 0
    for place, thing in enumerate(sorted(numbers, key=numbers.__getitem__), 1):
        if numbers[thing] != last:
            last, rank = numbers[thing], place
        found[thing] = rank
    return found


def ranking(
    scores: Mapping[int, tuple[Kind, float]], words: KeywordMatches, files: int, count: int
) -> list[tuple[Rank, int]]:
    """The `count` best of the files that were found, by their ids, and those as good as the last.

    Of what is fused to the same, the nearer file is first.

    Args:
        scores: Of files that were found by their meaning.
        words: Those that were found by their words.
        files: About how many there are in the index.
        count: At least so many, if there are as many.
    """
    strength = _strength(len(words.best), files)
    placed: list[tuple[Rank, int]] = []
    # Where nothing but words ranks, no scores tell the kinds apart.
    for kind in KINDS if scores else (None,):
        near = {file: -score for file, (of, score) in scores.items() if of == kind}
        told = [
            {file: number for file, number in table.items() if words.best[file].kind == kind}
            if kind
            else table
            for table in words.rankings
        ]
        sums = fused([near, *told])
        # The least first.
        alone = [-strength] * len(sums.keys() - near.keys())
        weaknesses = sorted(
            [min(one, -strength) if file in words.best else one for file, one in near.items()]
            + alone
        )
        keys = {file: (-worth, near.get(file, math.inf)) for file, worth in sums.items()}
        first = sorted(keys, key=keys.__getitem__)
        place = 0
        for _, group in itertools.groupby(first, keys.__getitem__):
            equal = list(group)
            placed += [(Rank(weaknesses[place], place), file) for file in equal]
            place += len(equal)
            if place >= count:
                break
    placed.sort()
    last = placed[count - 1][0] if len(placed) >= count else None
    return placed if last is None else [one for one in placed if one[0] <= last]


def _strength(found: int, files: int) -> float:
    """What it is worth to have all words of a query: the more, the fewer files have them."""
    if not found:
        return 0.0
    from statistics import NormalDist  # it takes its time to import

    chance = found / (max(found, files) + 1)
    return KEYWORD_WEIGHT * NormalDist().inv_cdf(1 - chance) / ONE_IN_A_THOUSAND
