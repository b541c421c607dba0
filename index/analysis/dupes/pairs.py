"""Finds pairs of near-duplicate contents, and pairs of images of one burst.

Two images are near-duplicates in either of two cases. Either their perceptual hashes differ by few
bits in some rotation, and brightness and colours agree (:mod:`.image_match`): re-saved, resized,
rotated, recoloured. Or their vectors are near, their sizes differ, and one fits into the other
(:mod:`.crop_match`): cropped, straightened, framed. Images with different capture times are never
near-duplicates.

The images of a burst come from one camera, each taken within seconds of the one before, and their
vectors are near. Two texts are near-duplicates if their vectors and words are similar
(:mod:`.near_duplicates`).

`bench/dupes.py` prints how many copies each rule finds, and its false positives.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from nmm.index.analysis.dupes.candidates import find_by_hash, find_by_vector
from nmm.index.analysis.dupes.crop_match import registered_distance
from nmm.index.analysis.dupes.image_match import (
    colour_distance,
    is_same_picture,
    perceptual_hashes,
    unpack_fingerprints,
)
from nmm.index.common.tracing import span
from nmm.index.search.near_duplicates import (
    WordSet,
    is_near_duplicate_text,
    taken_at_different_times,
)
from nmm.index.store.catalog.comparison_data import appearances, passages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.analysis.collection import FileCollection
    from nmm.index.store.catalog.comparison_data import Appearance
    from nmm.index.store.catalog.file_vectors import Item

    Floats = NDArray[np.float32]

# The maximum distance of a crop from its whole, in brightness and in colours, which shift with it.
MAX_CROP_DISTANCE, MAX_CROP_COLOUR_DISTANCE = 0.06, 6.0
# The maximum Hamming distance of a crop; it saves registrations.
MAX_CROP_BITS = 24
# Each image of a burst is compared with fewer than this many following ones.
BURST_WINDOW = 200


class MatchKind(str, Enum):
    """How two files match."""

    EXACT = "exact"
    NEAR = "near"
    BURST = "burst"


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of similarity.

    `bench/dupes.py` prints their effect on the images that they were chosen with.

    Attributes:
        bits: The maximum Hamming distance of the 64-bit hashes of two images.
        cosine: The minimum cosine of an image and a crop of it, or of two texts.
        seconds: The maximum time between two images of a burst.
        burst: The minimum cosine of two images of a burst.
    """

    bits: int = 10
    cosine: float = 0.9
    seconds: float = 2.0
    burst: float = 0.8


MatchedPairs = dict[tuple[int, int], MatchKind]
# All of a text counts: a redundant text must not say more than the kept one.
ALL_PASSAGES = 1 << 31


