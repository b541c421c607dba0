"""Sorts files into folders by label: moves or links them, and can undo that.

The plan is made first and can be shown. Then it is written to a log, which is on disk before any
file is touched. Whatever ends the run, :func:`undo` restores everything that was done. Nothing is
ever overwritten: a taken name gets a number, and a name that was taken after the plan was made is
skipped.

A file is moved by creating a hard link and removing the old name, because a hard link never
overwrites. To another file system, the file is copied first.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from nmm.index.common.atomic_files import fsync_path
from nmm.index.common.failpoints import failpoint
from nmm.index.errors import OutputError, UsageError
from nmm.index.organize.copy_files import candidate_paths, claim_name, has_same_content
from nmm.index.organize.plan import Action, Plan, Step, is_link_to, is_same_file

FORMAT = "nmm sorted files"
VERSION = 1
# Hidden, so that it is not indexed.
LOG_NAME = ".nmm-undo-{date}.jsonl"


@dataclass
class SortResult:
    """The result of :func:`apply_plan` or :func:`undo`.

    Attributes:
        done: The number of files that were moved, linked or restored.
        failed: The other files, each with the reason.
        log: The log that :func:`undo` reads; None if there is nothing to undo.
        action: Move or link.
    """

    done: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    log: Path | None = None
    action: Action = "move"


def apply_plan(plan: Plan, on_log: Callable[[Path], None] = lambda _: None) -> SortResult:
    """Move or link the files of a plan, after writing the log for :func:`undo`.

    Args:
        plan: See :func:`.plan.make_plan`.
        on_log: Called with the path of the log, before any file is touched.

    Raises:
        OutputError: A folder cannot be created or the log cannot be written. No file was moved.
    """
    done = SortResult(failed=list(plan.failed), action=plan.action)
    if not plan.steps:
        return done
    folders = sorted({str(Path(step.target).parent) for step in plan.steps})
    missing = _missing_folders(folders)
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        done.log = _write_log(plan, missing)
        for folder in folders:
            Path(folder).mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{plan.folder} cannot be written.",
            code="folder-not-writable",
            why=error.strerror or str(error),
            hint="Give another folder.",
            path=plan.folder,
        ) from error
    on_log(done.log)
    execute = _move if plan.action == "move" else _link
    for step in plan.steps:
        failpoint("sort_files", "next")
        try:
            execute(Path(step.source), Path(step.target), _partial_name(done.log))
        except OSError as error:
            done.failed.append((step.source, _reason(error)))
            continue
        done.done += 1
    for folder in {*folders, *(str(Path(step.source).parent) for step in plan.steps)}:
        with suppress(OSError):  # the file system does not support it
            fsync_path(Path(folder))
    return done


def _missing_folders(folders: Sequence[str]) -> list[str]:
    """Return the folders that have to be created, parents first."""
    found = {
        str(path)
        for folder in folders
        for path in (Path(folder), *Path(folder).parents)
        if not os.path.lexists(path)
    }
    return sorted(found)


def _write_log(plan: Plan, missing: Sequence[str]) -> Path:
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d-%H%M%S")
    name = LOG_NAME.format(date=date)
    partial = plan.folder / f"{name}.{os.getpid()}"
    head = {"format": FORMAT, "version": VERSION, "action": plan.action, "made": missing}
    try:
        with partial.open("x", encoding="ascii") as stream:
            # JSON in ASCII can escape file names that are not valid UTF-8.
            for line in (head, *(step._asdict() for step in plan.steps)):
                stream.write(json.dumps(line) + "\n")
        fsync_path(partial)
        failpoint("sort_files", "log to be named")
        log = next(log for log in candidate_paths(plan.folder, name) if claim_name(partial, log))
    finally:
        partial.unlink(missing_ok=True)
    fsync_path(log.parent)
    failpoint("sort_files", "log written")
    return log


def _partial_name(log: Path) -> str:
    """Return the name of an incomplete copy, by which :func:`undo` finds it after a kill."""
    return f"{log.name}.part"


def _move(source: Path, target: Path, partial: str) -> None:
    """Rename a file to a path that is not taken.

    Raises:
        FileExistsError: The path is taken.
        OSError: The file cannot be renamed and stays where it was.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno == errno.EXDEV:
            _copy(source, target, partial)
        elif os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        else:  # a file system without hard links
            source.rename(target)
            return
    failpoint("sort_files", "both names")
    try:
        source.unlink()
    except OSError:
        target.unlink()
        raise


