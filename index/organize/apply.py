"""Files sorted into folders by their labels: moved there or linked to, and put back again.

What is to be done is planned first, and can be shown. Then the whole plan is written to a log,
which is on the disk before anything is touched; whatever ends the run, :func:`undo` puts
everything back that was done. A name that is taken gets a number, and one that was taken since
the plan was made is left alone: nothing is ever overwritten.

A file moves by a second name and the removal of the first, which the file system does not let
overwrite anything; to another disk it is copied first.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from nmm.index.common.atomic_files import fsync_path
from nmm.index.errors import OutputError, UsageError
from nmm.index.organize.copy_files import is_same, places, settled
from nmm.index.organize.plan import Action, Plan, Step, is_one, leads_to

FORMAT = "nmm sorted files"
VERSION = 1
# Hidden, so that it is not indexed.
LOG = ".nmm-undo-{date}.jsonl"


@dataclass
class Sorted:
    """What was done, or undone.

    Attributes:
        done: Files.
        failed: Others, each with the reason.
        log: Where :func:`undo` reads what to undo; None if there is nothing.
        action: With each.
    """

    done: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    log: Path | None = None
    action: Action = "move"


def carry_out(todo: Plan, on_log: Callable[[Path], None] = lambda _: None) -> Sorted:
    """Do what was planned, and write down first how to undo it.

    Args:
        todo: What :func:`.sort_plan.plan` says.
        on_log: Told where that is written down, before anything is touched.

    Raises:
        OutputError: The folders cannot be made, or the log not be written: nothing was moved.
    """
    done = Sorted(failed=list(todo.failed), action=todo.action)
    if not todo.steps:
        return done
    folders = sorted({str(Path(step.target).parent) for step in todo.steps})
    missing = _missing(folders)
    try:
        todo.folder.mkdir(parents=True, exist_ok=True)
        done.log = _write_log(todo, missing)
        for folder in folders:
            Path(folder).mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{todo.folder} cannot be written.",
            code="folder-not-writable",
            why=error.strerror or str(error),
            hint="Give another folder.",
            path=todo.folder,
        ) from error
    on_log(done.log)
    put = _move if todo.action == "move" else _link
    for step in todo.steps:
        sys.audit("nmm.sort_files", "next")
        try:
            put(Path(step.source), Path(step.target), _part(done.log))
        except OSError as error:
            done.failed.append((step.source, _reason(error)))
            continue
        done.done += 1
    for folder in {*folders, *(str(Path(step.source).parent) for step in todo.steps)}:
        with suppress(OSError):  # a file system that does not know it
            fsync_path(Path(folder))
    return done


def _missing(folders: Sequence[str]) -> list[str]:
    """Folders that are to be made for these, those that are in others after them."""
    found = {
        str(path)
        for folder in folders
        for path in (Path(folder), *Path(folder).parents)
        if not os.path.lexists(path)
    }
    return sorted(found)


def _write_log(todo: Plan, missing: Sequence[str]) -> Path:
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d-%H%M%S")
    name = LOG.format(date=date)
    part = todo.folder / f"{name}.{os.getpid()}"
    head = {"format": FORMAT, "version": VERSION, "action": todo.action, "made": missing}
    try:
        with part.open("x", encoding="ascii") as stream:
            # In ASCII, which has a way to write names that are no UTF-8.
            for line in (head, *(step._asdict() for step in todo.steps)):
                stream.write(json.dumps(line) + "\n")
        fsync_path(part)
        sys.audit("nmm.sort_files", "log to be named")
        log = next(log for log in places(todo.folder, name) if settled(part, log))
    finally:
        part.unlink(missing_ok=True)
    fsync_path(log.parent)
    sys.audit("nmm.sort_files", "log written")
    return log


def _part(log: Path) -> str:
    """The name of a copy that is not whole, so that one that a kill has left is known."""
    return f"{log.name}.part"


def _move(source: Path, target: Path, part: str) -> None:
    """Give a file another name, which is not taken.

    Raises:
        FileExistsError: It is.
        OSError: It cannot be done; the file is where it was.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno == errno.EXDEV:
            _copy(source, target, part)
        elif os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        else:  # a file system without hard links
            source.rename(target)
            return
    sys.audit("nmm.sort_files", "both names")
    try:
        source.unlink()
    except OSError:
        target.unlink()
        raise


