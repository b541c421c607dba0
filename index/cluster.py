"""Groups of files that are alike, each with a name."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.items import Items


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
        central: The first of `files` that are of different contents.
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
) -> list[Cluster]:
    """The files in groups, the largest first.

    A file whose vector says nothing (zeros), and with HDBSCAN one that lies among no others, is in
    no group.

    Args:
        items: What is grouped.
        count: Of groups, of k-means; chosen if None. There are never more than contents.
        method: How they are found.
        vocabulary: Words to name them by; if None, those that nmm has, and those of the files.
        seed: The same one makes the same groups.

    Raises:
        UsageError: A count was given, and the method is HDBSCAN.
        ModelError: The model, which embeds the words, is not on this machine.
    """
    raise NotImplementedError
