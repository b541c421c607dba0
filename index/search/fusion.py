"""Fuse the rankings by meaning and by keywords into one order.

Within a kind, the rankings are fused by rank alone, because their scores are not comparable.
Images and texts cannot be merged in this way: an image of a cat without words would come after
every text that contains the word, however far from the meaning. So the kinds are merged by score:
the first item of a kind takes the place of its highest score, the second that of the second
highest, and so on.
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

# The constant of reciprocal rank fusion. The larger it is, the less the first ranks count.
RRF_K = 60
# The quantile of the normal distribution that one value in a thousand exceeds, in standard
# deviations. It has the score 1, see :mod:`nmm.index.calibration`.
ONE_IN_A_THOUSAND = 3.0902
# Weight of a keyword match relative to a score that equally few items reach by chance. A code that
# only one file contains thus comes before the best unrelated images.
KEYWORD_WEIGHT = 2.0


class Rank(NamedTuple):
    """The sort key of files, least first. Files with the same rank are equally good.

    Attributes:
        weakness: The negative score of the item at this place in the order of scores of its kind.
        place: The place among the files of its kind, from 0.
    """

    weakness: float
    place: int


def fuse(rankings: Iterable[Mapping[int, float]]) -> dict[int, float]:
    """Return the reciprocal rank fusion of rankings: a sum for each item, greater is better.

    The sum of an item is that of 1 / (60 + rank) over the rankings that contain it (Cormack, Clarke
    and Büttcher, 2009).

    Args:
        rankings: A number for each item; the least is the best. Equal numbers share a rank, and
            another ranking decides between them.
    """
    sums: dict[int, float] = defaultdict(float)
    for numbers in rankings:
        for item, rank in _ranks(numbers).items():
            sums[item] += 1 / (RRF_K + rank)
    return dict(sums)


def _ranks(numbers: Mapping[int, float]) -> dict[int, int]:
    """Return the rank of each item, from 1 for the least number; equal numbers share a rank."""
    found: dict[int, int] = {}
    last, rank = None, 0
    for place, item in enumerate(sorted(numbers, key=numbers.__getitem__), 1):
        if numbers[item] != last:
            last, rank = numbers[item], place
        found[item] = rank
    return found


def ranking(
    scores: Mapping[int, tuple[Kind, float]], words: KeywordMatches, files: int, count: int
) -> list[tuple[Rank, int]]:
    """Return the ids of the best files with their ranks, and all files that tie with the last.

    Of two files with the same sum, the one with the higher score comes first.

    Args:
        scores: The kind and score of each file that was found by meaning.
        words: The files that were found by keywords.
        files: The approximate number of files in the index.
        count: Minimum number of files, if there are enough.
    """
    keyword_score = _keyword_score(len(words.best), files)
    placed: list[tuple[Rank, int]] = []
    # A ranking by keywords alone has no scores to merge the kinds by.
    for kind in KINDS if scores else (None,):
        near = {file: -score for file, (of, score) in scores.items() if of == kind}
        by_keywords = [
            {file: number for file, number in table.items() if words.best[file].kind == kind}
            if kind
            else table
            for table in words.rankings
        ]
        sums = fuse([near, *by_keywords])
        # The least first.
        alone = [-keyword_score] * len(sums.keys() - near.keys())
        weaknesses = sorted(
            [min(one, -keyword_score) if file in words.best else one for file, one in near.items()]
            + alone
        )
        keys = {file: (-total, near.get(file, math.inf)) for file, total in sums.items()}
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


def _keyword_score(found: int, files: int) -> float:
    """Return the score of a match of all words: the fewer files match, the higher."""
    if not found:
        return 0.0
    from statistics import NormalDist  # slow to import

    chance = found / (max(found, files) + 1)
    return KEYWORD_WEIGHT * NormalDist().inv_cdf(1 - chance) / ONE_IN_A_THOUSAND
