"""Copies files into a folder, or links to them there.

Every file keeps its name. No existing file is overwritten: if a name is taken, the new file gets a
number, unless the existing file has the same content. A copy appears under its name when it is
complete.
"""

from __future__ import annotations

import filecmp
import itertools
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nmm.index.errors import OutputError, UsageError

MAX_NAME_BYTES = 255  # the limit of common file systems


@dataclass
class CopyResult:
    """The result of copying or linking files.

    Attributes:
        created: New files in the folder.
        existing: How many files existed there before, or equal another one.
        fallbacks: How many were copied or hard-linked because no symbolic link could be made.
        failed: Files that could not be created, each with the reason.
        copies_by_size: The copies among `created`, by size in bytes.
    """

    created: list[Path] = field(default_factory=list)
    existing: int = 0
    fallbacks: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    copies_by_size: dict[int, list[Path]] = field(
        default_factory=lambda: defaultdict(list), repr=False
    )


def copy_into(paths: Sequence[str], folder: Path, *, link: bool = False) -> CopyResult:
    """Copy files into a folder, which is created if it is missing.

    Args:
        paths: Absolute.
        folder: The folder.
        link: Make symbolic links instead of copies.

    Raises:
        UsageError: The folder's path is taken by something else.
        OutputError: The folder cannot be created.
    """
    target = folder.expanduser()
    try:
        target.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(
            f"{folder} is not a folder.",
            code="target-not-a-folder",
            hint="Give the name of a folder, or a new name.",
            path=folder,
        ) from error
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be created.",
            code="folder-not-creatable",
            why=error.strerror or str(error),
            path=folder,
        ) from error
    result = CopyResult()
    for path in paths:
        if reason := _put(Path(path), target, result, link=link):
            result.failed.append((path, reason))
    return result


def _put(source: Path, folder: Path, result: CopyResult, *, link: bool) -> str | None:
    """Copy or link one file; return the reason if that failed."""
    try:
        (_link if link else _copy)(source, folder, result)
    except shutil.SpecialFileError:
        return "not a regular file any more"
    except OSError as error:
        return error.strerror or str(error)
    return None


def _copy(source: Path, folder: Path, result: CopyResult) -> None:
    size = source.stat().st_size
    if any(has_same_content(source, other) for other in result.copies_by_size.get(size, ())):
        result.existing += 1
        return
    for candidate in candidate_paths(folder, source.name):
        if os.path.lexists(candidate):
            if has_same_content(source, candidate):
                result.existing += 1
                return
            continue
        partial = folder / f".nmm.{os.getpid()}.part"
        try:
            shutil.copyfile(source, partial)
            with suppress(OSError):  # FAT has no file modes
                shutil.copystat(source, partial)
            if not claim_name(partial, candidate):
                continue  # another process took the name meanwhile
        finally:
            partial.unlink(missing_ok=True)
        result.created.append(candidate)
        result.copies_by_size[size].append(candidate)
        return


def claim_name(partial: Path, candidate: Path) -> bool:
    """Rename a partial copy, unless the name is taken; return whether it was renamed."""
    try:
        candidate.hardlink_to(partial)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if os.path.lexists(candidate):
            return False
        partial.rename(candidate)
    return True


def _link(source: Path, folder: Path, result: CopyResult) -> None:
    source.stat()  # raises if the source does not exist
    for candidate in candidate_paths(folder, source.name):
        if os.path.lexists(candidate):
            if _is_same_file(source, candidate):
                result.existing += 1
                return
            continue
        try:
            candidate.symlink_to(source)
        except FileExistsError:
            continue
        except OSError:
            # Windows allows symbolic links to some users only, and FAT has none.
            try:
                candidate.hardlink_to(source)
            except OSError:
                _copy(source, folder, result)
                result.fallbacks += 1
                return
            result.fallbacks += 1
        result.created.append(candidate)
        return


def has_same_content(one: Path, other: Path) -> bool:
    """Return whether both are files with the same content."""
    with suppress(OSError):
        return other.is_file() and filecmp.cmp(one, other, shallow=False)
    return False


def _is_same_file(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False


def candidate_paths(folder: Path, name: str) -> Iterator[Path]:
    """Yield the path for a file name, then paths numbered (2), (3) and so on."""
    yield folder / name
    stem, suffix = Path(name).stem, Path(name).suffix
    for number in itertools.count(2):
        mark = f" ({number}){suffix}"
        room = MAX_NAME_BYTES - len(os.fsencode(mark))
        short = os.fsencode(stem)[: max(room, 0)].decode("utf-8", "ignore")
        yield folder / f"{short}{mark}"
