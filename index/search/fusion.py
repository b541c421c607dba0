"""Fuse the rankings by meaning and by keywords into one order.

Within a kind, the rankings are fused by rank alone, for their scores are not comparable. Between
images and texts that would not do: an image of a cat without words would come after every text
that contains the word, however far from the meaning. So the kinds are merged by the strength of
their items on the common scale of scores: the first of a kind gets the place of its strongest
item, the second that of the second strongest, and so on.
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

# The constant of reciprocal rank fusion: the larger, the less the first ranks stand out.
RRF_K = 60
# The quantile of a normal distribution that one in a thousand exceeds, in deviations. It has the
# score 1, see :mod:`nmm.index.calibration`.
ONE_IN_A_THOUSAND = 3.0902
# Weight of a keyword match relative to a score that as few items reach by chance, so that a code
# that one file contains comes before the best unrelated images.
KEYWORD_WEIGHT = 2.0


class Rank(NamedTuple):
    """The sort key of files, least first. Files with the same rank are equally good.

    Attributes:
        weakness: The negative score of the item of the same kind at this place by score.
        place: The place among the files of its kind, from 0.
    """

    weakness: float
    place: int


def fused(rankings: Iterable[Mapping[int, float]]) -> dict[int, float]:
    """Return the reciprocal rank fusion of rankings: a sum for each item, greater is better.

    An item's sum is that of 1 / (60 + rank) over the rankings that contain it (Cormack, Clarke and
    Büttcher, 2009).

    Args:
        rankings: A number for each item, the least is the best. Equal numbers share a rank, so
            that another ranking decides between them.
    """
    sums: dict[int, float] = defaultdict(float)
    for numbers in rankings:
        for thing, rank in _ranks(numbers).items():
            sums[thing] += 1 / (RRF_K + rank)
    return dict(sums)


def _ranks(numbers: Mapping[int, float]) -> dict[int, int]:
    """Return the rank of each item, from 1 for the least number; equal numbers share a rank."""
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
    """Return the best files by id, with their ranks, and all that are as good as the last.

    Of files with the same sum, the nearer one comes first.

    Args:
        scores: The kind and score of each file that was found by its meaning.
        words: The files that were found by keywords.
        files: The approximate number of files in the index.
        count: Minimum number of files, if there are as many.
    """
    strength = _strength(len(words.best), files)
    placed: list[tuple[Rank, int]] = []
    # If keywords alone rank, there are no scores to merge the kinds by.
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
    """Return the strength of a match of all words: the fewer files match, the greater."""
    if not found:
        return 0.0
    from statistics import NormalDist  # slow to import

    chance = found / (max(found, files) + 1)
    return KEYWORD_WEIGHT * NormalDist().inv_cdf(1 - chance) / ONE_IN_A_THOUSAND
