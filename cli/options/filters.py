"""The options that say which files to look among: read, and told when they leave none."""

from __future__ import annotations

import glob
import math
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.cli.console.text import printable, valid
from nmm.cli.options.dates import parse_date
from nmm.index.analysis.classification.labels import normalize_label
from nmm.index.errors import UsageError
from nmm.index.search.filters import Filters, Orientation, Place

if TYPE_CHECKING:
    from nmm.index.search.filters import Emptied

# Of images only; a text passes none of them.
OF_IMAGES = {"near", "camera", "min_width", "orientation", "has_text"}
OPTIONS = {"within": "--in"}
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BINARY = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?)(i?)b?", re.IGNORECASE)


@dataclass(frozen=True)
class FilterOptions:
    """The options as they were typed, by the names of :class:`nmm.index.search.filters.Filters`."""

    within: Sequence[str] | None = None
    after: str | None = None
    before: str | None = None
    near: str | None = None
    camera: str | None = None
    min_width: int | None = None
    orientation: Orientation | None = None
    larger: str | None = None
    ext: Sequence[str] | None = None
    has_text: bool | None = None
    tag: Sequence[str] | None = None

    def read(self) -> Filters:
        """What they say.

        Raises:
            UsageError: One of them makes no sense.
        """
        return Filters(
            within=tuple(map(parse_within, self.within or ())),
            after=None if self.after is None else parse_date(self.after),
            before=None if self.before is None else parse_date(self.before),
            near=None if self.near is None else parse_place(self.near),
            camera=None if self.camera is None else _not_empty("--camera", valid(self.camera)),
            min_width=self.min_width,
            orientation=self.orientation,
            larger=None if self.larger is None else parse_size(self.larger),
            ext=tuple(part for each in self.ext or () for part in parse_suffixes(each)),
            has_text=self.has_text,
            tag=tuple(parse_label("--tag", each) for each in self.tag or ()),
        )


def parse_within(text: str) -> str:
    """A pattern of :mod:`.path_globs`: what is of this machine is put in its place.

    ``~``, a leading ``.`` or ``..`` and links on the way are followed; the index has none of them.

    Raises:
        UsageError: It is empty.
    """
    pattern = os.path.expanduser(_not_empty("--in", valid(text)))  # noqa: PTH111 - a pattern
    first = re.split(r"[\\/]" if os.sep == "\\" else "/", pattern, maxsplit=1)[0]
    if not (first in {".", ".."} or Path(pattern).is_absolute()):
        return pattern
    parts = Path(pattern).parts
    # What is there is no wildcard, whatever is in its name.
    ends = range(len(parts), 0, -1)
    there = next((n for n in ends if os.path.exists(Path(*parts[:n]))), 0)  # noqa: PTH110 - never raises
    fixed, rest = Path(*parts[:there]), "/".join(parts[there:])
    folder = glob.escape(str(fixed.resolve()))
    end = "/" if text.endswith(("/", os.sep)) else ""
    return (folder.rstrip("/" + os.sep) + "/" + rest).rstrip("/") + end or "/"


def parse_size(text: str) -> int:
    """Bytes: 500k and 2MB by thousands, 1.5GiB by 1024.

    Raises:
        UsageError: It is no size.
    """
    matched = _SIZE.fullmatch(text.strip())
    if not matched or (matched[3] and not matched[2]):
        raise UsageError(
            f"{text!r} is not a size.", hint="Write bytes, or a unit: 500k, 2MB, 1.5GiB."
        )
    number, unit, binary = Decimal(matched[1]), matched[2].lower(), bool(matched[3])
    return math.ceil(number * (BINARY if binary else UNITS)[unit])


