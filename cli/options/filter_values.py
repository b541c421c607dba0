"""Parse the values of filter options."""

from __future__ import annotations

import glob
import math
import os
import re
from decimal import Decimal
from pathlib import Path

from nmm.cli.console.text import valid
from nmm.index.analysis.classification.labels import normalize_label
from nmm.index.errors import UsageError
from nmm.index.search.filters import GeoCircle

DECIMAL_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BINARY_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?)(i?)b?", re.IGNORECASE)


def parse_path_glob(text: str) -> str:
    """Return a pattern for :mod:`nmm.index.store.catalog.path_globs` with resolved paths.

    ``~``, a leading ``.`` or ``..`` and links are resolved, because the index has none of them.

    Raises:
        UsageError: It is empty.
    """
    pattern = os.path.expanduser(not_empty("--in", valid(text)))  # noqa: PTH111 - a pattern
    first = re.split(r"[\\/]" if os.sep == "\\" else "/", pattern, maxsplit=1)[0]
    if not (first in {".", ".."} or Path(pattern).is_absolute()):
        return pattern
    parts = Path(pattern).parts
    # A part that exists is not a wildcard, whatever its name contains.
    ends = range(len(parts), 0, -1)
    there = next((n for n in ends if os.path.exists(Path(*parts[:n]))), 0)  # noqa: PTH110 - never raises
    fixed, rest = Path(*parts[:there]), "/".join(parts[there:])
    folder = glob.escape(str(fixed.resolve()))
    end = "/" if text.endswith(("/", os.sep)) else ""
    return (folder.rstrip("/" + os.sep) + "/" + rest).rstrip("/") + end or "/"


def parse_size(text: str) -> int:
    """Return bytes: 500k and 2MB are powers of 1000, 1.5GiB of 1024.

    Raises:
        UsageError: It is not a size.
    """
    matched = _SIZE.fullmatch(text.strip())
    if not matched or (matched[3] and not matched[2]):
        raise UsageError(
            f"{text!r} is not a size.", hint="Write bytes, or a unit: 500k, 2MB, 1.5GiB."
        )
    number, unit, binary = Decimal(matched[1]), matched[2].lower(), bool(matched[3])
    return math.ceil(number * (BINARY_UNITS if binary else DECIMAL_UNITS)[unit])


def parse_place(text: str) -> GeoCircle:
    """Return a circle from degrees north and east (negative for south and west) and kilometres.

    Raises:
        UsageError: It is not a place.
    """
    hint = "Write degrees north, degrees east and kilometres: --near 48.2,16.37,5"
    parts = re.split(r"\s*,\s*|\s+", re.sub(r"(?i)\s*km\s*$", "", text.strip()))
    try:
        latitude, longitude, kilometres = map(float, parts)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a place.", hint=hint) from error
    if not abs(latitude) <= 90:
        why = f"A latitude is between -90 and 90, not {latitude:g}."
    elif not abs(longitude) <= 180:
        why = f"A longitude is between -180 and 180, not {longitude:g}."
    elif not 0 < kilometres < math.inf:
        why = f"The radius is a number of kilometres above 0, not {kilometres:g}."
    else:
        return GeoCircle(latitude, longitude, kilometres)
    raise UsageError(f"{text!r} is not a place.", why=why, hint=hint)


def parse_extensions(text: str) -> list[str]:
    """Return the file name suffixes in a text: separated by commas, with or without a dot.

    Raises:
        UsageError: There is none, or one has a character that no suffix can have.
    """
    found = [part.strip().removeprefix("*").lstrip(".").lower() for part in valid(text).split(",")]
    if not all(found) or any(re.search(r"[/\\*?]", part) for part in found):
        raise UsageError(
            f"{text!r} is not a suffix of file names.",
            hint="For example: --ext jpg or --ext jpg,png",
        )
    return found


def parse_label(option: str, text: str) -> str:
    """Return the name of a label in Unicode's normal form C.

    Raises:
        UsageError: It is empty.
    """
    return normalize_label(not_empty(option, valid(text)))


def not_empty(option: str, text: str) -> str:
    """Return a text that is not blank.

    Raises:
        UsageError: It is blank.
    """
    if not text.strip():
        raise UsageError(f"{option} is empty.", hint="Leave out the option, or give it a value.")
    return text
