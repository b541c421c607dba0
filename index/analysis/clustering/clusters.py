"""Groups of files that are alike, each with a name."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.analysis.clustering.naming import named
from nmm.index.analysis.modality_gap import closed
from nmm.index.common.tracing import span
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.analysis.clustering.kmeans import Groups
    from nmm.index.analysis.collection import Items

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

# Files that a group is shown by.
CENTRAL = 12
# Words that make a name.
IN_A_NAME = 2


class Method(str, enum.Enum):
    """How groups are found."""

    KMEANS = "kmeans"
    HDBSCAN = "hdbscan"


@dataclass(frozen=True)
class Cluster:
    """A group of files.

    Attributes:
        name: Another one than those of all other groups.
        words: Nearest to its centre, the best first; the name is made of them.
        files: Positions in `items.files`, the nearest to the centre first, shape (n,).
        central: The first of `files`, of different contents.
    """

    name: str
    words: tuple[str, ...]
    files: NDArray[np.int64]
    central: tuple[int, ...]


def cluster(
    items: Items,
    count: int | None = None,
    *,
    method: Method = Method.KMEANS,
    vocabulary: Sequence[str] | None = None,
    seed: int = 0,
    on_embed: Callable[[int], None] = lambda _: None,
) -> list[Cluster]:
    """The files in groups, the largest first.

    A file whose vector says nothing (zeros), and with HDBSCAN one that lies among no others, is in
    no group.

    Args:
        items: What is grouped.
        count: Of groups, of k-means; chosen if None. There are never more than different vectors.
        method: How they are found.
        vocabulary: Words to name them by; if None, those that nmm has, and those of the files.
        seed: The same one makes the same groups.
        on_embed: Told how many words are embedded, if those that nmm has have to be now.

    Raises:
        UsageError: A count was given, and the method is HDBSCAN; or the vocabulary is empty.
        ModelError: The model, which embeds the words, is not on this machine.
    """
    if method is Method.HDBSCAN and count is not None:
        raise UsageError(
            "HDBSCAN finds the number of groups itself.",
            code="hdbscan-with-count",
            hint="Leave out the number of groups, or choose k-means.",
        )
    if not items.files:
        return []
    import numpy as np

    # Of each content once, or a file of which there are many copies would draw a centre to it.
    there = items.vectors.any(axis=1)
    if not there.any():
        return []
    with span("images and texts brought together"):
        vectors = closed(items.vectors, items.kinds)
    labels = np.full(len(vectors), -1, np.int64)
    with span("groups found"):
        found = _divided(vectors[there], count, method, seed)
    labels[there] = found.labels
    groups = _ordered(items, vectors, labels, found.centres)
    with span("groups named"):
        words = named(items, groups, vocabulary, on_embed=on_embed)
    names = _names(words)
    return [
        Cluster(name, its, files, _central(items, files))
        for name, its, files in zip(names, words, groups, strict=True)
    ]


def _divided(vectors: Floats, count: int | None, method: Method, seed: int) -> Groups:
    if method is Method.HDBSCAN:
        from nmm.index.analysis.clustering import hdbscan

        return hdbscan.divide(vectors, seed=seed)
    from nmm.index.analysis.clustering import kmeans

    return kmeans.divide(vectors, count, seed=seed)


def _ordered(items: Items, vectors: Floats, labels: Ints, centres: Floats) -> list[Ints]:
    """Positions of the files of each group, the nearest to its centre first."""
    import numpy as np

    of_files = labels[items.rows]
    near = np.einsum("ij,ij->i", vectors, centres[labels])[items.rows] if len(centres) else labels
    # By group, then by nearness; equal ones in the order of their paths.
    order = np.lexsort((-near, of_files))
    order = order[np.searchsorted(of_files[order], 0) :]
    starts = np.flatnonzero(np.diff(of_files[order], prepend=-1))
    groups = np.split(order, starts[1:]) if len(order) else []
    return sorted(groups, key=len, reverse=True)


def _central(items: Items, files: Ints) -> tuple[int, ...]:
    contents: dict[int, int] = {}
    for file in files.tolist():
        contents.setdefault(int(items.rows[file]), file)
        if len(contents) == CENTRAL:
            break
    return tuple(contents.values())


def _names(words: Sequence[tuple[str, ...]]) -> list[str]:
    """A name for each group of its first words; without words, its number."""
    names = [", ".join(its[:IN_A_NAME]) for its in words]
    names = [name or f"group {number}" for number, name in enumerate(names, 1)]
    # A vocabulary of the user's may hold such a name itself.
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name.casefold()] += 1
        if seen[name.casefold()] > 1:
            names[place] = f"{name} ({seen[name.casefold()]})"
    return names