def parse_place(text: str) -> Place:
    """Degrees north and east, below 0 for south and west, and kilometres around.

    Raises:
        UsageError: It is no place.
    """
    hint = "Write degrees north, degrees east and kilometres: --near 48.2,16.37,5"
    parts = re.split(r"\s*,\s*|\s+", re.sub(r"(?i)\s*km\s*$", "", text.strip()))
    try:
        latitude, longitude, kilometres = map(float, parts)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a place.", hint=hint) from error
    if not abs(latitude) <= 90:
        why = f"A latitude is between -90 and 90, and not {latitude:g}."
    elif not abs(longitude) <= 180:
        why = f"A longitude is between -180 and 180, and not {longitude:g}."
    elif not 0 < kilometres < math.inf:
        why = f"It takes a number of kilometres above 0, and not {kilometres:g}."
    else:
        return Place(latitude, longitude, kilometres)
    raise UsageError(f"{text!r} is not a place.", why=why, hint=hint)


def parse_suffixes(text: str) -> list[str]:
    """Suffixes of names, one or some between commas, with a dot or without.

    Raises:
        UsageError: There is none, or it holds more than a suffix does.
    """
    found = [part.strip().removeprefix("*").lstrip(".").lower() for part in valid(text).split(",")]
    if not all(found) or any(re.search(r"[/\\*?]", part) for part in found):
        raise UsageError(
            f"{text!r} is not the end of a name.", hint="Write it as in --ext jpg or --ext jpg,png."
        )
    return found


def parse_label(option: str, text: str) -> str:
    """The name of a label, in the one form that Unicode has for it (NFC).

    Raises:
        UsageError: It is empty.
    """
    return normalize_label(_not_empty(option, valid(text)))


def tell_emptied(
    emptied: Sequence[Emptied], typed: FilterOptions, kinds: Sequence[str]
) -> Iterator[str]:
    """Lines that say which filters left nothing, and what to type next.

    Args:
        emptied: What the engine says.
        typed: The options.
        kinds: What was looked among.
    """
    one, many = (kinds[0], f"{kinds[0]}s") if len(kinds) == 1 else ("file", "files")
    for each in emptied:
        options = [_option(name, getattr(typed, name)) for name in each.filters]
        *first, last = options
        noun = many if each.others != 1 else one
        if first:
            together = " and ".join([", ".join(first), last])
            yield f"No {one} passes {together} together ({each.others:,} {noun} without {last})."
        else:
            yield f"No {one} passes {last} ({each.others:,} {noun} without it)."
        yield _hint(each, kinds)


def _hint(emptied: Emptied, kinds: Sequence[str]) -> str:
    """What to type next, or what there is to be asked for."""
    name, there = emptied.filters[-1], printable(", ".join(emptied.there))
    if name in OF_IMAGES and "image" not in kinds:
        return "Only images can pass it: leave out --type."
    if emptied.unread and name == "has_text":
        return f"Look for words in the images ({emptied.unread:,} left) with: nmm index --ocr"
    if emptied.unread:
        return (
            f"An older nmm did not read that of the images; read it ({emptied.unread:,} left) "
            "with: nmm index"
        )
    hints = {
        "camera": f"Cameras in the index: {there}." if there else "No image names its camera.",
        "near": f"Images that say where they were taken: {emptied.located:,}.",
        "after": f"The oldest and the newest are of: {there}.",
        "before": f"The oldest and the newest are of: {there}.",
        "tag": f"Tags in the index: {there}."
        if there
        else "Nothing has a tag yet; give some with: nmm classify --labels … --write-tags",
        "within": "See the folders of the index with: nmm roots",
    }
    return hints.get(name, "Leave it out, or change it.")


def _option(name: str, typed: object) -> str:
    """An option as it was typed, to be read by a person."""
    if name == "has_text":
        return "--has-text" if typed else "--no-text"
    option = OPTIONS.get(name, f"--{name.replace('_', '-')}")
    values = typed if isinstance(typed, list | tuple) else [typed]
    return " ".join(f"{option} {printable(shlex.quote(str(value)))}" for value in values)


def _not_empty(option: str, text: str) -> str:
    if not text.strip():
        raise UsageError(f"{option} is empty.", hint="Leave it out, or say what it is to match.")
    return text