def find_near_images(
    collection: FileCollection, contents: Sequence[Item], vectors: Floats, thresholds: Thresholds
) -> MatchedPairs:
    """Return pairs of near-duplicate images, as positions in `contents`."""
    import numpy as np

    known = appearances(collection.catalog, [item.content for item in contents])
    seen = [known[item.content] for item in contents]
    fingerprints = unpack_fingerprints([look.fingerprint for look in seen])
    found: MatchedPairs = {}

    def link(firsts: NDArray[np.int64], seconds: NDArray[np.int64]) -> None:
        for one, other in zip(firsts.tolist(), seconds.tolist(), strict=True):
            if not taken_at_different_times(seen[one], seen[other]):
                found[one, other] = MatchKind.NEAR

    known_positions = np.flatnonzero(fingerprints.known)
    with span("images compared by hash"):
        rotated_hashes = perceptual_hashes(fingerprints.grey)
        for block in find_by_hash(rotated_hashes[known_positions], thresholds.bits):
            firsts, seconds = known_positions[block.firsts], known_positions[block.seconds]
            matching = is_same_picture(fingerprints, firsts, seconds, block.rotations)
            link(firsts[matching], seconds[matching])
    with span("images compared by vector"):
        candidates = find_by_vector(vectors[known_positions], thresholds.cosine)
        firsts, seconds = known_positions[candidates.firsts], known_positions[candidates.seconds]
        sizes = np.array([(item.width or 0, item.height or 0) for item in contents]).reshape(-1, 2)
        hamming = np.unpackbits(rotated_hashes[firsts, 0] ^ rotated_hashes[seconds, 0], axis=1).sum(
            axis=1
        )
        likely = (sizes[firsts] != sizes[seconds]).any(axis=1) & (hamming <= MAX_CROP_BITS)
        likely &= np.array(
            [pair not in found for pair in zip(firsts.tolist(), seconds.tolist(), strict=True)],
            bool,
        )
        firsts, seconds = firsts[likely], seconds[likely]
        # The crop usually has fewer pixels.
        is_part = sizes[firsts].prod(axis=1) < sizes[seconds].prod(axis=1)
        wholes, parts = np.where(is_part, seconds, firsts), np.where(is_part, firsts, seconds)
        grey, colours = fingerprints.grey, fingerprints.colours
        distances = registered_distance(
            grey[wholes].astype(np.float32), grey[parts].astype(np.float32)
        )
        fits = distances <= MAX_CROP_DISTANCE
        fits &= colour_distance(colours[firsts], colours[seconds]) <= MAX_CROP_COLOUR_DISTANCE
        link(firsts[fits], seconds[fits])
    return found


def find_near_texts(
    collection: FileCollection, contents: Sequence[Item], vectors: Floats, thresholds: Thresholds
) -> MatchedPairs:
    """Return pairs of near-duplicate texts, as positions in `contents`."""
    found: MatchedPairs = {}
    words: dict[int, WordSet] = {}

    def words_of(position: int) -> WordSet:
        if position not in words:
            words[position] = WordSet(
                passages(collection.catalog, contents[position].content, ALL_PASSAGES)
            )
        return words[position]

    with span("texts compared"):
        candidates = find_by_vector(vectors, thresholds.cosine)
        for one, other in zip(candidates.firsts.tolist(), candidates.seconds.tolist(), strict=True):
            if is_near_duplicate_text(words_of(one), words_of(other)):
                found[one, other] = MatchKind.NEAR
    return found


def find_bursts(
    collection: FileCollection, contents: Sequence[Item], vectors: Floats, thresholds: Thresholds
) -> MatchedPairs:
    """Return pairs of images of one burst, as positions in `contents`."""
    dated = [position for position, item in enumerate(contents) if item.taken_at]
    known = appearances(collection.catalog, [contents[position].content for position in dated])
    found: MatchedPairs = {}
    with span("bursts"):
        for run in split_into_runs(
            [(position, known[contents[position].content]) for position in dated], thresholds
        ):
            for at, one in enumerate(run):
                for other in run[at + 1 : at + BURST_WINDOW]:
                    if float(vectors[one] @ vectors[other]) >= thresholds.burst:
                        found[min(one, other), max(one, other)] = MatchKind.BURST
    return found


def split_into_runs(
    seen: Sequence[tuple[int, Appearance]], thresholds: Thresholds
) -> Iterator[list[int]]:
    """Yield positions of images of one camera, each taken within seconds of the one before."""
    by_camera: dict[str | None, list[tuple[float, int]]] = defaultdict(list)
    for position, look in seen:
        # The camera's local time counts, without its time zone.
        taken = datetime.fromisoformat(look.taken_at or "").replace(tzinfo=None)
        seconds = (taken - datetime(1970, 1, 1)).total_seconds()
        by_camera[look.camera].append((seconds, position))
    for images in by_camera.values():
        run: list[int] = []
        last = 0.0
        for seconds, position in sorted(images):
            if run and seconds - last > thresholds.seconds:
                yield run
                run = []
            run.append(position)
            last = seconds
        yield run
