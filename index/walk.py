"""Which files are in a folder.

Three things can happen to an entry. It is *found*: a regular file that no rule leaves
out. It is *skipped*: wanted, but not to be had, and the person is told why. Or it is
*left out*, in silence: hidden, ignored, a link that is not followed.

Ignore rules are those of gitignore (https://git-scm.com/docs/gitignore), read from the
``.nmmignore`` of every folder. POSIX classes such as ``[[:alpha:]]`` are not understood.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from nmm.index.errors import UsageError

IGNORE_FILE = ".nmmignore"

# Version control, caches and trash that no dot hides. Case counts: "cvs" may hold CVs.
_LEFT_OUT_FOLDERS = frozenset(
    {
        *("CVS", "_darcs", "__pycache__", "node_modules", "@eaDir", "lost+found"),
        *("$RECYCLE.BIN", "$Recycle.Bin", "RECYCLER", "#recycle", "@Recycle"),
        "System Volume Information",
    }
)
_CACHE_TAG = "CACHEDIR.TAG"
_CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file. Whether it can be read is for its reader to find out.

    Attributes:
        path: Relative to the root, "/" between parts; "" when the root is the file.
        size: Bytes.
        mtime_ns: Time of the last change, nanoseconds since the epoch.
    """

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class SkippedEntry:
    r"""Something that would have been found, or entered, and could not be.

    Attributes:
        path: As in `FoundFile`, but bytes that are not UTF-8 are shown as ``\xff``.
        reason: For a person, after the path.
        is_dir: It is a folder, or a link that cannot be resolved and may have led to one
            (on a disk that is not mounted): nothing below it was seen, which does not
            mean that nothing is there.
    """

    path: str
    reason: str
    is_dir: bool


class _Subfolder(NamedTuple):
    path: str
    relative: str
    rules: tuple[_Rule, ...]  # of the folders above it, the one that decides first


def walk(
    root: Path,
    start: str = "",
    *,
    exclude: Sequence[str] = (),
    hidden: bool = False,
    follow_symlinks: bool = False,
) -> Iterator[FoundFile | SkippedEntry]:
    """Yield what is in `root`, depth first, each folder in the order of its names.

    Files and folders are sorted together, by code point; what a folder holds comes in
    the folder's place. Memory holds one listing for each folder on the way down.
    Nothing is opened but folders, ``.nmmignore`` and ``CACHEDIR.TAG``.

    What is asked for is walked, whatever its name: no rule applies to `root` or `start`
    itself. Below `start` the rules of every folder from `root` down apply. As in git,
    the last match decides: a deeper folder's rules come after those above it, and
    `exclude` comes last. A folder that is left out is not entered, so that nothing can
    be brought back from inside it.

    Args:
        root: A folder or a file, or a link to one.
        start: Where to begin, relative to `root`, "/" between parts.
        exclude: gitignore patterns, relative to `root`.
        hidden: Do not leave out what is left out for its name (dot files, version
            control, caches, trash) or for a cache tag (https://bford.info/cachedir/).
        follow_symlinks: Follow links. A file is found under each of its names. A folder
            is walked once, known by device and inode: one below `root` under its own
            name only, so that a link does not bring back what a rule leaves out; any
            other through the first link to it. A link to a folder that it is in is
            skipped. This keeps two numbers for each folder reached by a link.

    Raises:
        UsageError: `root` or `start` does not exist or cannot be looked at, `start` is
            not below `root`, or `exclude` has something that is not a pattern.
    """
    parts = PurePosixPath(start).parts
    if start.startswith("/") or ".." in parts:
        raise UsageError(
            f"{start} is not a path below {root}", hint="Give it relative to that, without '..'."
        )
    way = [root.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
    try:
        seen = [folder.stat() for folder in way]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{way[-1]} does not exist", hint="Check its spelling, and that its disk is mounted."
        ) from error
    except OSError as error:
        raise UsageError(
            f"{way[-1]} cannot be looked at",
            why=error.strerror or str(error),
            hint="Check who may read the folders that it is in.",
        ) from error
    walker = _Walker(_exclude_rules(exclude), hidden, follow_symlinks, set(map(_identity, seen)))
    path = "/".join(parts)
    if not _is_utf8(path) or not stat.S_ISDIR(seen[-1].st_mode):
        return iter([_found_or_skipped(path, seen[-1])])
    return walker.walk(way, path)


