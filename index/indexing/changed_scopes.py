"""Find the scopes of an index that some changes on disk concern."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nmm.index.indexing.ignore import IGNORE_FILE
from nmm.index.indexing.scopes import Coverage, check_root
from nmm.index.indexing.walk import CACHE_TAG, is_walked

if TYPE_CHECKING:
    from nmm.index.indexing.options import IndexOptions
    from nmm.index.store.catalog.types import Root
    from nmm.index.store.catalog.writer import CatalogWriter

# If more files of one folder have changed, the folder is walked: an unchanged file costs a stat.
MAX_FILES_OF_A_FOLDER = 50


def resolve_changed_scopes(
    writer: CatalogWriter, changed: Collection[Path], options: IndexOptions
) -> Coverage:
    """Return what a run covers that follows some changes, see :class:`.request.IndexRequest`.

    Paths that are gone are looked up in the index only. Roots that are missing, or whose disk is
    not mounted, are unavailable, as in any run.
    """
    coverage = Coverage([])
    by_root: dict[Root, list[Path]] = {}
    roots = sorted(writer.roots(), key=lambda root: len(root.path.parts), reverse=True)
    for path in changed:
        root = next((root for root in roots if path.is_relative_to(root.path)), None)
        if root:
            by_root.setdefault(root, []).append(path)
    for root, paths in by_root.items():
        if check_root(writer, root, coverage):
            targets = {_target(root, path, options) for path in paths}
            for target in _outermost(targets):
                (coverage.gone if target.is_gone else coverage.scopes).append((root, target.path))
    with writer.batch():
        for root, start in [*coverage.scopes, *coverage.gone]:
            coverage.keep_unmounted(writer, root, start)
    return coverage


@dataclass(frozen=True)
class _Target:
    """A path below a root that has to be walked, or is gone."""

    path: str
    is_dir: bool = True
    is_gone: bool = False


def _target(root: Root, path: Path, options: IndexOptions) -> _Target:
    """Return what has to be walked or removed because a path has changed."""
    if path.name in {IGNORE_FILE, CACHE_TAG} and path != root.path:
        # They decide which entries of their folder are walked; a tag, whether the folder is walked.
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
            walked = is_walked(
                root.path,
                relative,
                exclude=options.exclude,
                hidden=options.hidden,
                follow_symlinks=options.follow_symlinks,
            )
            return _Target(relative, is_dir, is_gone=not walked)
        except (FileNotFoundError, NotADirectoryError):
            if not path.is_symlink():
                return _Target(relative, is_dir=True, is_gone=True)
        except (OSError, UnicodeDecodeError):
            pass  # the walk of the folder above has the same error, and reports it
        path = path.parent
    return _Target("")


def _outermost(targets: Collection[_Target]) -> Iterator[_Target]:
    """Yield the targets that no other target contains; a folder in place of many of its files."""
    files = Counter(_folder(target) for target in targets if not target.is_dir)
    many = {_Target(folder) for folder, count in files.items() if count > MAX_FILES_OF_A_FOLDER}
    walked = {target.path for target in {*targets, *many} if target.is_dir and not target.is_gone}
    for target in {*targets, *many}:
        if walked.isdisjoint(_above(target.path)):
            yield target


def _folder(target: _Target) -> str:
    folder = str(PurePosixPath(target.path).parent)
    return "" if folder == "." else folder


def _above(path: str) -> Iterable[str]:
    """Return the folders above a path, "" for the root; none if the path is the root."""
    above = [str(folder) for folder in PurePosixPath(path).parents]
    return [("" if folder == "." else folder) for folder in above]
