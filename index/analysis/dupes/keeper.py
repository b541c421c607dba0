"""Which of some copies to keep, and why not the others.

Each criterion leaves some, until one is left. Of images: the most pixels; the sharpest; the format
that loses least; what says when it was taken; the most bytes. Of texts: the most words. Then age
and name decide. A picture is read only if others have as many pixels, and then as a thumbnail.

Sharpness is the variance of the Laplacian (Pech-Pacheco and others, 2000) by that of the image, so
that more contrast is not taken for it, of all copies at one size, so that noise of single pixels
counts little. It tells what is out of focus, moved or scaled up from less than the thumbnail. An
edited copy may be a little larger than its original: then the older one is kept. `bench/dupes.py`
prints how often that is the original.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.analysis.dupes.pairs import ALL_PASSAGES
from nmm.index.errors import MediaError
from nmm.index.media.image.decode import HEAD_BYTES, format_of
from nmm.index.search.near_duplicates import WordSet
from nmm.index.store.catalog.comparison_data import passages

if TYPE_CHECKING:
    from nmm.index.analysis.collection import Items
    from nmm.index.analysis.dupes.disk_state import Unit

# The longer side of a thumbnail, in pixels.
THUMBNAIL = 512
# What has at least this part of the most pixels, of the greatest sharpness and of the most bytes is
# as good.
PIXELS, SHARPNESS, FILE = 0.98, 0.5, 0.8
# Formats by what they lose; HEIF is what telephones take pictures in, WebP and AVIF are made of
# others for the web, and GIF has 256 colours.
LOSSLESS = {"BMP", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP lossless"}
RANKS = {**dict.fromkeys(LOSSLESS, 0), "HEIF": 1, "JPEG": 2, "WEBP": 3, "AVIF": 3}
LAST_RANK = 4


class Criterion(NamedTuple):
    """How copies are told apart.

    Attributes:
        better: Of what is kept for it.
        worse: Of what is not.
        value: The greater the better.
        slack: The part of the greatest that is as good.
    """

    better: str
    worse: str
    value: Callable[[Unit], tuple[float, ...]]
    slack: float = 1.0


class Judge:
    """Chooses among files; what it has read of one it keeps.

    Attributes:
        thumbnails: How many images were read.
    """

    def __init__(self, items: Items) -> None:
        self._catalog = items.catalog
        self.thumbnails = 0
        self._words = cache(self._count_words)
        self._sharpness = cache(self._measure)
        last = [
            Criterion("the oldest", "newer", lambda unit: (-unit.mtime_ns,)),
            Criterion("the shortest name", "a longer name", _by_name),
            Criterion("the first by name", "a later name", lambda _: (0,)),
        ]
        self._images = [
            Criterion("the most pixels", "fewer pixels", _pixels, PIXELS),
            Criterion(
                "the sharpest",
                "less sharp",
                lambda unit: (self._sharpness(unit.item.content, unit.paths[0]),),
                SHARPNESS,
            ),
            Criterion("the format that loses least", "a format that loses more", _format),
            Criterion(
                "it says when it was taken",
                "it does not say when it was taken",
                lambda unit: (unit.item.taken_at is not None,),
            ),
            Criterion("the largest file", "a smaller file", lambda unit: (unit.size,), FILE),
            *last,
        ]
        self._texts = [
            Criterion("the most words", "fewer words", lambda u: (self._words(u.item.content),)),
            Criterion("the newest", "older", lambda unit: (unit.mtime_ns,)),
            *last[1:],
        ]
        self._exact = last

    def best(self, units: Sequence[Unit]) -> tuple[Unit, str]:
        """The one to keep, and why."""
        left, why = list(units), ""
        for criterion in self._criteria(left):
            left, some = self._left(left, criterion), left
            if len(left) < len(some):
                why = criterion.better
            if len(left) == 1:
                break
        return min(left, key=lambda unit: unit.paths[0]), why

    def why_not(self, unit: Unit, kept: Unit) -> str:
        """By what criterion a file is no better than one that is kept."""
        for criterion in self._criteria([unit, kept]):
            if self._left([unit, kept], criterion) == [kept]:
                return criterion.worse
        # It would be as good, but for others that both were compared with.
        return "no better"

    def _criteria(self, units: Sequence[Unit]) -> list[Criterion]:
        if len({unit.item.content for unit in units}) == 1:
            return self._exact
        return self._images if units[0].item.kind == "image" else self._texts

    def _left(self, units: list[Unit], criterion: Criterion) -> list[Unit]:
        values = [criterion.value(unit) for unit in units]
        most = max(values)
        least = (criterion.slack * most[0],) if criterion.slack < 1 else most
        return [unit for unit, value in zip(units, values, strict=True) if value >= least]

    def _count_words(self, content: int) -> int:
        return WordSet(passages(self._catalog, content, ALL_PASSAGES)).total

    def _measure(self, content: int, path: str) -> float:
        del content  # what it is kept by
        self.thumbnails += 1
        return sharpness(Path(path))


def sharpness(path: Path) -> float:
    """The variance of the Laplacian of an image, as a thumbnail, by its own; 0 if unreadable."""
    import numpy as np

    from nmm.index.media.image.thumbnail import thumbnail

    try:
        grey = np.asarray(thumbnail(path, THUMBNAIL).convert("L"), np.float32)
    except MediaError:
        return 0.0
    if min(grey.shape) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    # What is of one brightness has edges of noise alone.
    return float((around - 4 * middle).var() / max(grey.var(), 1))


def _pixels(unit: Unit) -> tuple[float, ...]:
    return ((unit.item.width or 0) * (unit.item.height or 0),)


def _format(unit: Unit) -> tuple[float, ...]:
    try:
        with Path(unit.paths[0]).open("rb") as file:
            form = format_of(file.read(HEAD_BYTES))
    except OSError:
        return (-LAST_RANK,)
    return (-RANKS.get(form, LAST_RANK),)


def _by_name(unit: Unit) -> tuple[float, ...]:
    path = PurePath(unit.paths[0])
    return -len(path.name), -len(path.parts)
