"""Which roots a run covers: what is named, or all that the index has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nmm.index.errors import UsageError
from nmm.index.store.catalog import Root
from nmm.index.store.writer import CatalogWriter
from nmm.index.walk import is_left_out

Scope = tuple[Root, str]


@dataclass
class Coverage:
    """What a run is about.

    Attributes:
        scopes: A root and a path below it each, to be walked.
        away: Roots that are not there, perhaps on a disk that is not: they are kept.
        deleted: Roots that were a single file, which is gone from a folder that is there.
    """

    scopes: list[Scope]
    away: list[Path] = field(default_factory=list)
    deleted: list[Path] = field(default_factory=list)


def resolve(path: Path) -> Path:
    """The absolute path of what is to be indexed, links followed.

    Raises:
        UsageError: It does not exist, or the catalog could not hold its name.
    """
    try:
        resolved = path.expanduser().resolve(strict=True)
        str(resolved).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{str(path).encode(errors='backslashreplace').decode()} cannot be indexed.",
            why="Its name is not valid UTF-8.",
            hint="Rename it, or the folder that it is in.",
        ) from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before 3.13
        raise UsageError(
            f"{path} cannot be indexed.",
            why=getattr(error, "strerror", None) or str(error),
            hint="Check its spelling, and that its disk is mounted.",
        ) from error
    return resolved


def cover(writer: CatalogWriter, paths: Sequence[Path]) -> Coverage:
    """Make roots of resolved paths, or take all roots that there are if there are no paths.

    Raises:
        UsageError: There are neither paths nor roots.
    """
    coverage = Coverage([])
    if not paths:
        roots = writer.roots()
        if not roots:
            raise UsageError(
                "The index has no folders to look at again.", hint="Name one: nmm index FOLDER"
            )
        for root in roots:
            if _is_empty(root.path):
                coverage.away.append(root.path)
            elif not is_there(root.path):
                file = writer.file_row(root, "")
                deleted = file and file.status == "indexed" and is_there(root.path.parent)
                (coverage.deleted if deleted else coverage.away).append(root.path)
        gone = {*coverage.away, *coverage.deleted}
        paths = [root.path for root in roots if root.path not in gone]
    with writer.batch():
        coverage.scopes = [writer.adopt_root(path, _reaches) for path in _outermost(paths)]
    return coverage


def _outermost(paths: Sequence[Path]) -> list[Path]:
    """The paths that the walk of no other one meets, for that would read them twice."""
    outermost: list[Path] = []
    last: Path | None = None
    for path in sorted(paths):  # by their parts: a folder, then all that is below it
        if last is None or not path.is_relative_to(last):
            last = path
            outermost.append(path)
        elif not _reaches(last, path):
            outermost.append(path)
    return list(dict.fromkeys(outermost))


def _reaches(outer: Path, inner: Path) -> bool:
    """Whether the walk of a folder meets what lies below it.

    It does not meet what is hidden but was named, nor what is not there just now.
    """
    return is_there(inner) and not any(is_left_out(part) for part in inner.relative_to(outer).parts)


def _is_empty(path: Path) -> bool:
    """Whether a folder holds nothing at all, as one does that a disk is mounted on."""
    try:
        return path.is_dir() and next(path.iterdir(), None) is None
    except OSError:
        return False


def is_there(path: Path) -> bool:
    """Whether there is something at a path, as far as can be seen."""
    try:
        path.stat()
    except OSError:  # also where the folder above may not be looked into
        return False
    return True
