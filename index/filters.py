"""Which files a search looks among: conditions that hold exactly, all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Orientation = Literal["landscape", "portrait", "square"]


@dataclass(frozen=True, slots=True)
class Place:
    """A circle on the earth: degrees north and east, and kilometres around."""

    latitude: float
    longitude: float
    kilometres: float


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on files; those that are None or empty leave all files in.

    Attributes:
        within: Patterns of GLOB form, of which a folder or the name of a file matches one.
        after, before: Local times in ISO 8601, ``YYYY-MM-DDTHH:MM:SS``: taken (EXIF), else
            modified, from the one on, and before the other.
        near: Where the picture was taken.
        camera: Part of the camera's make and model, in any case.
        min_width: Pixels.
        orientation: Of an image.
        larger: Bytes of the file, at least.
        ext: Suffixes of names, lower case, without the dot.
        has_text: Words were seen in the picture, or not.
    """

    within: tuple[str, ...] = ()
    after: str | None = None
    before: str | None = None
    near: Place | None = None
    camera: str | None = None
    min_width: int | None = None
    orientation: Orientation | None = None
    larger: int | None = None
    ext: tuple[str, ...] = ()
    has_text: bool | None = None


NO_FILTERS = Filters()
