"""The words that files of a group have, and those of other groups have not: class-based TF-IDF.

All texts of a group are one document: a word's weight is how often it is there, in proportion,
times log(1 + A / f), with A words in a group on average and f times that the word is in all of
them (Grootendorst, 2022, "BERTopic").
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

# Letters only: what stands in numbers, codes and the names that cameras give tells nothing.
WORD = r"(?u)\b[^\W\d_]{3,}\b"
# How often a word is counted in one document at most: what one file repeats is no subject of all.
MOST = 3
# Words that are counted, of many the most frequent.
COUNTED = 20_000


def telling_words(groups: Sequence[Sequence[str]], count: int) -> list[list[str]]:
    """Words of each group of texts, the most telling first, `count` at most.

    Of a group of several texts, a word that one of them alone has is none of the group's.

    Args:
        groups: Texts by group.
        count: Words to a group.
    """
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    texts = [text for group in groups for text in group]
    counter = CountVectorizer(
        stop_words="english", token_pattern=WORD, max_features=COUNTED, dtype=np.int64
    )
    try:
        counts = counter.fit_transform(texts)
    except ValueError:  # there are none but stop words
        return [[] for _ in groups]
    words = counter.get_feature_names_out()
    counts.data = np.minimum(counts.data, MOST)
    ends = np.cumsum([0, *map(len, groups)]).tolist()
    parts = [counts[start:end] for start, end in itertools.pairwise(ends)]
    sums = np.stack([np.asarray(part.sum(axis=0)).ravel() for part in parts])
    in_texts = np.stack([np.asarray((part > 0).sum(axis=0)).ravel() for part in parts])
    weights = sums / sums.sum(axis=1, keepdims=True).clip(1)
    weights *= np.log1p(sums.sum(axis=1).mean() / sums.sum(axis=0))
    weights[in_texts < np.minimum(2, [[len(group)] for group in groups])] = 0
    orders = (-weights).argsort(axis=1, kind="stable")[:, :count]
    return [
        [str(words[place]) for place in order if row[place] > 0]
        for row, order in zip(weights, orders, strict=True)
    ]
