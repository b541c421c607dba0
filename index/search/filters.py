"""Filters: exact conditions on the files that a search considers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from nmm.index.search import json_fields
from nmm.index.store.catalog import sql_filters
from nmm.index.store.catalog.file_queries import any_file, cameras, count_files, dates
from nmm.index.store.catalog.sql_filters import Condition
from nmm.index.store.catalog.tags import tags

if TYPE_CHECKING:
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.types import Kind

# Cameras or tags that are suggested if a filter matches none.
MAX_SUGGESTIONS = 5

Orientation = Literal["landscape", "portrait", "square"]


@dataclass(frozen=True, slots=True)
class GeoCircle:
    """A circle on the earth.

    Attributes:
        latitude: Degrees north, -90 to 90.
        longitude: Degrees east, -180 to 180.
        radius_km: Kilometres.
    """

    latitude: float
    longitude: float
    radius_km: float


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on files. A file has to meet all of them. None and empty values are no condition.

    The names of the fields are those of the JSON.

    Attributes:
        path_globs: Glob patterns. A folder or the name of the file matches one of them.
        after, before: Local times in ISO 8601, ``YYYY-MM-DDTHH:MM:SS``. The file was taken
            (EXIF) or, if that is unknown, modified at or after the first and before the second.
        near: Where the image was taken.
        camera: Part of the camera's make and model, in any case.
        min_width: Pixels.
        orientation: The shape of the image.
        min_bytes: Minimum size of the file in bytes.
        extensions: Suffixes in lower case without the dot. The file name has one of them.
        has_text: Whether text was recognised in the image.
        tags: Labels. The content has one of them as its tag.
    """

    path_globs: tuple[str, ...] = ()
    after: str | None = None
    before: str | None = None
    near: GeoCircle | None = None
    camera: str | None = None
    min_width: int | None = None
    orientation: Orientation | None = None
    min_bytes: int | None = None
    extensions: tuple[str, ...] = ()
    has_text: bool | None = None
    tags: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the filters that are used, as values of JSON or TOML."""
        return json_fields.plain(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], path: str = "filters") -> Filters:
        """Read what :meth:`to_dict` returns.

        Args:
            data: The fields.
            path: Their path in the whole value, for errors.

        Raises:
            UsageError: A field is unknown or has a value that makes no sense; the error names it.
        """
        found = cls(**json_fields.read(data, path, _READERS))
        for field in fields(cls):
            with json_fields.naming(f"{path}.{field.name}"):
                conditions_of(cls(**{field.name: getattr(found, field.name)}))
        return found


NO_FILTERS = Filters()


def _geo_circle(value: Any, path: str) -> GeoCircle:
    parts = json_fields.read(
        value, path, dict.fromkeys(("latitude", "longitude", "radius_km"), json_fields.number)
    )
    json_fields.require(parts, path, "latitude", "longitude", "radius_km")
    circle = GeoCircle(**parts)
    if not (abs(circle.latitude) <= 90 and abs(circle.longitude) <= 180 and circle.radius_km > 0):
        raise json_fields.invalid(
            path,
            "a latitude between -90 and 90, a longitude between -180 and 180, and a radius above 0",
        )
    return circle


_READERS: Mapping[str, json_fields.Reader] = {
    "path_globs": json_fields.texts,
    "after": json_fields.text,
    "before": json_fields.text,
    "near": _geo_circle,
    "camera": json_fields.text,
    "min_width": json_fields.positive_integer,
    "orientation": json_fields.one_of(get_args(Orientation)),
    "min_bytes": json_fields.integer,
    "extensions": json_fields.texts,
    "has_text": json_fields.boolean,
    "tags": json_fields.texts,
}


def conditions_of(filters: Filters) -> dict[str, Condition]:
    """Return the SQL condition of each filter that is used, by its name, in the fields' order.

    Raises:
        UsageError: A glob or a time is malformed.
    """
    circle = filters.near
    given = {
        "path_globs": filters.path_globs and sql_filters.within(filters.path_globs),
        "after": filters.after is not None and sql_filters.after(filters.after),
        "before": filters.before is not None and sql_filters.before(filters.before),
        "near": circle and sql_filters.near(circle.latitude, circle.longitude, circle.radius_km),
        "camera": filters.camera is not None and sql_filters.camera(filters.camera),
        "min_width": filters.min_width is not None and sql_filters.min_width(filters.min_width),
        "orientation": filters.orientation and sql_filters.orientation(filters.orientation),
        "min_bytes": filters.min_bytes is not None and sql_filters.larger(filters.min_bytes),
        "extensions": filters.extensions and sql_filters.ext(filters.extensions),
        "has_text": filters.has_text is not None and sql_filters.has_text(filters.has_text),
        "tags": filters.tags and sql_filters.tagged(filters.tags),
    }
    return {name: condition for name, condition in given.items() if condition}


def condition_of(filters: Filters) -> Condition | None:
    """Return all filters as one SQL condition on files, or None if no filter is used.

    Raises:
        UsageError: A glob or a time is malformed.
    """
    given = conditions_of(filters)
    return sql_filters.all_of(given.values()) if given else None


@dataclass(frozen=True, slots=True)
class EmptyFilter:
    """Filters that exclude every file, and facts that help to change them.

    Attributes:
        filters: Names of fields of :class:`Filters`: one filter that no file passes, or several
            that no file passes together although some pass without any one of them.
        files: Files that pass all of them but the last; for one filter, all files.
        unread_images: Images for which the value that the last filter tests is not known yet.
        available: Values that the last filter could match: the most frequent cameras; the first
            and the last date, ``YYYY-MM-DD``; the most frequent tags.
        located_images: Images with a known place, if the last filter is ``near``.
    """

    filters: tuple[str, ...]
    files: int
    unread_images: int = 0
    available: tuple[str, ...] = ()
    located_images: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as values of JSON."""
        return json_fields.plain(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], path: str = "empty_because") -> EmptyFilter:
        """Read what :meth:`to_dict` returns.

        Raises:
            UsageError: A field is unknown, missing or has a value that makes no sense.
        """
        found = json_fields.read(
            data,
            path,
            {
                "filters": json_fields.texts,
                "files": json_fields.integer,
                "unread_images": json_fields.integer,
                "available": json_fields.texts,
                "located_images": json_fields.integer,
            },
        )
        json_fields.require(found, path, "filters", "files")
        return cls(**found)


