"""Chooses which of several duplicates to keep, and explains why not the others.

The criteria are applied in order until one file is left. For images: most pixels, greatest
sharpness, format with the least loss, a capture date, largest file. For texts: most words. Age and
name decide last. An image is read only if another has as many pixels, and then as a thumbnail.

Sharpness is the variance of the Laplacian (Pech-Pacheco et al., 2000) divided by the variance of
the image, so that contrast does not count as sharpness. All copies are measured at one size, so
that the noise of single pixels counts little. The measure detects copies that are out of focus,
blurred by motion, or enlarged from less than the thumbnail. An edited copy may be a little larger
than its original; the older file is kept then. `bench/dupes.py` prints how often that is the
original.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.analysis.dupes.pairs import ALL_PASSAGES
from nmm.index.errors import MediaError
from nmm.index.media.image.decode import HEAD_BYTES, format_of
from nmm.index.search.near_duplicates import Words
from nmm.index.store.catalog.comparison_data import passages

if TYPE_CHECKING:
    from nmm.index.analysis.collection import FileCollection
    from nmm.index.analysis.dupes.disk_state import DiskFile

# The longer side of a thumbnail, in pixels.
THUMBNAIL_SIDE = 512
# A file ties with the best if it has this share of the pixels, sharpness or bytes of the best.
PIXEL_TOLERANCE, SHARPNESS_TOLERANCE, SIZE_TOLERANCE = 0.98, 0.5, 0.8
# Formats by loss. Phones take pictures in HEIF, WebP and AVIF are usually converted for the web,
# and GIF has 256 colours.
LOSSLESS = {"BMP", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP lossless"}
FORMAT_RANKS = {**dict.fromkeys(LOSSLESS, 0), "HEIF": 1, "JPEG": 2, "WEBP": 3, "AVIF": 3}
WORST_RANK = 4


class Criterion(NamedTuple):
    """A criterion that compares duplicates.

    Attributes:
        better: The reason for keeping the winner.
        worse: The reason for rejecting another file.
        value: Greater is better.
        tolerance: The share of the greatest value that counts as equal.
    """

    better: str
    worse: str
    value: Callable[[DiskFile], tuple[float, ...]]
    tolerance: float = 1.0


class KeeperSelector:
    """Chooses the file to keep. Values read from files are cached.

    Attributes:
        thumbnails: How many images were read.
    """

    def __init__(self, collection: FileCollection) -> None:
        self._catalog = collection.catalog
        self.thumbnails = 0
        self._word_count = cache(self._count_words)
        self._sharpness = cache(self._measure_sharpness)
        tie_breakers = [
            Criterion("the oldest", "newer", lambda file: (-file.mtime_ns,)),
            Criterion("the shortest name", "a longer name", _name_lengths),
            Criterion("the first by name", "a later name", lambda _: (0,)),
        ]
        self._images = [
            Criterion("the most pixels", "fewer pixels", _pixels, PIXEL_TOLERANCE),
            Criterion(
                "the sharpest",
                "less sharp",
                lambda file: (self._sharpness(file.item.content, file.paths[0]),),
                SHARPNESS_TOLERANCE,
            ),
            Criterion("the format that loses least", "a format that loses more", _format_rank),
            Criterion(
                "it says when it was taken",
                "it does not say when it was taken",
                lambda file: (file.item.taken_at is not None,),
            ),
            Criterion(
                "the largest file", "a smaller file", lambda file: (file.size,), SIZE_TOLERANCE
            ),
            *tie_breakers,
        ]
        self._texts = [
            Criterion(
                "the most words", "fewer words", lambda file: (self._word_count(file.item.content),)
            ),
            Criterion("the newest", "older", lambda file: (file.mtime_ns,)),
            *tie_breakers[1:],
        ]
        self._exact = tie_breakers

    def choose(self, files: Sequence[DiskFile]) -> tuple[DiskFile, str]:
        """Return the file to keep, and the reason."""
        remaining, reason = list(files), ""
        for criterion in self._criteria(remaining):
            remaining, before = self._select(remaining, criterion), remaining
            if len(remaining) < len(before):
                reason = criterion.better
            if len(remaining) == 1:
                break
        return min(remaining, key=lambda file: file.paths[0]), reason

    def explain_rejection(self, file: DiskFile, kept: DiskFile) -> str:
        """Return the criterion by which a file is worse than the kept one."""
        for criterion in self._criteria([file, kept]):
            if self._select([file, kept], criterion) == [kept]:
                return criterion.worse
        # The two tie; the choice was decided by a third file.
        return "no better"

    def _criteria(self, files: Sequence[DiskFile]) -> list[Criterion]:
        if len({file.item.content for file in files}) == 1:
            return self._exact
        return self._images if files[0].item.kind == "image" else self._texts

    def _select(self, files: list[DiskFile], criterion: Criterion) -> list[DiskFile]:
        values = [criterion.value(file) for file in files]
        best = max(values)
        minimum = (criterion.tolerance * best[0],) if criterion.tolerance < 1 else best
        return [file for file, value in zip(files, values, strict=True) if value >= minimum]

    def _count_words(self, content: int) -> int:
        return Words(passages(self._catalog, content, ALL_PASSAGES)).total

    def _measure_sharpness(self, content: int, path: str) -> float:
        del content  # the key of the cache
        self.thumbnails += 1
        return sharpness(Path(path))


def sharpness(path: Path) -> float:
    """Return the sharpness of an image, measured on a thumbnail; 0 if it is unreadable."""
    import numpy as np

    from nmm.index.media.image.thumbnail import thumbnail

    try:
        grey = np.asarray(thumbnail(path, THUMBNAIL_SIDE).convert("L"), np.float32)
    except MediaError:
        return 0.0
    if min(grey.shape) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    # The edges of a flat image are noise.
    return float((around - 4 * middle).var() / max(grey.var(), 1))


def _pixels(file: DiskFile) -> tuple[float, ...]:
    return ((file.item.width or 0) * (file.item.height or 0),)


def _format_rank(file: DiskFile) -> tuple[float, ...]:
    try:
        with Path(file.paths[0]).open("rb") as stream:
            format_name = format_of(stream.read(HEAD_BYTES))
    except OSError:
        return (-WORST_RANK,)
    return (-FORMAT_RANKS.get(format_name, WORST_RANK),)


def _name_lengths(file: DiskFile) -> tuple[float, ...]:
    path = PurePath(file.paths[0])
    return -len(path.name), -len(path.parts)
