"""SQL conditions that select the files of a search.

A condition applies to a file, not to a content: one of two files with the same content may pass.
"""

from __future__ import annotations

import json
import math
from datetime import datetime
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.errors import UsageError
from nmm.index.store.catalog.path_globs import check_glob, is_within

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence


# The mean radius (IUGG). Distances are within half a percent of those on an ellipsoid.
EARTH_RADIUS_KM = 6371.0088
MAX_INTEGER = (1 << 63) - 1

# A cross join, so that a condition is tested once per file, before its chunks are looked up.
FILES = (
    "files CROSS JOIN roots ON roots.id = files.root_id "
    "CROSS JOIN contents ON contents.id = files.content_id"
)

# Whether a content has a unit of one of some modalities, which are the parameter, as JSON.
HAS_MODALITY = (
    "EXISTS (SELECT 1 FROM chunks WHERE chunks.content_id = contents.id "
    "AND chunks.modality IN (SELECT value FROM json_each(?)))"
)
# The modality under which a file is shown, of those that are the parameter, as JSON. "image" is
# the least, and so a file with units of both is shown as an image. Null if it has none of them.
SHOWN_MODALITY = (
    "(SELECT min(modality) FROM chunks WHERE chunks.content_id = files.content_id "
    "AND modality IN (SELECT value FROM json_each(?)))"
)


class Condition(NamedTuple):
    """A condition on joined rows of `files`, `roots` and `contents`.

    Attributes:
        sql: An expression with qualified column names.
        parameters: For its question marks.
    """

    sql: str
    parameters: tuple[object, ...] = ()


# Images with coordinates; images whose metadata an older nmm did not read; images that OCR has not
# read.
LOCATED = Condition("contents.latitude NOT NULL")
WITHOUT_METADATA = Condition("contents.details = 0")
WITHOUT_OCR = Condition("contents.words IS NULL")


def register(connection: sqlite3.Connection) -> None:
    """Register the functions that conditions call with a connection."""
    for name, function in (
        ("nmm_within", is_within),
        ("nmm_has_suffix", _has_suffix),
        ("nmm_contains", _contains),
        ("nmm_kilometres", kilometres),
    ):
        connection.create_function(name, -1, function, deterministic=True)


def all_of(conditions: Iterable[Condition]) -> Condition:
    """Return the conjunction of conditions; without any, a condition that every file passes."""
    # Conditions without function calls come first: they often decide.
    parts = sorted(conditions, key=lambda part: "nmm_" in part.sql)
    sql = " AND ".join(f"({part.sql})" for part in parts) or "TRUE"
    return Condition(sql, tuple(value for part in parts for value in part.parameters))


def within(globs: Sequence[str]) -> Condition:
    """Select files whose folder or name matches any of some patterns, see :mod:`.path_globs`.

    Raises:
        UsageError: A pattern is not valid.
    """
    for glob in globs:
        check_glob(glob)
    sql = " OR ".join("nmm_within(roots.path, files.path, ?)" for _ in globs)
    return Condition(sql, tuple(globs))


def after(moment: str) -> Condition:
    """Select files taken (or, if unknown, modified) at a local time or later.

    Raises:
        UsageError: The time is not in ISO 8601.
    """
    return _compared(moment, ">=")


def before(moment: str) -> Condition:
    """Select files taken (or, if unknown, modified) before a local time.

    Raises:
        UsageError: The time is not in ISO 8601.
    """
    return _compared(moment, "<")


def _compared(moment: str, sign: str) -> Condition:
    """Compare the time by the clock of the camera.

    An offset after the time does not change the order: whole seconds decide before it.
    """
    try:
        local = datetime.fromisoformat(moment).replace(microsecond=0)
    except ValueError as error:
        raise UsageError(
            f"{moment!r} is not a time.",
            code="time-invalid",
            hint="Write it as in 2023-05-01T18:30:00.",
            value=moment,
        ) from error
    if local.tzinfo:
        local = local.astimezone().replace(tzinfo=None)
    return Condition(
        "CASE WHEN contents.taken_at NOT NULL "
        f"THEN contents.taken_at {sign} ? ELSE files.mtime_ns {sign} ? END",
        (local.isoformat(), _nanoseconds(local)),
    )


def _nanoseconds(local: datetime) -> int:
    try:
        seconds = local.timestamp()
    except (OverflowError, OSError, ValueError):  # a distant year, on some systems
        seconds = (local - datetime(1970, 1, 1)).total_seconds()
    return max(-MAX_INTEGER, min(MAX_INTEGER, int(seconds) * 10**9))


def near(latitude: float, longitude: float, kilometres: float) -> Condition:
    """Select images taken in a circle around a point, given in degrees north and east."""
    # A band of latitudes comes first: it needs no function call.
    reach = math.degrees(kilometres / EARTH_RADIUS_KM) * (1 + 1e-9) + 1e-9
    return Condition(
        "contents.latitude BETWEEN ? AND ? "
        "AND nmm_kilometres(contents.latitude, contents.longitude, ?, ?) <= ?",
        (latitude - reach, latitude + reach, latitude, longitude, kilometres),
    )


def camera(part: str) -> Condition:
    """Select images whose camera make and model contain a text, ignoring case."""
    return Condition("nmm_contains(contents.camera, ?)", (part,))


def min_width(pixels: int) -> Condition:
    """Select images of at least this width."""
    return Condition("contents.width >= ?", (min(pixels, MAX_INTEGER),))


def orientation(form: str) -> Condition:
    """Select images that are landscape, portrait or square."""
    sign = {"landscape": ">", "portrait": "<", "square": "="}[form]
    return Condition(f"contents.width {sign} contents.height")


def larger(size: int) -> Condition:
    """Select files of at least this many bytes."""
    return Condition("files.size >= ?", (min(size, MAX_INTEGER),))


def ext(suffixes: Sequence[str]) -> Condition:
    """Select files whose names end in a dot and one of some suffixes, ignoring case."""
    return Condition("nmm_has_suffix(roots.path, files.path, ?)", (json.dumps(suffixes),))


def has_text(seen: bool) -> Condition:
    """Select images in which OCR found text, or none."""
    return Condition(f"contents.words {'<>' if seen else '='} ''")


def tagged(labels: Sequence[str]) -> Condition:
    """Select files whose content has any of some tags (ASCII case-insensitive)."""
    marks = ", ".join("?" * len(labels))
    return Condition(
        f"contents.hash IN (SELECT hash FROM tags WHERE label IN ({marks}))",
        tuple(labels),
    )


def kilometres(
    latitude: float | None, longitude: float | None, other_latitude: float, other_longitude: float
) -> float | None:
    """Return the distance of two points on a sphere, by the haversine formula."""
    if latitude is None or longitude is None:
        return None
    north, other_north = math.radians(latitude), math.radians(other_latitude)
    across = math.sin(math.radians(longitude - other_longitude) / 2) ** 2
    up = math.sin((north - other_north) / 2) ** 2
    part = up + math.cos(north) * math.cos(other_north) * across
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, part)))


def _contains(text: str | None, part: str) -> bool:
    return text is not None and part.casefold() in text.casefold()


def _has_suffix(root: str, path: str, suffixes: str) -> bool:
    """Return whether a name has one of some suffixes, and something before the dot."""
    name = path.rpartition("/")[2] if path else PurePath(root).name
    return name[1:].casefold().endswith(_endings(suffixes))


@lru_cache(maxsize=16)
def _endings(suffixes: str) -> tuple[str, ...]:
    return tuple(f".{suffix.casefold()}" for suffix in json.loads(suffixes))
