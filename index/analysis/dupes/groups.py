"""Groups of duplicate files: one to keep, and redundant copies of it.

A group is a star: the kept file was compared with each of the others. No group is a chain whose
ends have nothing in common. Each connected component of similar files is split as follows: the best
file is kept and takes all files similar to it, then the best of the rest, and so on (Aslam,
Pelekhov and Rus, 2004, with stars of the greatest degree).

Nothing is deleted. A file that is suggested to be kept existed when it was checked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.analysis.dupes.disk_state import DiskFile, check_files
from nmm.index.analysis.dupes.keeper import KeeperSelector
from nmm.index.analysis.dupes.pairs import (
    MatchedPairs,
    MatchKind,
    Thresholds,
    find_bursts,
    find_near_images,
    find_near_texts,
)
from nmm.index.common.tracing import span

if TYPE_CHECKING:
    from nmm.index.analysis.collection import FileCollection
    from nmm.index.store.catalog.file_vectors import Item
    from nmm.index.store.catalog.types import Kind

DEFAULT_THRESHOLDS = Thresholds()


@dataclass(frozen=True, slots=True)
class DuplicateFile:
    """A file of a group.

    Attributes:
        path: Absolute.
        keep: Whether this is the file to keep, or another name of it.
        reason: Why the file is kept or redundant.
        match: How it matches the kept file; None for the kept file.
        size: Bytes that deleting it would free: 0 for another name of the same file.
        width, height: Of an image, in pixels.
    """

    path: str
    keep: bool
    reason: str
    match: MatchKind | None
    size: int
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Duplicate files, the one to keep first.

    Attributes:
        kind: Burst if any pair is, exact if all are, or else near.
        type: The kind of the files.
        files: No file is in two groups.
        bytes: The size of the redundant files.
    """

    kind: MatchKind
    type: Kind
    files: tuple[DuplicateFile, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """Groups of duplicates.

    Attributes:
        groups: The group with the most redundant bytes first.
        missing: Files that no longer exist or have changed since indexing, each with the reason.
            They are in no group.
        bytes: The size of all redundant files.
        thumbnails: How many images were read for the choice.
    """

    groups: list[DuplicateGroup]
    missing: list[tuple[str, str]]
    bytes: int
    thumbnails: int


def find_duplicates(
    collection: FileCollection,
    matches: Collection[MatchKind] = tuple(MatchKind),
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> DuplicateReport:
    """Group duplicate files.

    Args:
        collection: The files.
        matches: The kinds of duplicates to find.
        thresholds: The thresholds of similarity.

    Raises:
        CatalogError: The catalog cannot be read.
    """
    by_content: dict[int, list[Item]] = defaultdict(list)
    for item in collection.files:
        by_content[item.content].append(item)
    pairs = dict(find_pairs(collection, matches, thresholds))
    wanted = {content for pair in pairs for content in pair}
    if MatchKind.EXACT in matches:
        wanted |= {content for content, files in by_content.items() if len(files) > 1}
    with span("files looked at"):
        found = check_files([item for content in sorted(wanted) for item in by_content[content]])
    selector = KeeperSelector(collection)
    with span("best chosen"):
        stars = [
            star
            for some in _connected_components(pairs, wanted)
            for star in _split_into_stars(
                some, pairs, found.files, selector, MatchKind.EXACT in matches
            )
        ]
    groups = [group for star in stars if (group := _build_group(*star, selector)) is not None]
    groups.sort(key=lambda group: (-group.bytes, group.files[0].path))
    return DuplicateReport(
        groups, found.missing, sum(group.bytes for group in groups), selector.thumbnails
    )


def find_pairs(
    collection: FileCollection,
    matches: Collection[MatchKind],
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> MatchedPairs:
    """Return pairs of near-duplicate contents and pairs of one burst, by content id.

    A pair that is both counts as a near-duplicate.
    """
    firsts: dict[int, tuple[int, Item]] = {}
    for item, row in zip(collection.files, collection.rows.tolist(), strict=True):
        firsts.setdefault(item.content, (row, item))
    found: MatchedPairs = {}
    for kind, match, find in (
        ("image", MatchKind.BURST, find_bursts),
        ("image", MatchKind.NEAR, find_near_images),
        ("text", MatchKind.NEAR, find_near_texts),
    ):
        some = [(row, item) for row, item in firsts.values() if item.kind == kind]
        if match in matches and len(some) > 1:
            contents = [item for _, item in some]
            links = find(
                collection, contents, collection.vectors[[row for row, _ in some]], thresholds
            )
            for (one, other), how in links.items():
                ids = contents[one].content, contents[other].content
                found[min(ids), max(ids)] = how
    return found


def _connected_components(pairs: MatchedPairs, contents: Iterable[int]) -> Iterator[set[int]]:
    """Yield the sets of contents that are connected by pairs."""
    adjacent: dict[int, set[int]] = {content: set() for content in contents}
    for one, other in pairs:
        adjacent[one].add(other)
        adjacent[other].add(one)
    while adjacent:
        first, pending = adjacent.popitem()
        found = {first}
        while pending:
            content = pending.pop()
            if content not in found:
                found.add(content)
                pending |= adjacent.pop(content) - found
        yield found


def _split_into_stars(
    contents: set[int],
    pairs: MatchedPairs,
    on_disk: dict[int, list[DiskFile]],
    selector: KeeperSelector,
    exact: bool,
) -> Iterator[tuple[DiskFile, list[tuple[DiskFile, MatchKind]]]]:
    """Yield a file to keep and the files similar to it, until none is left."""
    left = {content for content in contents if content in on_disk}
    while left:
        candidates = [file for content in sorted(left) for file in on_disk[content]]
        kept, _ = selector.choose(candidates)
        content = kept.item.content
        others = [
            (file, MatchKind.EXACT) for file in on_disk[content] if exact and file is not kept
        ]
        near = {
            other: match
            for other in left
            if (match := pairs.get((min(content, other), max(content, other))))
        }
        others += [(file, near[other]) for other in sorted(near) for file in on_disk[other]]
        left -= {content, *near}
        yield kept, others


def _build_group(
    kept: DiskFile, others: Sequence[tuple[DiskFile, MatchKind]], selector: KeeperSelector
) -> DuplicateGroup | None:
    """Build the group of a star; return None if nothing is redundant."""
    if not others:
        return None
    # The reason compares it with this group only, not with the whole component.
    _, reason = selector.choose([kept, *(file for file, _ in others)])
    files = list(_list_paths(kept, True, reason, None))
    for file, match in sorted(others, key=lambda other: other[0].paths[0]):
        reason = selector.explain_rejection(file, kept)
        files += _list_paths(file, False, reason, match)
    kinds = {match for _, match in others}
    kind = next(
        match for match in (MatchKind.BURST, MatchKind.NEAR, MatchKind.EXACT) if match in kinds
    )
    return DuplicateGroup(
        kind, kept.item.kind, tuple(files), sum(file.size for file in files if not file.keep)
    )


def _list_paths(
    file: DiskFile, keep: bool, reason: str, match: MatchKind | None
) -> Iterator[DuplicateFile]:
    """Yield one entry for each path of a file."""
    item = file.item
    for number, path in enumerate(file.paths):
        why = f"the same file as {file.paths[0]}" if number else reason
        size = 0 if number else file.size
        yield DuplicateFile(path, keep, why, match, size, item.width, item.height)
