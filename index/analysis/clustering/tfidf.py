"""Distinctive words of clusters by class-based TF-IDF.

All texts of a cluster form one document. The weight of a word is its relative frequency in the
document times log(1 + A / f), where A is the mean number of words per cluster and f the frequency
of the word in all clusters (Grootendorst, 2022, "BERTopic").
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

# Letters only: numbers, codes and camera file names carry no meaning.
WORD_PATTERN = r"(?u)\b[^\W\d_]{3,}\b"
# Occurrences that count per text: a word that one file repeats is not the subject of the cluster.
MAX_TERM_FREQUENCY = 3
# The most frequent words are counted.
MAX_VOCABULARY = 20_000


def distinctive_words(clusters: Sequence[Sequence[str]], count: int) -> list[list[str]]:
    """Return at most `count` words per cluster of texts, the most distinctive first.

    In a cluster of several texts, words that occur in only one of them do not count.

    Args:
        clusters: The texts of each cluster.
        count: Words per cluster.
    """
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    texts = [text for cluster in clusters for text in cluster]
    counter = CountVectorizer(
        stop_words="english",
        token_pattern=WORD_PATTERN,
        max_features=MAX_VOCABULARY,
        dtype=np.int64,
    )
    try:
        counts = counter.fit_transform(texts)
    except ValueError:  # nothing but stop words
        return [[] for _ in clusters]
    words = counter.get_feature_names_out()
    counts.data = np.minimum(counts.data, MAX_TERM_FREQUENCY)
    ends = np.cumsum([0, *map(len, clusters)]).tolist()
    parts = [counts[start:end] for start, end in itertools.pairwise(ends)]
    sums = np.stack([np.asarray(part.sum(axis=0)).ravel() for part in parts])
    in_texts = np.stack([np.asarray((part > 0).sum(axis=0)).ravel() for part in parts])
    weights = sums / sums.sum(axis=1, keepdims=True).clip(1)
    weights *= np.log1p(sums.sum(axis=1).mean() / sums.sum(axis=0))
    weights[in_texts < np.minimum(2, [[len(cluster)] for cluster in clusters])] = 0
    orders = (-weights).argsort(axis=1, kind="stable")[:, :count]
    return [
        [str(words[column]) for column in order if row[column] > 0]
        for row, order in zip(weights, orders, strict=True)
    ]
