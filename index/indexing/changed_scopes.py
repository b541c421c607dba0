"""Which scopes of an index some changes on disk are about."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nmm.index.indexing.ignore import IGNORE_FILE
from nmm.index.indexing.scopes import Coverage, is_covered
from nmm.index.indexing.walk import CACHE_TAG, is_met

if TYPE_CHECKING:
    from nmm.index.indexing.options import IndexOptions
    from nmm.index.store.catalog.types import Root
    from nmm.index.store.catalog.writer import CatalogWriter

# Of more changed files in one folder, the folder is walked: what is the same costs a stat.
ONE_BY_ONE = 50


def cover_changes(
    writer: CatalogWriter, changed: Collection[Path], options: IndexOptions
) -> Coverage:
    """What a run is about that follows some changes, see :func:`.build.build_changed`.

    What is gone is looked for in the index only. Roots that are not there, or whose disk is
    not mounted, are away, as in any run.
    """
    coverage = Coverage([])
    by_root: dict[Root, list[Path]] = {}
    roots = sorted(writer.roots(), key=lambda root: len(root.path.parts), reverse=True)
    for path in changed:
        root = next((root for root in roots if path.is_relative_to(root.path)), None)
        if root:
            by_root.setdefault(root, []).append(path)
    for root, paths in by_root.items():
        if is_covered(writer, root, coverage):
            targets = {_target(root, path, options) for path in paths}
            for target in _outermost(targets):
                (coverage.gone if target.is_gone else coverage.scopes).append((root, target.path))
    with writer.batch():
        for root, start in [*coverage.scopes, *coverage.gone]:
            coverage.spare(writer, root, start)
    return coverage


@dataclass(frozen=True)
class _Target:
    """A path below a root that is to be walked, or is gone."""

    path: str
    is_dir: bool = True
    is_gone: bool = False


def _target(root: Root, path: Path, options: IndexOptions) -> _Target:
    """What a change at a path makes it necessary to look at."""
    if path.name in {IGNORE_FILE, CACHE_TAG} and path != root.path:
        # They say what is found in their folder; a tag, whether it is entered at all.
        path = (
            path.parent
            if path.name == IGNORE_FILE or path.parent == root.path
            else (path.parent.parent)
        )
    while path != root.path:
        relative = path.relative_to(root.path).as_posix()
        try:
            os.fsencode(path).decode()
            is_dir = path.is_dir() if path.stat() else False
            met = is_met(
                root.path,
                relative,
                exclude=options.exclude,
                hidden=options.hidden,
                follow_symlinks=options.follow_symlinks,
            )
            return _Target(relative, is_dir, is_gone=not met)
        except (FileNotFoundError, NotADirectoryError):
            if not path.is_symlink():
                return _Target(relative, is_dir=True, is_gone=True)
        except (OSError, UnicodeDecodeError):
            pass  # the walk of the folder above meets the same, and names it
        path = path.parent
    return _Target("")


def _outermost(targets: Collection[_Target]) -> Iterator[_Target]:
    """The targets that the walk of no other one meets; a folder for many of its files."""
    files = Counter(_folder(target) for target in targets if not target.is_dir)
    many = {_Target(folder) for folder, count in files.items() if count > ONE_BY_ONE}
    walked = {target.path for target in {*targets, *many} if target.is_dir and not target.is_gone}
    for target in {*targets, *many}:
        if walked.isdisjoint(_above(target.path)):
            yield target


def _folder(target: _Target) -> str:
    folder = str(PurePosixPath(target.path).parent)
    return "" if folder == "." else folder


def _above(path: str) -> Iterable[str]:
    """The folders that a path is in, the root as an empty text; none if it is the root."""
    above = [str(folder) for folder in PurePosixPath(path).parents]
    return [("" if folder == "." else folder) for folder in above]
