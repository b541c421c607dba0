"""Rankings by meaning and by words, made one order.

Within a kind, they are fused by their ranks alone, for what they rank by cannot be compared.
Between images and texts that would not do: a picture of a cat, which has no words, would come
after every text that has the word, be it as far from the meaning as it may. So the kinds are
merged by how strong their items are on the one scale that scores are on: the first of a kind
has the place that its strongest gives, the second that of the second, and so on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from nmm.index.store.catalog import KINDS

if TYPE_CHECKING:
    from nmm.index.found_words import FoundWords
    from nmm.index.store.catalog import Kind

# Of reciprocal rank fusion: how little the first places count more than those after them.
K = 60
# Of a normal distribution, in its deviations, what one in a thousand exceeds, which has the
# score 1, see :mod:`nmm.index.scale`.
ONE_IN_A_THOUSAND = 3.0902
# How much more a word tells that is there than a score that as few reach by chance: a code that
# one file has comes before the best of pictures that have nothing to do with it.
WORTH = 2.0


def fused(rankings: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """What things come to in several rankings together: the more, the better.

    Reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009): the sum of 1 / (60 + rank)
    over the rankings in which a thing is.

    Args:
        rankings: Each with a number by thing, the least the best. Equal ones share a rank, so
            that another ranking decides between them.
    """
    sums: dict[str, float] = defaultdict(float)
    for ranks in map(_ranks, rankings):
        for thing, rank in ranks.items():
            sums[thing] += 1 / (K + rank)
    return dict(sums)


def _ranks(numbers: Mapping[str, float]) -> dict[str, int]:
    """The rank of each thing, from 1 for the least number; equal ones share the first."""
    ranks: dict[str, int] = {}
    last = None
    for place, thing in enumerate(sorted(numbers, key=numbers.__getitem__), 1):
        ranks[thing] = ranks[last] if last and numbers[last] == numbers[thing] else place
        last = thing
    return ranks


def ranking(scores: Mapping[str, tuple[Kind, float]], words: FoundWords, files: int) -> list[str]:
    """Files that were found, best first; equal ones in the order of their paths.

    Args:
        scores: Of files that were found by their meaning, by path.
        words: Those that were found by their words.
        files: About how many there are in the index.
    """
    strength = _strength(len(words.best), files)
    placed: list[tuple[float, int, str]] = []
    # Where nothing but words ranks, no scores tell the kinds apart.
    for kind in KINDS if scores else (None,):
        nearness = {path: -score for path, (of, score) in scores.items() if of == kind}
        told = [
            {
                path: number
                for path, number in table.items()
                if kind in (None, words.best[path].kind)
            }
            for table in words.rankings
        ]
        sums = fused([nearness, *told])
        strengths = sorted(
            max(
                -nearness.get(path, float("inf")), strength if path in words.best else float("-inf")
            )
            for path in sums
        )
        ranks = _ranks({path: -number for path, number in sums.items()})
        placed += [
            (-strengths.pop(), ranks[path], path) for path in sorted(sums, key=ranks.__getitem__)
        ]
    return [path for *_, path in sorted(placed)]


def _strength(found: int, files: int) -> float:
    """What it is worth to have all words of a query: the more, the fewer files have them."""
    if not found:
        return 0.0
    from statistics import NormalDist  # it takes its time to import

    chance = found / (max(found, files) + 1)
    return WORTH * NormalDist().inv_cdf(1 - chance) / ONE_IN_A_THOUSAND