@dataclass(frozen=True, slots=True)
class _Walker:
    exclude: tuple[_Rule, ...]
    hidden: bool
    follow_symlinks: bool
    walked: set[tuple[int, int]]  # the folders from root to start, and targets of links

    def walk(self, way: list[Path], path: str) -> Iterator[FoundFile | SkippedEntry]:
        rules: tuple[_Rule, ...] = ()
        for folder in way[:-1]:
            if os.path.lexists(folder / IGNORE_FILE):
                relative = "/".join(folder.parts[len(way[0].parts) :])
                rules, problem = _with_rules_of(folder, relative, rules)
                if problem:
                    yield problem
        # One generator for each folder on the way down: depth costs no recursion.
        folders = [self._folder(_Subfolder(os.fspath(way[-1]), path, rules), asked_for=True)]
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
        path, relative, rules = folder
        try:
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield _skipped(relative, _reason(error), is_dir=True)
            return
        if not (self.hidden or asked_for) and any(map(_is_cache_tag, entries)):
            return
        if any(entry.name == IGNORE_FILE for entry in entries):
            rules, problem = _with_rules_of(Path(path), relative, rules)
            if problem:
                yield problem
        for entry in entries:
            item = self._entry(entry, _join(relative, entry.name), rules)
            if item is not None:
                yield item

    def _entry(
        self, entry: os.DirEntry[str], path: str, rules: tuple[_Rule, ...]
    ) -> FoundFile | SkippedEntry | _Subfolder | None:
        is_link = _answer(entry.is_symlink)
        if entry.name == IGNORE_FILE or (is_link and not self.follow_symlinks):
            return None
        is_dir = _answer(entry.is_dir)
        if not self.hidden and _is_hidden(entry.name, is_dir):
            return None
        if _is_excluded(path, is_dir, chain(self.exclude, rules)):
            return None
        try:
            if is_dir and _is_utf8(entry.name):
                return self._subfolder(entry, path, rules)
            return _found_or_skipped(path, entry.stat())
        except OSError as error:
            return _skipped(path, _reason(error, is_link), is_dir=is_dir or is_link)

    def _subfolder(
        self, entry: os.DirEntry[str], path: str, rules: tuple[_Rule, ...]
    ) -> SkippedEntry | _Subfolder | None:
        if self.follow_symlinks:
            folder = Path(entry.path)
            itself = _identity(folder.stat())
            if entry.is_symlink():
                if itself in _lineage(folder.parent):
                    return _skipped(path, "a link to a folder that it is in", is_dir=True)
                if not self.walked.isdisjoint(_lineage(folder)):
                    return None
                self.walked.add(itself)
            elif itself in self.walked:
                return None
        return _Subfolder(entry.path, path, rules)


class _Rule(NamedTuple):
    """One line of an ignore file."""

    pattern: re.Pattern[str]
    excludes: bool
    dirs_only: bool
    base: int  # characters of a path down to the folder that the line was written in

    def matches(self, path: str, is_dir: bool) -> bool:
        if self.dirs_only and not is_dir:
            return False
        found = self.pattern.search(path[self.base :])
        # pathspec's patterns match also what is in a folder that they name; the "/" after
        # that folder is then in their one group. The folder itself was asked about before.
        return found is not None and found.lastgroup is None


def _is_excluded(path: str, is_dir: bool, rules: Iterable[_Rule]) -> bool:
    return next((rule.excludes for rule in rules if rule.matches(path, is_dir)), False)


