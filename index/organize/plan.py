"""Plans where labelled files go: one folder per label. Nothing on disk is changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from nmm.index.errors import UsageError
from nmm.index.organize.copy_files import candidate_paths

Action = Literal["move", "link"]
MAX_FOLDER_NAME_BYTES = 200
REPLACEMENT = "_"


class LabelledFile(NamedTuple):
    """A file and its label, with its size and time from the index to detect changes.

    Attributes:
        path: Absolute.
        label: The label that the folder is named after.
        size: Bytes.
        mtime_ns: When it was modified, in nanoseconds since 1970.
    """

    path: str
    label: str
    size: int
    mtime_ns: int


class Step(NamedTuple):
    """A file and its new path, both absolute."""

    source: str
    target: str


@dataclass
class Plan:
    """What is to be done.

    Attributes:
        action: Move or link.
        folder: The folder that contains the folders of the labels.
        steps: In the order of the files.
        in_place: How many files are in the right folder already.
        failed: Files that are not moved or linked, each with the reason.
    """

    action: Action
    folder: Path
    steps: list[Step] = field(default_factory=list)
    in_place: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def folder_names(labels: Sequence[str]) -> dict[str, str]:
    """Return a folder name per label: valid on all systems and unique (case-insensitive).

    A label is any text that a user typed. It may look like a path, be the name of a Windows device,
    or contain control characters or directional overrides.
    """
    from pathvalidate import sanitize_filename

    names: dict[str, str] = {}
    taken: set[str] = set()
    for label in labels:
        shown = "".join(c if c.isprintable() else REPLACEMENT for c in label.strip())
        # A leading dot would hide the folder, also from the index.
        visible = REPLACEMENT + shown[1:] if shown.startswith(".") else shown
        name = sanitize_filename(visible, replacement_text=REPLACEMENT, platform="universal")
        short = (
            os.fsencode(name)[:MAX_FOLDER_NAME_BYTES].decode("utf-8", "ignore").rstrip(". ")
            or REPLACEMENT
        )
        free = (n for n in _numbered_names(short) if n.casefold() not in taken)
        names[label] = next(free)
        taken.add(names[label].casefold())
    return names


def _numbered_names(name: str) -> Iterator[str]:
    yield name
    number = 1
    while True:
        number += 1
        yield f"{name} ({number})"


def make_plan(
    files: Iterable[LabelledFile], folder: Path, names: dict[str, str], action: Action
) -> Plan:
    """Plan the new path of each file. Nothing on disk is changed.

    Args:
        files: In the order in which they get names.
        folder: The folder for the folders of the labels.
        names: The names of these folders, see :func:`folder_names`.
        action: Move the files, or link to them.

    Raises:
        UsageError: The path of a folder is taken by something else.
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
    result = Plan(action, top)
    taken: set[str] = set()
    for file in files:
        source, into = Path(file.path), top / names[file.label]
        if reason := _reason_to_skip(file, action):
            result.failed.append((file.path, reason))
            continue
        if source.parent == into:
            result.in_place += 1
            continue
        for candidate in candidate_paths(into, source.name):
            key = str(candidate).casefold()
            if key in taken:
                continue
            if os.path.lexists(candidate):
                if action == "link" and is_link_to(candidate, source):
                    result.in_place += 1
                    break
                continue
            taken.add(key)
            result.steps.append(Step(file.path, str(candidate)))
            break
    return result


def _reason_to_skip(file: LabelledFile, action: Action) -> str:
    """Return why a file cannot be moved or linked, or an empty string."""
    try:
        status = os.lstat(file.path)
        if stat.S_ISLNK(status.st_mode):
            if action == "move":
                return "it is a link"
            status = os.stat(file.path)  # noqa: PTH116
    except OSError as error:
        return error.strerror or str(error)
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file any more"
    if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
        return "it was changed since it was indexed"
    return ""


def is_link_to(candidate: Path, source: Path) -> bool:
    """Return whether a path is a symbolic or hard link to a file, which may be missing."""
    with suppress(OSError):
        if candidate.is_symlink():
            return str(candidate.readlink()) == str(source)
    return is_same_file(candidate, source)


def is_same_file(one: Path, other: Path) -> bool:
    """Return whether two paths name the same file; a symbolic link is a file of its own."""
    with suppress(OSError):
        return os.path.samestat(os.lstat(one), os.lstat(other))
    return False
