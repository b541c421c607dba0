"""Names for clusters: the words nearest to their centres.

The candidate words are everyday subjects (`vocabulary.txt`), the names of ImageNet's classes, and
the distinctive words of each cluster (:mod:`.tfidf`) in passages, text in images, and file names. A
user's own vocabulary replaces all of these. The words are embedded by the model of the index; the
vectors of the built-in words are cached for each model.

Single words lie in another region than passages and images. Both sides are therefore centred: a
word is near a cluster if it differs from all words as the cluster differs from all files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING

from nmm.index.analysis.clustering.imagenet import imagenet_table
from nmm.index.analysis.clustering.tfidf import distinctive_words
from nmm.index.analysis.modality_gap import remove_modality_gap
from nmm.index.common.array_cache import load_or_compute
from nmm.index.common.linalg import normalize_rows
from nmm.index.encoders.base import Task
from nmm.index.encoders.hub.cache_dirs import cache_folder
from nmm.index.errors import UsageError
from nmm.index.store.catalog.file_vectors import content_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.analysis.collection import FileCollection
    from nmm.index.encoders.base import Encoder

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

# Words of a cluster, and the nearest words that they are selected from.
WORDS_PER_CLUSTER, CANDIDATE_WORDS = 5, 40
# The central files of a cluster that are searched for distinctive words, and passages per file.
FILES_PER_CLUSTER, PASSAGES_PER_FILE = 48, 4
# Distinctive words per cluster, and of all clusters together.
DISTINCTIVE_WORDS, MAX_DISTINCTIVE_WORDS = 12, 600
# ImageNet class names with more words are not used.
MAX_WORDS_IN_CLASS = 3
# Added to the cosine of a distinctive word of the cluster.
DISTINCTIVE_BONUS = 0.1
# Subtracted from the cosine of an ImageNet class: a general subject that is as near says more.
CLASS_PENALTY = 0.05
# The weight of relevance against novelty in maximal marginal relevance (Carbonell and Goldstein,
# 1998).
RELEVANCE_WEIGHT = 0.85


def name_clusters(
    collection: FileCollection,
    groups: Sequence[Ints],
    vocabulary: Sequence[str] | None = None,
    *,
    on_embed: Callable[[int], None] = lambda _: None,
) -> list[tuple[str, ...]]:
    """Return words for each cluster, the best first; the first words of clusters differ.

    A cluster has no words if there are fewer words than clusters.

    Args:
        collection: The files.
        groups: Positions in `collection.files` per cluster, the most central first.
        vocabulary: The words; if None, the built-in words and those of the files.
        on_embed: Called with the number of built-in words, if these have to be embedded first.

    Raises:
        UsageError: The vocabulary is empty.
        ModelError: The model of the index is not on this machine, or its weights differ; or the
            names of ImageNet's classes cannot be read.
    """
    import numpy as np

    if not groups:
        return []
    if vocabulary is None:
        builtin = builtin_words()
        vectors = _embed_builtin_words(collection.encoder, builtin, on_embed)
        distinctive = _distinctive_words(collection, groups)
    else:
        builtin = _deduplicate(vocabulary)
        if not builtin:
            raise UsageError(
                "The vocabulary has no words.",
                code="vocabulary-empty",
                hint="Write one word per line.",
            )
        vectors = collection.encoder.embed_texts(builtin, Task.CLUSTERING)
        distinctive = [[] for _ in groups]
    mean = vectors.mean(axis=0) if len(builtin) > 1 else 0
    known = {word.casefold(): place for place, word in enumerate(builtin)}
    more = _deduplicate(word for words in distinctive for word in words if word not in known)
    if more:
        vectors = np.concatenate([vectors, collection.encoder.embed_texts(more, Task.CLUSTERING)])
    words = [*builtin, *more]
    vectors = vectors - mean
    normalize_rows(vectors)
    centres = _centres(collection, groups)
    cosines = centres @ vectors.T
    known |= {word: place for place, word in enumerate(more, len(builtin))}
    if vocabulary is None:
        subjects = set(_subjects())
        cosines[:, [place for place, word in enumerate(builtin) if word not in subjects]] -= (
            CLASS_PENALTY
        )
    # A distinctive word is a candidate for its own clusters only.
    cosines[:, len(builtin) :] -= np.inf
    for row, found in enumerate(distinctive):
        columns = [known[word] for word in found]
        cosines[row, columns] = centres[row] @ vectors[columns].T + DISTINCTIVE_BONUS
    firsts = _assign_first_words(cosines)
    return [
        tuple(words[word] for word in _select_diverse(row, first, vectors))
        if first is not None
        else ()
        for row, first in zip(cosines, firsts, strict=True)
    ]


def builtin_words() -> list[str]:
    """Return the built-in words: everyday subjects and the names of ImageNet's classes."""
    names = imagenet_table("imagenet1k_clean_names")
    # Without a disambiguation such as "kite (bird of prey)". Names with a capital are breeds of
    # dogs and the like: they are so many and so specific that one is near anything. Long names
    # are descriptions.
    plain = (re.sub(r"\s*\(.*\)", "", name) for name in names if name.islower())
    classes = [name for name in plain if len(name.split()) <= MAX_WORDS_IN_CLASS]
    return _deduplicate([*_subjects(), *classes])