def _rule(line: str, base: int) -> _Rule | None:
    """Compile one line; None for a blank one, a comment, and what git also passes over.

    A whole `GitIgnoreSpec` answers for files only: after ``*`` and ``!*/`` it leaves out
    every folder. So each line is asked alone, about the entry itself.

    Raises:
        ValueError: It is not a pattern.
    """
    from pathspec import GitIgnoreSpec

    text = re.sub(r"(?<!\\) +$", "", line)
    if re.search(r"^[^#].*\[:\w+:\]", text):
        raise ValueError("pathspec would take a POSIX class for a set of its letters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of re, about "[[]", which is right
            patterns = GitIgnoreSpec.from_lines([text.removesuffix("/")]).patterns
    except re.error as error:
        raise ValueError(str(error)) from error
    for pattern in patterns:
        if pattern.regex is not None and pattern.include is not None:
            return _Rule(pattern.regex, pattern.include, text.endswith("/"), base)
    return None


def _rules(lines: Iterable[str], base: int) -> tuple[tuple[_Rule, ...], list[int]]:
    """Compile lines; the rules, the one that decides first, and the numbers of bad lines."""
    rules, bad = [], []
    for number, line in enumerate(lines, start=1):
        try:
            rules.append(_rule(line, base))
        except ValueError:  # noqa: PERF203 - one bad line does not undo the others
            bad.append(number)
    return tuple(rule for rule in reversed(rules) if rule), bad


def _exclude_rules(patterns: Sequence[str]) -> tuple[_Rule, ...]:
    rules, bad = _rules(patterns, base=0)
    if bad:
        raise UsageError(
            f"{patterns[bad[0] - 1]!r} is not a pattern to exclude",
            hint="Patterns are those of .gitignore, for example '*.gif' or 'drafts/'.",
        )
    return rules


def _with_rules_of(
    folder: Path, relative: str, rules: tuple[_Rule, ...]
) -> tuple[tuple[_Rule, ...], SkippedEntry | None]:
    """Put the rules of the folder's ignore file before `rules`, and say what is wrong in it."""
    path = _join(relative, IGNORE_FILE)
    try:
        text = _read_regular(folder / IGNORE_FILE).decode("utf-8-sig")
    except OSError as error:
        return rules, _skipped(path, _reason(error), is_dir=False)
    except UnicodeDecodeError:
        return rules, _skipped(path, "not valid UTF-8", is_dir=False)
    own, bad = _rules(re.split(r"\r?\n", text), base=len(path) - len(IGNORE_FILE))
    problem = f"not a gitignore pattern: line {', '.join(map(str, bad))}"
    return own + rules, _skipped(path, problem, is_dir=False) if bad else None


def _is_hidden(name: str, is_dir: bool) -> bool:
    return name.startswith(".") or (is_dir and name in _LEFT_OUT_FOLDERS)


def _is_cache_tag(entry: os.DirEntry[str]) -> bool:
    try:
        return (
            entry.name == _CACHE_TAG
            and not entry.is_symlink()
            and _read_regular(Path(entry.path), len(_CACHE_SIGNATURE)) == _CACHE_SIGNATURE
        )
    except OSError:
        return False


def _read_regular(path: Path, size: int = -1) -> bytes:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, _not_a_file(mode))

    def no_wait(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    # Should a FIFO have taken the file's place since, opening it must not block.
    with open(path, "rb", opener=no_wait) as file:
        return file.read(size)


def _found_or_skipped(path: str, info: os.stat_result) -> FoundFile | SkippedEntry:
    is_dir = stat.S_ISDIR(info.st_mode)
    if not _is_utf8(path):
        return _skipped(path, "name is not valid UTF-8", is_dir=is_dir)
    if not stat.S_ISREG(info.st_mode):
        return _skipped(path, _not_a_file(info.st_mode), is_dir=is_dir)
    return FoundFile(path, info.st_size, info.st_mtime_ns)


def _skipped(path: str, reason: str, *, is_dir: bool) -> SkippedEntry:
    return SkippedEntry(os.fsencode(path).decode("utf-8", "backslashreplace"), reason, is_dir)


def _not_a_file(mode: int) -> str:
    return f"{_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file"


def _reason(error: OSError, is_link: bool = False) -> str:
    if isinstance(error, FileNotFoundError):
        return "a broken link" if is_link else "no longer there"
    if error.errno == errno.ELOOP:
        return "a link that leads to itself"
    return f"not readable: {error.strerror}"


def _answer(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:
        return False  # the stat() that follows meets the same error, and names it


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def _lineage(folder: Path) -> set[tuple[int, int]]:
    """The identities of a folder and of all that it is really in."""
    real = Path(os.path.realpath(folder, strict=True))
    return {_identity(above.stat()) for above in (real, *real.parents)}


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
