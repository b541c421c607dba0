"""The values that the catalog holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["image", "text"]
KINDS: tuple[Kind, ...] = ("image", "text")


class Settings(NamedTuple):
    """What an index is made with; it never changes once there are vectors."""

    model: str
    dimension: int
    weights: str


@dataclass(frozen=True, slots=True)
class Root:
    """A folder, or a single file, that was given to be indexed."""

    id: int
    path: Path


@dataclass(frozen=True, slots=True)
class FileRow:
    """What the catalog knows of a file."""

    id: int
    size: int | None
    mtime_ns: int | None
    status: str
    content_id: int | None


class Hit(NamedTuple):
    """A chunk in a file: one place where a vector can be found.

    `line_start`, `line_end` and `text` are of a text; `width` and `height` of an image.
    `content`, `chunk` and `file` are ids. `page` and `time_ms` are those of its
    :class:`~nmm.index.media.base.Locator`.
    """

    path: str
    kind: Kind
    score: float
    line_start: int | None
    line_end: int | None
    text: str | None
    width: int | None
    height: int | None
    content: int = 0
    chunk: int = 0
    file: int = 0
    page: int | None = None
    time_ms: int | None = None


class Calibration(NamedTuple):
    """Turns the cosines of a kind into scores, see :mod:`nmm.index.calibration`."""

    median: float
    spread: float


def locate(root: str, path: str) -> str:
    """The absolute path of a file below a root; `path` is empty if the root is the file."""
    # Not os.path.join, which takes ten times as long: a search locates some thousand files.
    if not path:
        return root
    below = path if os.sep == "/" else path.replace("/", os.sep)
    return root + below if root.endswith(os.sep) else f"{root}{os.sep}{below}"


def relative_to(path: Path, root: Root) -> str:
    """A path as it stands in the catalog: relative to its root, empty for the root itself."""
    relative = path.relative_to(root.path).as_posix()
    return "" if relative == "." else relative