def _link(source: Path, target: Path, partial: str) -> None:
    """Make a symbolic link, or else a hard link or a copy.

    Raises:
        FileExistsError: The path is taken.
        OSError: None of these can be made.
    """
    for make in (target.symlink_to, target.hardlink_to):
        try:
            make(source)
        except FileExistsError:
            raise
        except OSError:  # Windows allows symbolic links to some users only, FAT has none.
            continue
        return
    _copy(source, target, partial)


def _copy(source: Path, target: Path, partial: str) -> None:
    copy = target.with_name(partial)
    try:
        copy.unlink(missing_ok=True)
        shutil.copy2(source, copy, follow_symlinks=False)
        fsync_path(copy)
        if not claim_name(copy, target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    finally:
        copy.unlink(missing_ok=True)


def undo(log: Path) -> SortResult:
    """Undo all steps of a log, and delete the log if all succeed.

    Steps that had not been done when a run was killed are skipped. An undo that is killed can be
    repeated.

    Raises:
        UsageError: The log cannot be read or is not a log.
        OutputError: The log cannot be deleted.
    """
    action, created, steps = _read_log(log)
    result = SortResult(log=log, action=action)
    revert = _restore if action == "move" else _unlink
    for folder in {str(Path(path).parent) for step in steps for path in step}:
        with suppress(OSError):
            Path(folder, _partial_name(log)).unlink(missing_ok=True)
    for step in reversed(steps):
        failpoint("sort_files", "next")
        try:
            result.done += revert(Path(step.source), Path(step.target), _partial_name(log))
        except OSError as error:
            result.failed.append((step.target, _reason(error)))
    if not result.failed:
        try:
            log.unlink()
        except OSError as error:
            raise OutputError(
                f"{log} cannot be deleted.",
                code="sort-log-not-deletable",
                why=_reason(error),
                path=log,
            ) from error
        result.log = None
        for folder in reversed(created):
            with suppress(OSError):  # other files are in it
                Path(folder).rmdir()
    return result


def _restore(source: Path, target: Path, partial: str) -> bool:
    """Move a file back; return False if it was never moved."""
    if not os.path.lexists(target):
        if os.path.lexists(source):
            return False
        raise FileNotFoundError(errno.ENOENT, "it is neither there nor where it was")
    if target.is_symlink():  # links are never moved
        raise FileExistsError(errno.EEXIST, "it is another file now")
    if not os.path.lexists(source):
        source.parent.mkdir(parents=True, exist_ok=True)
        _move(target, source, partial)
        return True
    # A kill left both names of the file, or the file and its complete copy.
    if is_same_file(source, target) or _is_copy(source, target):
        target.unlink()
        return True
    raise FileExistsError(errno.EEXIST, f"something else is at {source} now")


def _unlink(source: Path, target: Path, _: str) -> bool:
    """Remove a link, or the copy that replaces one; return False if there is none."""
    if not os.path.lexists(target):
        return False
    if not (is_link_to(target, source) or _is_copy(source, target)):
        raise FileExistsError(errno.EEXIST, "it is another file now")
    target.unlink()
    return True


def _read_log(log: Path) -> tuple[Action, list[str], list[Step]]:
    try:
        lines = log.read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"{log} cannot be read.", code="sort-log-unreadable", why=why, path=log
        ) from error
    invalid = UsageError(f"{log} is not a log of sorted files.", code="sort-log-invalid", path=log)
    try:
        head = json.loads(lines[0])
        steps = [Step(**json.loads(line)) for line in lines[1:]]
        named = [*head["made"], *(path for step in steps for path in step)]
        header = (head["format"], head["version"], head["action"])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise invalid from error
    if header not in {(FORMAT, VERSION, "move"), (FORMAT, VERSION, "link")} or not all(
        map(_is_absolute, named)
    ):
        raise invalid
    return head["action"], head["made"], steps


def _is_absolute(path: object) -> bool:
    return isinstance(path, str) and Path(path).is_absolute()


def _is_copy(one: Path, other: Path) -> bool:
    """Return whether two files, neither of them a symbolic link, have the same content."""
    return not (one.is_symlink() or other.is_symlink()) and has_same_content(one, other)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
