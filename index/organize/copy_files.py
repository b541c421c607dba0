"""Results put into a folder: copied, or linked to.

Every file keeps its name, and none that is there is ever overwritten: a name that is taken
gets a number, and a file that is there with the same content stays the only one. A copy
appears when all of it is there.
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

NAME_BYTES = 255  # of the usual file systems


@dataclass
class Collected:
    """What came of it.

    Attributes:
        placed: Files that are new in the folder.
        there: How many were there before, or are the same as another result.
        instead: How many were copied, or hard-linked, where no link could be made.
        failed: Files that could not be put there, each with the reason.
        by_size: Of `placed`, those that are copies, by their bytes.
    """

    placed: list[Path] = field(default_factory=list)
    there: int = 0
    instead: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    by_size: dict[int, list[Path]] = field(default_factory=lambda: defaultdict(list), repr=False)


def collect(paths: Sequence[str], folder: Path, *, link: bool = False) -> Collected:
    """Put files into a folder, which is made if it is missing.

    Args:
        paths: Absolute.
        folder: Where to.
        link: Make symbolic links to them, not copies.

    Raises:
        UsageError: There is something else where the folder should be.
        OutputError: The folder cannot be made.
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
    done = Collected()
    for path in paths:
        if reason := _put(Path(path), target, done, link=link):
            done.failed.append((path, reason))
    return done


def _put(source: Path, folder: Path, done: Collected, *, link: bool) -> str | None:
    """Put one file there; why it could not be done, if so."""
    try:
        (_link if link else _copy)(source, folder, done)
    except shutil.SpecialFileError:
        return "not a regular file any more"
    except OSError as error:
        return error.strerror or str(error)
    return None


def _copy(source: Path, folder: Path, done: Collected) -> None:
    size = source.stat().st_size
    if any(is_same(source, other) for other in done.by_size.get(size, ())):
        done.there += 1
        return
    for place in places(folder, source.name):
        if os.path.lexists(place):
            if is_same(source, place):
                done.there += 1
                return
            continue
        part = folder / f".nmm.{os.getpid()}.part"
        try:
            shutil.copyfile(source, part)
            with suppress(OSError):  # FAT takes no modes
                shutil.copystat(source, part)
            if not settled(part, place):
                continue  # somebody else took the name meanwhile
        finally:
            part.unlink(missing_ok=True)
        done.placed.append(place)
        done.by_size[size].append(place)
        return


def settled(part: Path, place: Path) -> bool:
    """Give a copy its name, unless that is taken."""
    try:
        place.hardlink_to(part)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if os.path.lexists(place):
            return False
        part.rename(place)
    return True


def _link(source: Path, folder: Path, done: Collected) -> None:
    source.stat()  # a link to nothing helps nobody
    for place in places(folder, source.name):
        if os.path.lexists(place):
            if _is_same_file(source, place):
                done.there += 1
                return
            continue
        try:
            place.symlink_to(source)
        except FileExistsError:
            continue
        except OSError:
            # Windows lets only some make symbolic links, and FAT knows none.
            try:
                place.hardlink_to(source)
            except OSError:
                _copy(source, folder, done)
                done.instead += 1
                return
            done.instead += 1
        done.placed.append(place)
        return


def is_same(one: Path, other: Path) -> bool:
    """Whether both are files of the same content."""
    with suppress(OSError):
        return other.is_file() and filecmp.cmp(one, other, shallow=False)
    return False


def _is_same_file(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False


def places(folder: Path, name: str) -> Iterator[Path]:
    """The names that a file may get: its own, then with (2), (3) and so on."""
    yield folder / name
    stem, suffix = Path(name).stem, Path(name).suffix
    for number in itertools.count(2):
        mark = f" ({number}){suffix}"
        room = NAME_BYTES - len(os.fsencode(mark))
        short = os.fsencode(stem)[: max(room, 0)].decode("utf-8", "ignore")
        yield folder / f"{short}{mark}"
