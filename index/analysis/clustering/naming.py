"""Groups of files, named by the words that are nearest to their centres.

The words are those of a vocabulary: everyday subjects (`vocabulary.txt`), ImageNet's classes, and
what the files of each group say more than others do (:mod:`.tfidf`), in their
passages, captions and names. A user's own list takes the place of all of these. They are embedded
by the model of the index; what nmm brings, once for each model.

A single word lies elsewhere than a passage or a picture. So both sides are centred: a word is
near to a group if it differs from all words as the group does from all files.
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
from nmm.index.analysis.clustering.tfidf import telling_words
from nmm.index.analysis.modality_gap import closed
from nmm.index.common.array_cache import load_or_compute
from nmm.index.common.linalg import normalize_rows
from nmm.index.encoders.base import Task
from nmm.index.encoders.hub.cache_dirs import cache_folder
from nmm.index.errors import UsageError
from nmm.index.store.catalog.file_vectors import spoken

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.analysis.collection import Items
    from nmm.index.encoders.base import Encoder

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

# Words that a group has, at most, and those that are looked at for that, the nearest.
WORDS, NEAREST = 5, 40
# The files of a group whose words are read, the nearest to its centre, and the passages of each.
READ, PASSAGES = 48, 4
# Words of its own that a group is given to be named by, and all groups together.
OWN, OWN_IN_ALL = 12, 600
# Words in the name of a class that is used.
LONGEST = 3
# What a word's cosine is raised by if the files themselves say it more than others.
SAID = 0.1
# What that of a class of ImageNet is lowered by: of a subject and a kind of it that are as near,
# the subject says more.
SPECIAL = 0.05
# Of maximal marginal relevance (Carbonell and Goldstein, 1998): how much a word counts that is
# near to the group, beside one that says something new.
NEAR = 0.85


def named(
    items: Items,
    groups: Sequence[Ints],
    vocabulary: Sequence[str] | None = None,
    *,
    on_embed: Callable[[int], None] = lambda _: None,
) -> list[tuple[str, ...]]:
    """Words for each group of files, the best first; no two groups have the same first word.

    A group has no words if there are fewer words than groups.

    Args:
        items: The files.
        groups: Positions in `items.files`, those that tell the most first.
        vocabulary: The words; if None, those that nmm has and those of the files.
        on_embed: Told how many words of nmm's are embedded, if they have to be now.

    Raises:
        UsageError: The vocabulary is empty.
        ModelError: The model of the index is not on this machine, or has other weights; or the
            names of ImageNet's classes are not.
    """
    import numpy as np

    if not groups:
        return []
    if vocabulary is None:
        common = common_words()
        vectors = _common_vectors(items.encoder, common, on_embed)
        own = _own_words(items, groups)
    else:
        common = _each_once(vocabulary)
        if not common:
            raise UsageError("The vocabulary has no words.", hint="Write one a line.")
        vectors = items.encoder.embed_texts(common, Task.CLUSTERING)
        own = [[] for _ in groups]
    mean = vectors.mean(axis=0) if len(common) > 1 else 0
    known = {word.casefold(): place for place, word in enumerate(common)}
    more = _each_once(word for words in own for word in words if word not in known)
    if more:
        vectors = np.concatenate([vectors, items.encoder.embed_texts(more, Task.CLUSTERING)])
    words = [*common, *more]
    vectors = vectors - mean
    normalize_rows(vectors)
    centres = _centres(items, groups)
    cosines = centres @ vectors.T
    known |= {word: place for place, word in enumerate(more, len(common))}
    if vocabulary is None:
        subjects = set(_subjects())
        cosines[:, [place for place, word in enumerate(common) if word not in subjects]] -= SPECIAL
    # Those that no group but one says are for that one only.
    cosines[:, len(common) :] -= np.inf
    for row, its in enumerate(own):
        said = [known[word] for word in its]
        cosines[row, said] = centres[row] @ vectors[said].T + SAID
    first = _leads(cosines)
    return [
        tuple(words[word] for word in _different(row, lead, vectors)) if lead is not None else ()
        for row, lead in zip(cosines, first, strict=True)
    ]


def common_words() -> list[str]:
    """The words that nmm brings: everyday subjects, and the names of ImageNet's classes."""
    names = imagenet_table("imagenet1k_clean_names")
    # Without what tells two of a name apart, as in: kite (bird of prey). Those with a capital are
    # breeds of dogs and the like: so many and so special that one is near to anything. A long one
    # is a description.
    plain = (re.sub(r"\s*\(.*\)", "", name) for name in names if name.islower())
    classes = [name for name in plain if len(name.split()) <= LONGEST]
    return _each_once([*_subjects(), *classes])