def _link(source: Path, target: Path, part: str) -> None:
    """Make a link, or a second name or a copy where none can be made.

    Raises:
        FileExistsError: The name is taken.
        OSError: It cannot be done.
    """
    for make in (target.symlink_to, target.hardlink_to):
        try:
            make(source)
        except FileExistsError:
            raise
        except OSError:  # Windows lets only some make symbolic links, and FAT knows none.
            continue
        return
    _copy(source, target, part)


def _copy(source: Path, target: Path, part: str) -> None:
    copy = target.with_name(part)
    try:
        copy.unlink(missing_ok=True)
        shutil.copy2(source, copy, follow_symlinks=False)
        fsync_path(copy)
        if not settled(copy, target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    finally:
        copy.unlink(missing_ok=True)


def undo(log: Path) -> Sorted:
    """Put all back that a log names, and delete it when all is.

    What was not done yet when a run was killed needs nothing. It can be killed, too, and be run
    again.

    Raises:
        UsageError: The file cannot be read, or is no such log.
        OutputError: It cannot be deleted in the end.
    """
    action, made, steps = _read_log(log)
    result = Sorted(log=log, action=action)
    back = _put_back if action == "move" else _unlink
    for folder in {str(Path(path).parent) for step in steps for path in step}:
        with suppress(OSError):
            Path(folder, _part(log)).unlink(missing_ok=True)
    for step in reversed(steps):
        sys.audit("nmm.sort_files", "next")
        try:
            result.done += back(Path(step.source), Path(step.target), _part(log))
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
        for folder in reversed(made):
            with suppress(OSError):  # somebody else's files are in it
                Path(folder).rmdir()
    return result


def _put_back(source: Path, target: Path, part: str) -> bool:
    """Move a file back; whether it had been moved."""
    if not os.path.lexists(target):
        if os.path.lexists(source):
            return False
        raise FileNotFoundError(errno.ENOENT, "it is neither there nor where it was")
    if target.is_symlink():  # none was moved
        raise FileExistsError(errno.EEXIST, "it is another file now")
    if not os.path.lexists(source):
        source.parent.mkdir(parents=True, exist_ok=True)
        _move(target, source, part)
        return True
    # Killed between two names, of one file or of a whole copy.
    if is_one(source, target) or _is_copy(source, target):
        target.unlink()
        return True
    raise FileExistsError(errno.EEXIST, f"something else is at {source} now")


def _unlink(source: Path, target: Path, _: str) -> bool:
    """Remove a link, or what stands in its place where none can be made."""
    if not os.path.lexists(target):
        return False
    if not (leads_to(target, source) or _is_copy(source, target)):
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
    unlike = UsageError(f"{log} is not a log of sorted files.", code="sort-log-invalid", path=log)
    try:
        head = json.loads(lines[0])
        steps = [Step(**json.loads(line)) for line in lines[1:]]
        named = [*head["made"], *(path for step in steps for path in step)]
        about = (head["format"], head["version"], head["action"])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise unlike from error
    if about not in {(FORMAT, VERSION, "move"), (FORMAT, VERSION, "link")} or not all(
        map(_is_absolute, named)
    ):
        raise unlike
    return head["action"], head["made"], steps


def _is_absolute(path: object) -> bool:
    return isinstance(path, str) and Path(path).is_absolute()


def _is_copy(one: Path, other: Path) -> bool:
    """Whether two files are the same; one of them that is a link may lead to the other."""
    return not (one.is_symlink() or other.is_symlink()) and is_same(one, other)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
