"""A query's words, as FTS5 is asked for them; and several rankings made one.

Words are what stands between spaces, and phrases what stands between double quotes. Each is
given to FTS5 as a string, so that nothing in a query is syntax: the tokenizer makes a phrase of
what has several runs of letters and digits, as INV-2023-004 has three.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

# What is longer is a text rather than a query; its first words are looked for.
MOST_WORDS = 64
# Of reciprocal rank fusion: how little the first places count more than those after them.
K = 60

PART = re.compile(r'"([^"]*)"|([^\s"]+)')

Key = TypeVar("Key", bound=Hashable)


def words_of(text: str) -> tuple[str, ...]:
    """The words and phrases of a query, each once; what has no letter or digit is none."""
    # A NUL would end what FTS5 reads, and half a surrogate pair cannot be said in UTF-8.
    text = text.replace("\0", " ").encode("utf-8", "replace").decode()
    found = {(phrase or word).casefold(): phrase or word for phrase, word in PART.findall(text)}
    return tuple(word for word in found.values() if any(map(_is_of_a_word, word)))[:MOST_WORDS]


def _is_of_a_word(character: str) -> bool:
    """Whether the tokenizer takes a character for a part of a word, at least today's Unicode."""
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "Co"


def with_all(words: Iterable[str]) -> str:
    """The FTS5 expression for rows in which all of some words are."""
    # Not joined by AND: between strings alone, FTS5 passes over one without words for it.
    return " ".join(f'"{word}"' for word in words)


def with_any(words: Iterable[str]) -> str:
    """The FTS5 expression for rows in which one of some words is."""
    return " OR ".join(f'"{word}"' for word in words)


def fused(rankings: Iterable[Mapping[Key, float]]) -> dict[Key, float]:
    """What things come to in several rankings together: the more, the better.

    Reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009): the sum of 1 / (60 + rank)
    over the rankings in which a thing is.

    Args:
        rankings: Each with a number by thing, the least the best. Equal ones share a rank, so
            that another ranking decides between them.
    """
    sums: dict[Key, float] = defaultdict(float)
    for ranking in rankings:
        rank, last = 0, None
        for place, key in enumerate(sorted(ranking, key=ranking.__getitem__), 1):
            if ranking[key] != last:
                rank, last = place, ranking[key]
            sums[key] += 1 / (K + rank)
    return dict(sums)