def _subjects() -> list[str]:
    return (
        (files("nmm.index.analysis.clustering") / "vocabulary.txt").read_text("utf-8").splitlines()
    )


def _each_once(words: Iterable[str]) -> list[str]:
    """Words without space around them, in their order, none twice in any case."""
    found: dict[str, str] = {}
    for word in map(str.strip, words):
        if word:
            found.setdefault(word.casefold(), word)
    return list(found.values())


def _common_vectors(
    encoder: Encoder, words: Sequence[str], on_embed: Callable[[int], None]
) -> Floats:
    """The vectors of the words that nmm brings, kept from the first time on."""
    seen = json.dumps([encoder.weights, encoder.model.dimension, Task.CLUSTERING.value, *words])
    name = f"{hashlib.sha256(seen.encode()).hexdigest()[:32]}.npy"

    def make() -> Floats:
        on_embed(len(words))
        return encoder.embed_texts(words, Task.CLUSTERING)

    shape = (len(words), encoder.model.dimension)
    return load_or_compute(cache_folder() / "vocabulary" / name, shape, make)


def _own_words(items: Items, groups: Sequence[Ints]) -> list[list[str]]:
    """What the files of each group say more than those of others, in small letters."""
    texts = []
    for group in groups:
        read = [items.files[file] for file in group[:READ].tolist()]
        said = dict(spoken(items.catalog, list({file.content for file in read}), PASSAGES))
        texts.append([f"{_name(file.path)}\n{said.pop(file.content, '')}" for file in read])
    count = max(min(OWN, OWN_IN_ALL // len(groups)), 1)
    return telling_words(texts, count)


def _name(path: str) -> str:
    """The name of a file and its folder, as words."""
    pure = PurePath(path)
    return re.sub(r"[\W\d_]+", " ", f"{pure.parent.name} {pure.stem}")


def _centres(items: Items, groups: Sequence[Ints]) -> Floats:
    """The direction in which each group lies from all files, shape (groups, dimension)."""
    import numpy as np

    kinds = [file.kind for file in items.files]
    centres = np.empty((len(groups), items.vectors.shape[1]), np.float32)
    vectors = items.file_vectors
    moved = closed(vectors, kinds)
    for row, group in enumerate(groups):
        centres[row] = moved[group].mean(axis=0)
        # Of all files, or as good as all, the mean is nowhere: then it is as they lie.
        if len(group) > len(vectors) / 2 and np.linalg.norm(centres[row]) < 0.05:
            centres[row] = vectors[group].mean(axis=0)
    normalize_rows(centres)
    return centres


def _leads(cosines: Floats) -> list[int | None]:
    """The first word of each group: of all pairs the nearest, then of those that are left."""
    import numpy as np

    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : max(NEAREST, len(cosines))]
    values = np.take_along_axis(cosines, nearest, axis=1)
    leads: list[int | None] = [None] * len(cosines)
    taken: set[int] = set()
    for place in np.argsort(-values, axis=None, kind="stable").tolist():
        row, column = divmod(place, nearest.shape[1])
        word = int(nearest[row, column])
        if leads[row] is None and word not in taken and np.isfinite(values[row, column]):
            leads[row] = word
            taken.add(word)
    return leads


def _different(cosines: Floats, lead: int, vectors: Floats) -> list[int]:
    """The first word of a group and others that are near to it, and not to each other."""
    import numpy as np

    chosen = [lead]
    left = [int(word) for word in np.argsort(-cosines)[:NEAREST] if np.isfinite(cosines[word])]
    while len(chosen) < WORDS:
        left = [word for word in left if word not in chosen]
        if not left:
            break
        like = (vectors[left] @ vectors[chosen].T).max(axis=1)
        chosen.append(left[int((NEAR * cosines[left] - (1 - NEAR) * like).argmax())])
    return chosen
