"""Conditions on files, in SQL: which of them a search looks among.

A condition is on a file, not on a content: of two files of one content, one may pass.
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


# The mean radius (IUGG), in km: a place is within half a percent of where an ellipsoid has it.
EARTH = 6371.0088
MAX_INTEGER = (1 << 63) - 1

# Crossed, for a condition is tested once for a file, before its chunks are looked up.
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
    """A condition on a row of `files`, of `roots` and of `contents`, joined.

    Attributes:
        sql: An expression, its columns with the names of their tables.
        parameters: For the question marks in it.
    """

    sql: str
    parameters: tuple[object, ...] = ()


# Images that say where they were taken; of which an older nmm did not read that; in which nobody
# has looked for words.
LOCATED = Condition("contents.latitude NOT NULL")
UNREAD = Condition("contents.details = 0")
NOT_LOOKED_INTO = Condition("contents.words IS NULL")


def register(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that conditions call."""
    for name, function in (
        ("nmm_within", is_within),
        ("nmm_has_suffix", _has_suffix),
        ("nmm_contains", _contains),
        ("nmm_kilometres", kilometres),
    ):
        connection.create_function(name, -1, function, deterministic=True)


def every(conditions: Iterable[Condition]) -> Condition:
    """All of some conditions; without any, one that every file passes."""
    # What calls no function comes first, and often decides.
    parts = sorted(conditions, key=lambda part: "nmm_" in part.sql)
    sql = " AND ".join(f"({part.sql})" for part in parts) or "TRUE"
    return Condition(sql, tuple(value for part in parts for value in part.parameters))


def within(globs: Sequence[str]) -> Condition:
    """In a folder, or of a name, of one of some patterns, see :mod:`.within`.

    Raises:
        UsageError: One is not a pattern.
    """
    for glob in globs:
        check_glob(glob)
    sql = " OR ".join("nmm_within(roots.path, files.path, ?)" for _ in globs)
    return Condition(sql, tuple(globs))


def after(moment: str) -> Condition:
    """Taken at a local time or later, or modified, if it is not known when it was taken.

    Raises:
        UsageError: It is no time in ISO 8601.
    """
    return _compared(moment, ">=")


def before(moment: str) -> Condition:
    """Taken before a local time, or modified, if it is not known when it was taken.

    Raises:
        UsageError: It is no time in ISO 8601.
    """
    return _compared(moment, "<")


def _compared(moment: str, sign: str) -> Condition:
    """When a picture was taken is compared as its camera's clock showed it.

    An offset after the time does not change its order: whole seconds decide before it.
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
    except (OverflowError, OSError, ValueError):  # of a year far away, on some systems
        seconds = (local - datetime(1970, 1, 1)).total_seconds()
    return max(-MAX_INTEGER, min(MAX_INTEGER, int(seconds) * 10**9))


def near(latitude: float, longitude: float, kilometres: float) -> Condition:
    """Taken in a circle around a place, given in degrees north and east."""
    # A band of latitudes first: it takes no function.
    reach = math.degrees(kilometres / EARTH) * (1 + 1e-9) + 1e-9
    return Condition(
        "contents.latitude BETWEEN ? AND ? "
        "AND nmm_kilometres(contents.latitude, contents.longitude, ?, ?) <= ?",
        (latitude - reach, latitude + reach, latitude, longitude, kilometres),
    )


def camera(part: str) -> Condition:
    """Taken with a camera whose make and model contain that, in any case."""
    return Condition("nmm_contains(contents.camera, ?)", (part,))


def min_width(pixels: int) -> Condition:
    """An image at least so wide."""
    return Condition("contents.width >= ?", (min(pixels, MAX_INTEGER),))


def orientation(form: str) -> Condition:
    """An image that is landscape, portrait or square."""
    sign = {"landscape": ">", "portrait": "<", "square": "="}[form]
    return Condition(f"contents.width {sign} contents.height")


def larger(size: int) -> Condition:
    """Of at least so many bytes."""
    return Condition("files.size >= ?", (min(size, MAX_INTEGER),))


def ext(suffixes: Sequence[str]) -> Condition:
    """Of a name that ends in a dot and one of those, in any case."""
    return Condition("nmm_has_suffix(roots.path, files.path, ?)", (json.dumps(suffixes),))


def has_text(seen: bool) -> Condition:
    """An image in which words were looked for, and seen or not."""
    return Condition(f"contents.words {'<>' if seen else '='} ''")


def tagged(labels: Sequence[str]) -> Condition:
    """Of a content that has one of some tags; A to Z are a to z."""
    places = ", ".join("?" * len(labels))
    return Condition(
        f"contents.hash IN (SELECT hash FROM tags WHERE label IN ({places}))",
        tuple(labels),
    )


def kilometres(
    latitude: float | None, longitude: float | None, other_latitude: float, other_longitude: float
) -> float | None:
    """How far two places are from each other on a sphere, by the haversine formula."""
    if latitude is None or longitude is None:
        return None
    north, other_north = math.radians(latitude), math.radians(other_latitude)
    across = math.sin(math.radians(longitude - other_longitude) / 2) ** 2
    up = math.sin((north - other_north) / 2) ** 2
    part = up + math.cos(north) * math.cos(other_north) * across
    return 2 * EARTH * math.asin(math.sqrt(min(1.0, part)))


def _contains(text: str | None, part: str) -> bool:
    return text is not None and part.casefold() in text.casefold()


def _has_suffix(root: str, path: str, suffixes: str) -> bool:
    """Whether a name ends so, with something before the dot."""
    name = path.rpartition("/")[2] if path else PurePath(root).name
    return name[1:].casefold().endswith(_endings(suffixes))


@lru_cache(maxsize=16)
def _endings(suffixes: str) -> tuple[str, ...]:
    return tuple(f".{suffix.casefold()}" for suffix in json.loads(suffixes))