def explain_empty(catalog: Catalog, filters: Filters, kinds: Sequence[Kind]) -> list[EmptyFilter]:
    """Return why no file of some kinds passes; empty if one does or if there are no files.

    The result names each filter that excludes every file by itself. If there is none, it names a
    smallest set of filters that does.

    Raises:
        UsageError: A glob or a time is malformed.
        CatalogError: The catalog cannot be read.
    """

    def together(names: Iterable[str]) -> Condition:
        return sql_filters.all_of(given[name] for name in names)

    given = conditions_of(filters)
    if not given or not any_file(catalog, kinds, together([])):
        return []
    if any_file(catalog, kinds, together(given)):
        return []
    if alone := [name for name in given if not any_file(catalog, kinds, given[name])]:
        files = count_files(catalog, kinds, together([]))
        return [_empty_filter(catalog, kinds, (name,), files) for name in alone]
    needed = list(given)
    for name in given:
        others = [other for other in needed if other != name]
        if not any_file(catalog, kinds, together(others)):
            needed = others
    files = count_files(catalog, kinds, together(needed[:-1]))
    return [_empty_filter(catalog, kinds, tuple(needed), files)]


def _empty_filter(
    catalog: Catalog, kinds: Sequence[Kind], names: tuple[str, ...], files: int
) -> EmptyFilter:
    def images(condition: Condition) -> int:
        return count_files(catalog, ["image"], condition)

    match names[-1]:
        case "camera":
            available = tuple(cameras(catalog, MAX_SUGGESTIONS))
            return EmptyFilter(names, files, images(sql_filters.WITHOUT_METADATA), available)
        case "near":
            unread, located = images(sql_filters.WITHOUT_METADATA), images(sql_filters.LOCATED)
            return EmptyFilter(names, files, unread, located_images=located)
        case "tags":
            found = tags(catalog, MAX_SUGGESTIONS)
            return EmptyFilter(names, files, available=tuple(each.label for each in found))
        case "has_text":
            return EmptyFilter(names, files, images(sql_filters.WITHOUT_OCR))
        case "after" | "before":
            return EmptyFilter(names, files, available=tuple(dates(catalog, kinds)))
        case _:
            return EmptyFilter(names, files)
