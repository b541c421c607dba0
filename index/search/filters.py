"""Which files a search looks among: conditions that hold exactly, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nmm.index.store.catalog import sql_filters
from nmm.index.store.catalog.file_queries import any_file, cameras, count_files, dates
from nmm.index.store.catalog.sql_filters import Condition
from nmm.index.store.catalog.tags import tags

if TYPE_CHECKING:
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.types import Kind

# Cameras, and tags, that are named where none is found.
NAMED = 5

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
        tag: Labels, of which its content has one as a tag.
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
    tag: tuple[str, ...] = ()


NO_FILTERS = Filters()


def conditions_of(filters: Filters) -> dict[str, Condition]:
    """The condition of each filter that is given, by its name, in the order of the fields.

    Raises:
        UsageError: A pattern is none, or a time.
    """
    place = filters.near
    given = {
        "within": filters.within and sql_filters.within(filters.within),
        "after": filters.after is not None and sql_filters.after(filters.after),
        "before": filters.before is not None and sql_filters.before(filters.before),
        "near": place and sql_filters.near(place.latitude, place.longitude, place.kilometres),
        "camera": filters.camera is not None and sql_filters.camera(filters.camera),
        "min_width": filters.min_width is not None and sql_filters.min_width(filters.min_width),
        "orientation": filters.orientation and sql_filters.orientation(filters.orientation),
        "larger": filters.larger is not None and sql_filters.larger(filters.larger),
        "ext": filters.ext and sql_filters.ext(filters.ext),
        "has_text": filters.has_text is not None and sql_filters.has_text(filters.has_text),
        "tag": filters.tag and sql_filters.tagged(filters.tag),
    }
    return {name: condition for name, condition in given.items() if condition}


def condition_of(filters: Filters) -> Condition | None:
    """All filters as one condition on files; None if none is given.

    Raises:
        UsageError: A pattern is none, or a time.
    """
    given = conditions_of(filters)
    return sql_filters.every(given.values()) if given else None


@dataclass(frozen=True, slots=True)
class Emptied:
    """Filters that leave nothing, and what may help who asked for it.

    Attributes:
        filters: Names of fields of :class:`Filters`: one that no file passes, or some that none
            passes together, and would without any one of them.
        others: Files that pass all of them but the last; of one alone, all there are.
        unread: Images of which is not known yet what the last is about.
        there: What there is in place of what the last asks for: the commonest cameras; the first
            and the last date, ``YYYY-MM-DD``; the tags that most files have.
        located: Images that say where they were taken, if the last is about that.
    """

    filters: tuple[str, ...]
    others: int
    unread: int = 0
    there: tuple[str, ...] = ()
    located: int = 0


def emptied_by(catalog: Catalog, filters: Filters, kinds: Sequence[Kind]) -> list[Emptied]:
    """Why no file of some kinds passes; empty if one does, or if there are none.

    Each filter that leaves nothing by itself; if there is none such, some that do together.

    Raises:
        UsageError: A pattern is none, or a time.
        CatalogError: The catalog cannot be read.
    """

    def together(names: Iterable[str]) -> Condition:
        return sql_filters.every(given[name] for name in names)

    given = conditions_of(filters)
    if not any_file(catalog, kinds, together([])) or any_file(catalog, kinds, together(given)):
        return []
    if alone := [name for name in given if not any_file(catalog, kinds, given[name])]:
        files = count_files(catalog, kinds, together([]))
        return [_emptied(catalog, kinds, (name,), files) for name in alone]
    needed = list(given)
    for name in given:
        others = [other for other in needed if other != name]
        if not any_file(catalog, kinds, together(others)):
            needed = others
    others = needed[:-1]
    return [_emptied(catalog, kinds, tuple(needed), count_files(catalog, kinds, together(others)))]


def _emptied(
    catalog: Catalog, kinds: Sequence[Kind], names: tuple[str, ...], others: int
) -> Emptied:
    def images(condition: Condition) -> int:
        return count_files(catalog, ["image"], condition)

    match names[-1]:
        case "camera":
            there = tuple(cameras(catalog, NAMED))
            return Emptied(names, others, images(sql_filters.UNREAD), there)
        case "near":
            unread, located = images(sql_filters.UNREAD), images(sql_filters.LOCATED)
            return Emptied(names, others, unread, located=located)
        case "tag":
            return Emptied(names, others, there=tuple(each.label for each in tags(catalog, NAMED)))
        case "has_text":
            return Emptied(names, others, images(sql_filters.NOT_LOOKED_INTO))
        case "after" | "before":
            return Emptied(names, others, there=tuple(dates(catalog, kinds)))
        case _:
            return Emptied(names, others)
