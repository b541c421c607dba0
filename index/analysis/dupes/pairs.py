"""Which contents of an index are nearly the same, or of one burst.

Images are nearly the same in two ways. Their hashes differ by few bits, in some quarter turn, and
brightness and colours agree (:mod:`.prints`): saved again, resized, turned, recoloured. Or their
vectors are near, they have different sizes, and one fits in the other (:mod:`.register`): cropped,
straightened, framed. In neither case do they say that they were taken at different times.

A burst was taken by one camera, each picture within seconds of the one before, and their vectors
are near to each other. Texts are nearly the same if vectors and words are
(:mod:`.near_duplicates`).

`bench/dupes.py` prints what each rule finds and what it takes for a copy that is none.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from nmm.index.analysis.dupes.candidates import by_hash, by_vector
from nmm.index.analysis.dupes.crop_match import apart_registered
from nmm.index.analysis.dupes.image_match import colours_apart, hashes, is_one_picture, unpack
from nmm.index.common.tracing import span
from nmm.index.search.near_duplicates import (
    WordSet,
    is_near_duplicate_text,
    taken_at_different_times,
)
from nmm.index.store.catalog.comparison_data import looks, passages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.analysis.collection import Items
    from nmm.index.store.catalog.comparison_data import Look
    from nmm.index.store.catalog.file_vectors import Item

    Floats = NDArray[np.float32]

# By how much brightness may be apart where one fits in the other, and colours, which move with it.
REGISTERED, REGISTERED_COLOURS = 0.06, 6.0
# Hashes of one that fits in the other differ by no more than this: for speed.
REGISTERED_BITS = 24
# Pictures of one burst that each is compared with, at most.
LONGEST_BURST = 200


class Match(str, Enum):
    """How two files are alike."""

    EXACT = "exact"
    NEAR = "near"
    BURST = "burst"


@dataclass(frozen=True)
class Thresholds:
    """What is alike. `bench/dupes.py` prints what that finds, on pictures that it was chosen with.

    Attributes:
        bits: Of 64, that the hashes of two images may differ by.
        cosine: Of two images of which one may be a part, or of two texts, at least.
        seconds: Between two pictures of a burst, at most.
        burst: The cosine of two pictures of a burst, at least.
    """

    bits: int = 10
    cosine: float = 0.9
    seconds: float = 2.0
    burst: float = 0.8


Links = dict[tuple[int, int], Match]
# Of a text all counts: what could be removed must not say more than what is kept.
ALL_PASSAGES = 1 << 31


def near_images(
    items: Items, contents: Sequence[Item], vectors: Floats, thresholds: Thresholds
) -> Links:
    """Pairs of images that are nearly the same, by their places among the contents."""
    import numpy as np

    known = looks(items.catalog, [item.content for item in contents])
    seen = [known[item.content] for item in contents]
    prints = unpack([look.fingerprint for look in seen])
    found: Links = {}

    def link(ones: NDArray[np.int64], others: NDArray[np.int64]) -> None:
        for one, other in zip(ones.tolist(), others.tolist(), strict=True):
            if not taken_at_different_times(seen[one], seen[other]):
                found[one, other] = Match.NEAR

    places = np.flatnonzero(prints.known)
    with span("images compared by hash"):
        turned = hashes(prints.grey)
        for block in by_hash(turned[places], thresholds.bits):
            ones, others = places[block.ones], places[block.others]
            alike = is_one_picture(prints, ones, others, block.turns)
            link(ones[alike], others[alike])
    with span("images compared by vector"):
        proposed = by_vector(vectors[places], thresholds.cosine)
        ones, others = places[proposed.ones], places[proposed.others]
        sizes = np.array([(item.width or 0, item.height or 0) for item in contents]).reshape(-1, 2)
        differ = np.unpackbits(turned[ones, 0] ^ turned[others, 0], axis=1).sum(axis=1)
        likely = (sizes[ones] != sizes[others]).any(axis=1) & (differ <= REGISTERED_BITS)
        likely &= np.array(
            [pair not in found for pair in zip(ones.tolist(), others.tolist(), strict=True)], bool
        )
        ones, others = ones[likely], others[likely]
        # The part has fewer pixels, as a rule.
        is_part = sizes[ones].prod(axis=1) < sizes[others].prod(axis=1)
        wholes, parts = np.where(is_part, others, ones), np.where(is_part, ones, others)
        grey, colours = prints.grey, prints.colours
        laid = apart_registered(grey[wholes].astype(np.float32), grey[parts].astype(np.float32))
        fits = laid <= REGISTERED
        fits &= colours_apart(colours[ones], colours[others]) <= REGISTERED_COLOURS
        link(ones[fits], others[fits])
    return found


def near_texts(
    items: Items, contents: Sequence[Item], vectors: Floats, thresholds: Thresholds
) -> Links:
    """Pairs of texts that are nearly the same, by their places among the contents."""
    found: Links = {}
    words: dict[int, WordSet] = {}

    def words_of(place: int) -> WordSet:
        if place not in words:
            words[place] = WordSet(passages(items.catalog, contents[place].content, ALL_PASSAGES))
        return words[place]

    with span("texts compared"):
        proposed = by_vector(vectors, thresholds.cosine)
        for one, other in zip(proposed.ones.tolist(), proposed.others.tolist(), strict=True):
            if is_near_duplicate_text(words_of(one), words_of(other)):
                found[one, other] = Match.NEAR
    return found


def bursts(
    items: Items, contents: Sequence[Item], vectors: Floats, thresholds: Thresholds
) -> Links:
    """Pairs of pictures of one burst, by their places among the contents."""
    dated = [place for place, item in enumerate(contents) if item.taken_at]
    known = looks(items.catalog, [contents[place].content for place in dated])
    found: Links = {}
    with span("bursts"):
        for run in runs([(place, known[contents[place].content]) for place in dated], thresholds):
            for at, one in enumerate(run):
                for other in run[at + 1 : at + LONGEST_BURST]:
                    if float(vectors[one] @ vectors[other]) >= thresholds.burst:
                        found[min(one, other), max(one, other)] = Match.BURST
    return found


def runs(seen: Sequence[tuple[int, Look]], thresholds: Thresholds) -> Iterator[list[int]]:
    """Places of pictures by one camera, each taken within seconds of the one before."""
    by_camera: dict[str | None, list[tuple[float, int]]] = defaultdict(list)
    for place, look in seen:
        # A camera's clock counts, not where on the Earth it was.
        taken = datetime.fromisoformat(look.taken_at or "").replace(tzinfo=None)
        seconds = (taken - datetime(1970, 1, 1)).total_seconds()
        by_camera[look.camera].append((seconds, place))
    for pictures in by_camera.values():
        run: list[int] = []
        last = 0.0
        for seconds, place in sorted(pictures):
            if run and seconds - last > thresholds.seconds:
                yield run
                run = []
            run.append(place)
            last = seconds
        yield run
