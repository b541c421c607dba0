"""Groups of files of which one would do.

A group is a star: one file that is kept, and others of which each was compared with that one and
is like it. So there is no chain in which the first and the last have nothing in common: of what is
joined by pairs, the best is kept and takes those that are like itself, then the best of those
that are left, and so on (Aslam, Pelekhov and Rus, 2004, of stars of the greatest degree).

Nothing is removed here. What is suggested to be kept was there when it was looked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.analysis.dupes.disk_state import Unit, look_at
from nmm.index.analysis.dupes.keeper import Judge
from nmm.index.analysis.dupes.pairs import Links, Match, Thresholds, bursts, near_images, near_texts
from nmm.index.common.tracing import span

if TYPE_CHECKING:
    from nmm.index.analysis.collection import Items
    from nmm.index.store.catalog.file_vectors import Item
    from nmm.index.store.catalog.types import Kind

DEFAULT = Thresholds()


@dataclass(frozen=True, slots=True)
class Copy:
    """A file of a group.

    Attributes:
        path: Absolute.
        keep: Whether it is the one to keep, or the same file under another name.
        reason: Why it is kept, or is not.
        match: How it is like the one that is kept; None of that one.
        size: Bytes that removing it would free: 0 of another name of a file.
        width, height: Of an image, in pixels.
    """

    path: str
    keep: bool
    reason: str
    match: Match | None
    size: int
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """Files of which one would do: the one to keep first.

    Attributes:
        kind: How they are alike: a burst if any is, exact if all are.
        type: What they are.
        files: Of each group others.
        bytes: What those take that could go.
    """

    kind: Match
    type: Kind
    files: tuple[Copy, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class Dupes:
    """What was found.

    Attributes:
        groups: Those that take most first.
        missing: Files that are not, or not any more, what was indexed, each with the reason. They
            are in no group.
        bytes: What all take that could go.
        thumbnails: How many images were read to choose.
    """

    groups: list[Group]
    missing: list[tuple[str, str]]
    bytes: int
    thumbnails: int


def find_dupes(
    items: Items, matches: Collection[Match] = tuple(Match), thresholds: Thresholds = DEFAULT
) -> Dupes:
    """The groups among some files.

    Args:
        items: The files.
        matches: What to look for.
        thresholds: What is alike.

    Raises:
        CatalogError: The catalog cannot be read.
    """
    by_content: dict[int, list[Item]] = defaultdict(list)
    for item in items.files:
        by_content[item.content].append(item)
    links = dict(find_links(items, matches, thresholds))
    wanted = {content for pair in links for content in pair}
    if Match.EXACT in matches:
        wanted |= {content for content, files in by_content.items() if len(files) > 1}
    with span("files looked at"):
        found = look_at([item for content in sorted(wanted) for item in by_content[content]])
    judge = Judge(items)
    with span("best chosen"):
        stars = [
            star
            for some in _components(links, wanted)
            for star in _stars(some, links, found.units, judge, Match.EXACT in matches)
        ]
    groups = [group for star in stars if (group := _group(*star, judge)) is not None]
    groups.sort(key=lambda group: (-group.bytes, group.files[0].path))
    return Dupes(groups, found.missing, sum(group.bytes for group in groups), judge.thumbnails)


def find_links(items: Items, matches: Collection[Match], thresholds: Thresholds = DEFAULT) -> Links:
    """Pairs of contents that are nearly the same or of one burst, by their ids.

    What is both is nearly the same.
    """
    firsts: dict[int, tuple[int, Item]] = {}
    for item, row in zip(items.files, items.rows.tolist(), strict=True):
        firsts.setdefault(item.content, (row, item))
    found: Links = {}
    for kind, match, look in (
        ("image", Match.BURST, bursts),
        ("image", Match.NEAR, near_images),
        ("text", Match.NEAR, near_texts),
    ):
        some = [(row, item) for row, item in firsts.values() if item.kind == kind]
        if match in matches and len(some) > 1:
            contents = [item for _, item in some]
            places = look(items, contents, items.vectors[[row for row, _ in some]], thresholds)
            for (one, other), how in places.items():
                ids = contents[one].content, contents[other].content
                found[min(ids), max(ids)] = how
    return found


def _components(links: Links, contents: Iterable[int]) -> Iterator[set[int]]:
    """Contents that are joined by pairs, directly or not."""
    beside: dict[int, set[int]] = {content: set() for content in contents}
    for one, other in links:
        beside[one].add(other)
        beside[other].add(one)
    while beside:
        first, around = beside.popitem()
        found = {first}
        while around:
            content = around.pop()
            if content not in found:
                found.add(content)
                around |= beside.pop(content) - found
        yield found


def _stars(
    contents: set[int],
    links: Links,
    there: dict[int, list[Unit]],
    judge: Judge,
    exact: bool,
) -> Iterator[tuple[Unit, str, list[tuple[Unit, Match]]]]:
    """The file to keep, why, and those that are like it, until none are left."""
    left = {content for content in contents if content in there}
    while left:
        units = [unit for content in sorted(left) for unit in there[content]]
        kept, why = judge.best(units)
        content = kept.item.content
        others = [(unit, Match.EXACT) for unit in there[content] if exact and unit is not kept]
        near = {
            other: how
            for other in left
            if (how := links.get((min(content, other), max(content, other))))
        }
        others += [(unit, near[other]) for other in sorted(near) for unit in there[other]]
        left -= {content, *near}
        yield kept, why, others


def _group(
    kept: Unit, why: str, others: Sequence[tuple[Unit, Match]], judge: Judge
) -> Group | None:
    """The group of a star; None if it has no others."""
    if not others:
        return None
    # Why it is the best of these, and not of all that they were joined with.
    _, why = judge.best([kept, *(unit for unit, _ in others)])
    files = list(_copies(kept, True, why, None))
    for unit, how in sorted(others, key=lambda other: other[0].paths[0]):
        reason = judge.why_not(unit, kept)
        files += _copies(unit, False, reason, how)
    kinds = {how for _, how in others}
    kind = next(how for how in (Match.BURST, Match.NEAR, Match.EXACT) if how in kinds)
    return Group(
        kind, kept.item.kind, tuple(files), sum(file.size for file in files if not file.keep)
    )


def _copies(unit: Unit, keep: bool, reason: str, match: Match | None) -> Iterator[Copy]:
    """A file by each of its names."""
    item = unit.item
    for number, path in enumerate(unit.paths):
        why = f"the same file as {unit.paths[0]}" if number else reason
        size = 0 if number else unit.size
        yield Copy(path, keep, why, match, size, item.width, item.height)
