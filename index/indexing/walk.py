"""Walk a folder, and yield the files in it.

An entry is *found* if it is a regular file that no rule excludes. It is *skipped*, with a reason
that is reported, if it cannot be read. It is *left out*, silently, if it is hidden, ignored, or a
link that is not followed.

Ignore rules, :mod:`nmm.index.indexing.ignore`, are read from the ``.nmmignore`` of every folder.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from nmm.index.errors import UsageError
from nmm.index.indexing.entries import (
    FoundFile,
    SkippedEntry,
    describe_mode,
    failure_reason,
    found_or_skipped,
    is_utf8,
    skipped_entry,
)
from nmm.index.indexing.ignore import (
    IGNORE_FILE,
    Rule,
    exclude_rules,
    ignore_file_rules,
    is_excluded,
)

# Folders for version control, caches and trash without a dot. Case counts: "cvs" may hold CVs.
_IGNORED_FOLDERS = frozenset(
    {
        *("CVS", "_darcs", "__pycache__", "node_modules", "@eaDir", "lost+found"),
        *("$RECYCLE.BIN", "$Recycle.Bin", "RECYCLER", "#recycle", "@Recycle"),
        "System Volume Information",
    }
)
CACHE_TAG = "CACHEDIR.TAG"
_CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"


class _Subfolder(NamedTuple):
    path: str
    relative: str
    rules: tuple[Rule, ...]  # of the folders above it; the first that matches decides
    device: int


def walk(
    root: Path,
    start: str = "",
    *,
    exclude: Sequence[str] = (),
    hidden: bool = False,
    follow_symlinks: bool = False,
    on_mount: Callable[[str], None] = lambda _: None,
) -> Iterator[FoundFile | SkippedEntry]:
    """Yield the entries below `root`, depth first, each folder in the order of its names.

    Files and folders are sorted together, by code point; the entries of a folder come in its
    place. Memory holds one listing for each folder on the way down. Only folders, ``.nmmignore``
    and ``CACHEDIR.TAG`` are opened.

    No rule applies to `root` or `start` itself: they are walked whatever their names. Below
    `start` the rules of every folder from `root` down apply. As in git, the last match decides: a
    deeper folder's rules come after those above it, and `exclude` comes last. A folder that is
    left out is not entered, so no rule can bring back an entry in it. Ignore files themselves are
    not yielded.

    Args:
        root: A folder or a file, or a link to one.
        start: Where to begin, relative to `root`, "/" between parts.
        exclude: gitignore patterns, relative to `root`.
        hidden: Include entries that are left out for their name (dot files, version control,
            caches, trash) or for a cache tag (https://bford.info/cachedir/).
        follow_symlinks: Follow links. A file is found under each of its names. A folder is walked
            once, identified by device and inode: a folder below `root` under its own name only,
            so that a link does not bring back an entry that a rule excludes; any other folder
            through the first link to it. A link to one of its own parents is skipped. This keeps
            two numbers for each folder reached by a link.
        on_mount: Called with each folder below `start` that lies on another disk than its parent,
            before the files in it.

    Raises:
        UsageError: At the call, before the walk: `root` or `start` does not exist or cannot be
            read, `start` is not below `root`, or a pattern of `exclude` is not valid.
    """
    parts = PurePosixPath(start).parts
    if start.startswith("/") or ".." in parts:
        raise UsageError(
            f"{start} is not a path below {root}",
            code="start-outside-root",
            hint="Give a path relative to the root, without '..'.",
            path=start,
            root=root,
        )
    way = [root.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
    try:
        seen = [folder.stat() for folder in way]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{way[-1]} does not exist",
            code="path-missing",
            hint="Check its spelling, and that its disk is mounted.",
            path=way[-1],
        ) from error
    except OSError as error:
        raise UsageError(
            f"{way[-1]} cannot be read",
            code="path-not-accessible",
            why=error.strerror or str(error),
            hint="Check the permissions of its parent folders.",
            path=way[-1],
        ) from error
    walker = _Walker(
        exclude_rules(exclude), hidden, follow_symlinks, set(map(_identity, seen)), on_mount
    )
    path = "/".join(parts)
    if not is_utf8(path) or not stat.S_ISDIR(seen[-1].st_mode):
        return iter([found_or_skipped(path, seen[-1])])
    return walker.walk(way, parts, seen[-1].st_dev)


def is_walked(
    root: Path,
    path: str,
    *,
    exclude: Sequence[str] = (),
    hidden: bool = False,
    follow_symlinks: bool = False,
) -> bool:
    """Return whether the rules let the walk of a root find a file or enter a folder.

    Args:
        root: A folder.
        path: An existing path, relative to `root`, "/" between parts.
        exclude, hidden, follow_symlinks: See :func:`walk`.

    Raises:
        UsageError: A pattern of `exclude` is not valid.
    """
    patterns = exclude_rules(exclude)
    rules: tuple[Rule, ...] = ()
    above, relative = root, ""
    for name in PurePosixPath(path).parts:
        if os.path.lexists(above / IGNORE_FILE):
            rules, _ = _with_rules_of(above, relative, rules)
        above, relative = above / name, _join(relative, name)
        is_dir = above.is_dir()
        if (
            name == IGNORE_FILE
            or (not follow_symlinks and above.is_symlink())
            or (not hidden and (is_ignored_name(name, is_dir=is_dir) or _is_tag(above / CACHE_TAG)))
            or is_excluded(relative, is_dir, chain(patterns, rules))
        ):
            return False
    return True


@dataclass(frozen=True, slots=True)
class _Walker:
    exclude: tuple[Rule, ...]
    hidden: bool
    follow_symlinks: bool
    walked: set[tuple[int, int]]  # the folders from root to start, and targets of links
    on_mount: Callable[[str], None]

    def walk(
        self, way: list[Path], parts: tuple[str, ...], device: int
    ) -> Iterator[FoundFile | SkippedEntry]:
        rules: tuple[Rule, ...] = ()
        for depth, folder in enumerate(way[:-1]):
            if os.path.lexists(folder / IGNORE_FILE):
                rules, problem = _with_rules_of(folder, "/".join(parts[:depth]), rules)
                if problem:
                    yield problem
        start = _Subfolder(os.fspath(way[-1]), "/".join(parts), rules, device)
        # One generator for each folder on the way down: depth costs no recursion.
        folders = [self._folder(start, asked_for=True)]
        while folders:
            item = next(folders[-1], None)
            if item is None:
                folders.pop()
            elif isinstance(item, _Subfolder):
                folders.append(self._folder(item))
            else:
                yield item

    def _folder(
        self, folder: _Subfolder, *, asked_for: bool = False
    ) -> Iterator[FoundFile | SkippedEntry | _Subfolder]:
        path, relative, rules, device = folder
        try:
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield skipped_entry(relative, failure_reason(error), is_dir=True)
            return
        if not (self.hidden or asked_for) and any(map(_is_cache_tag, entries)):
            return
        if any(entry.name == IGNORE_FILE for entry in entries):
            rules, problem = _with_rules_of(Path(path), relative, rules)
            if problem:
                yield problem
        for entry in entries:
            item = self._entry(entry, _join(relative, entry.name), rules, device)
            if item is not None:
                yield item

    def _entry(
        self, entry: os.DirEntry[str], path: str, rules: tuple[Rule, ...], device: int
    ) -> FoundFile | SkippedEntry | _Subfolder | None:
        is_link = _or_false(entry.is_symlink)
        if entry.name == IGNORE_FILE or (is_link and not self.follow_symlinks):
            return None
        is_dir = _or_false(entry.is_dir)
        if not self.hidden and is_ignored_name(entry.name, is_dir=is_dir):
            return None
        if is_excluded(path, is_dir, chain(self.exclude, rules)):
            return None
        try:
            if is_dir and is_utf8(entry.name):
                return self._subfolder(entry, path, rules, device)
            return found_or_skipped(path, entry.stat())
        except OSError as error:
            return skipped_entry(path, failure_reason(error, is_link), is_dir=is_dir or is_link)

    def _subfolder(
        self, entry: os.DirEntry[str], path: str, rules: tuple[Rule, ...], device: int
    ) -> SkippedEntry | _Subfolder | None:
        folder = Path(entry.path)
        seen = folder.stat()  # not the entry's own, which names no device on Windows
        if self.follow_symlinks:
            itself = _identity(seen)
            if entry.is_symlink():
                if itself in _lineage(folder.parent):
                    return skipped_entry(path, "a link to a folder that it is in", is_dir=True)
                if not self.walked.isdisjoint(_lineage(folder)):
                    return None
                self.walked.add(itself)
            elif itself in self.walked:
                return None
        if seen.st_dev != device:
            self.on_mount(path)
        return _Subfolder(entry.path, path, rules, seen.st_dev)


def _with_rules_of(
    folder: Path, relative: str, rules: tuple[Rule, ...]
) -> tuple[tuple[Rule, ...], SkippedEntry | None]:
    """Put the rules of the folder's ignore file before `rules`; also return what is wrong in it."""
    path = _join(relative, IGNORE_FILE)
    try:
        own, problem = ignore_file_rules(_read_regular(folder / IGNORE_FILE), relative)
    except OSError as error:
        return rules, skipped_entry(path, failure_reason(error), is_dir=False)
    return own + rules, skipped_entry(path, problem, is_dir=False) if problem else None


def is_ignored_name(name: str, *, is_dir: bool = True) -> bool:
    """Return whether an entry is left out for its name, unless hidden entries are walked."""
    return name.startswith(".") or (is_dir and name in _IGNORED_FOLDERS)


def _is_cache_tag(entry: os.DirEntry[str]) -> bool:
    return entry.name == CACHE_TAG and _is_tag(Path(entry.path))


def _is_tag(path: Path) -> bool:
    try:
        return (
            not path.is_symlink() and _read_regular(path, len(_CACHE_SIGNATURE)) == _CACHE_SIGNATURE
        )
    except OSError:
        return False


def _read_regular(path: Path, size: int = -1) -> bytes:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, describe_mode(mode))

    def no_wait(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    # A FIFO may have replaced the file since: opening it must not block.
    with open(path, "rb", opener=no_wait) as file:
        return file.read(size)


def _or_false(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:
        return False  # the stat() that follows has the same error, and reports it


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def _lineage(folder: Path) -> set[tuple[int, int]]:
    """Return the identities of a folder and of all its real parents."""
    real = Path(os.path.realpath(folder, strict=True))
    return {_identity(above.stat()) for above in (real, *real.parents)}


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
