"""Where files come to be that are sorted into folders by their labels; nothing is touched."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from nmm.index.errors import UsageError
from nmm.index.organize.copy_files import places

Action = Literal["move", "link"]
FOLDER_BYTES = 200
SPARE = "_"


class Filed(NamedTuple):
    """A file and its label, as the index has it: changed since, it may be something else.

    Attributes:
        path: Absolute.
        label: A folder is named after it.
        size: Bytes.
        mtime_ns: When it was modified, in nanoseconds since 1970.
    """

    path: str
    label: str
    size: int
    mtime_ns: int


class Step(NamedTuple):
    """A file that is to come to another place, both absolute."""

    source: str
    target: str


@dataclass
class Plan:
    """What is to be done.

    Attributes:
        action: With each.
        folder: Below which all comes to be.
        steps: In the order of the files.
        there: How many are where they should be.
        failed: Files that stay where they are, each with the reason.
    """

    action: Action
    folder: Path
    steps: list[Step] = field(default_factory=list)
    there: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def folder_names(labels: Sequence[str]) -> dict[str, str]:
    """The name of each label's folder, the same on all systems and no two alike in any case.

    A label is anything that somebody typed: a part of a path, a device of Windows, a name that is
    hidden or that shows backwards.
    """
    from pathvalidate import sanitize_filename

    found: dict[str, str] = {}
    taken: set[str] = set()
    for label in labels:
        shown = "".join(c if c.isprintable() else SPARE for c in label.strip())
        # A leading dot would hide it, and the index leave it out.
        visible = SPARE + shown[1:] if shown.startswith(".") else shown
        name = sanitize_filename(visible, replacement_text=SPARE, platform="universal")
        short = os.fsencode(name)[:FOLDER_BYTES].decode("utf-8", "ignore").rstrip(". ") or SPARE
        free = (n for n in _numbered(short) if n.casefold() not in taken)
        found[label] = next(free)
        taken.add(found[label].casefold())
    return found


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 1
    while True:
        number += 1
        yield f"{name} ({number})"


def plan(files: Iterable[Filed], folder: Path, names: dict[str, str], action: Action) -> Plan:
    """Where each file would come to be, if nothing changes until then; nothing is touched.

    Args:
        files: In the order in which they get names.
        folder: With a folder for each label in it.
        names: Of these folders, see :func:`folder_names`.
        action: Move them, or make links to them.

    Raises:
        UsageError: There is something else where the folder should be.
    """
    top = Path(os.path.realpath(folder.expanduser()))
    for path in (top, *(top / name for name in names.values())):
        if os.path.lexists(path) and not path.is_dir():
            raise UsageError(
                f"{path} is not a folder.",
                code="target-not-a-folder",
                hint="Give the name of a folder, or a new name.",
                path=path,
            )
    made = Plan(action, top)
    taken: set[str] = set()
    for file in files:
        source, into = Path(file.path), top / names[file.label]
        if reason := _unfit(file, action):
            made.failed.append((file.path, reason))
            continue
        if source.parent == into:
            made.there += 1
            continue
        for place in places(into, source.name):
            key = str(place).casefold()
            if key in taken:
                continue
            if os.path.lexists(place):
                if action == "link" and leads_to(place, source):
                    made.there += 1
                    break
                continue
            taken.add(key)
            made.steps.append(Step(file.path, str(place)))
            break
    return made


def _unfit(file: Filed, action: Action) -> str:
    """Why a file must stay where it is, if so."""
    try:
        found = os.lstat(file.path)
        if stat.S_ISLNK(found.st_mode):
            if action == "move":
                return "it is a link"
            found = os.stat(file.path)  # noqa: PTH116
    except OSError as error:
        return error.strerror or str(error)
    if not stat.S_ISREG(found.st_mode):
        return "not a regular file any more"
    if (found.st_size, found.st_mtime_ns) != (file.size, file.mtime_ns):
        return "it was changed since it was indexed"
    return ""


def leads_to(place: Path, source: Path) -> bool:
    """Whether a name is a link to a file, whether it is there or not."""
    with suppress(OSError):
        if place.is_symlink():
            return str(place.readlink()) == str(source)
    return is_one(place, source)


def is_one(one: Path, other: Path) -> bool:
    """Whether two names are of one file; a link is a file of its own."""
    with suppress(OSError):
        return os.path.samestat(os.lstat(one), os.lstat(other))
    return False