def _subjects() -> list[str]:
    return (
        (files("nmm.index.analysis.clustering") / "vocabulary.txt").read_text("utf-8").splitlines()
    )


def _deduplicate(words: Iterable[str]) -> list[str]:
    """Strip the words and drop empty ones and repetitions (case-insensitive), in order."""
    found: dict[str, str] = {}
    for word in map(str.strip, words):
        if word:
            found.setdefault(word.casefold(), word)
    return list(found.values())


def _embed_builtin_words(
    encoder: Encoder, words: Sequence[str], on_embed: Callable[[int], None]
) -> Floats:
    """Return the vectors of the built-in words, cached after the first time."""
    key = json.dumps([encoder.weights, encoder.model.dimension, Task.CLUSTERING.value, *words])
    name = f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"

    def compute() -> Floats:
        on_embed(len(words))
        return encoder.embed_texts(words, Task.CLUSTERING)

    shape = (len(words), encoder.model.dimension)
    return load_or_compute(cache_folder() / "vocabulary" / name, shape, compute)


def _distinctive_words(collection: FileCollection, groups: Sequence[Ints]) -> list[list[str]]:
    """Return the distinctive words of each cluster's files, in lower case."""
    texts = []
    for group in groups:
        read = [collection.files[file] for file in group[:FILES_PER_CLUSTER].tolist()]
        said = dict(
            content_texts(
                collection.catalog, list({file.content for file in read}), PASSAGES_PER_FILE
            )
        )
        texts.append([f"{_path_words(file.path)}\n{said.pop(file.content, '')}" for file in read])
    count = max(min(DISTINCTIVE_WORDS, MAX_DISTINCTIVE_WORDS // len(groups)), 1)
    return distinctive_words(texts, count)


def _path_words(path: str) -> str:
    """Return the names of a file and its folder as words."""
    pure = PurePath(path)
    return re.sub(r"[\W\d_]+", " ", f"{pure.parent.name} {pure.stem}")


def _centres(collection: FileCollection, groups: Sequence[Ints]) -> Floats:
    """Return each cluster's direction from the mean of all files, shape (clusters, dimension)."""
    import numpy as np

    kinds = [file.kind for file in collection.files]
    centres = np.empty((len(groups), collection.vectors.shape[1]), np.float32)
    vectors = collection.file_vectors
    centred = remove_modality_gap(vectors, kinds)
    for row, group in enumerate(groups):
        centres[row] = centred[group].mean(axis=0)
        # The centred mean of nearly all files has no direction. Use their own mean instead.
        if len(group) > len(vectors) / 2 and np.linalg.norm(centres[row]) < 0.05:
            centres[row] = vectors[group].mean(axis=0)
    normalize_rows(centres)
    return centres


def _assign_first_words(cosines: Floats) -> list[int | None]:
    """Assign the first word of each cluster: the nearest pairs first, each word once."""
    import numpy as np

    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : max(CANDIDATE_WORDS, len(cosines))]
    values = np.take_along_axis(cosines, nearest, axis=1)
    firsts: list[int | None] = [None] * len(cosines)
    taken: set[int] = set()
    for place in np.argsort(-values, axis=None, kind="stable").tolist():
        row, column = divmod(place, nearest.shape[1])
        word = int(nearest[row, column])
        if firsts[row] is None and word not in taken and np.isfinite(values[row, column]):
            firsts[row] = word
            taken.add(word)
    return firsts


def _select_diverse(cosines: Floats, first: int, vectors: Floats) -> list[int]:
    """Return the first word and further words by maximal marginal relevance."""
    import numpy as np

    chosen = [first]
    left = [
        int(word) for word in np.argsort(-cosines)[:CANDIDATE_WORDS] if np.isfinite(cosines[word])
    ]
    while len(chosen) < WORDS_PER_CLUSTER:
        left = [word for word in left if word not in chosen]
        if not left:
            break
        similarity = (vectors[left] @ vectors[chosen].T).max(axis=1)
        chosen.append(
            left[
                int(
                    (
                        RELEVANCE_WEIGHT * cosines[left] - (1 - RELEVANCE_WEIGHT) * similarity
                    ).argmax()
                )
            ]
        )
    return chosen
