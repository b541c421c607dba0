"""Files sorted into folders: what would be done, what was done, and how to undo it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.stdout import emit
from nmm.cli.console.text import count, current_folder, printable

if TYPE_CHECKING:
    from nmm.cli.render.classifications import Row
    from nmm.index.organize.apply import SortResult
    from nmm.index.organize.plan import Plan


def sort(
    shown: Sequence[Row],
    labels: Sequence[str],
    folder: Path,
    roots: Sequence[Path],
    *,
    moving: bool,
    yes: bool,
    listed: bool,
    quiet: bool,
) -> bool:
    """Sort files into folders, or say how; whether some could not be.

    Args:
        shown: The files.
        labels: All that there were to choose from.
        folder: With a folder for each label.
        roots: Of the index.
        moving: Move them; else make links.
        yes: Do it.
        listed: Print what would be done file by file; else standard output is for a script.
        quiet: Leave out notes.
    """
    from nmm.index.organize.apply import apply_plan
    from nmm.index.organize.plan import LabelledFile, folder_names, make_plan

    names = folder_names(labels)
    files = [
        LabelledFile(row.item.path, row.label, row.item.size, row.item.mtime_ns) for row in shown
    ]
    todo = make_plan(files, folder, names, "move" if moving else "link")
    if not yes:
        _tell(todo, listed=listed, quiet=quiet)
        return bool(todo.failed)

    def tell_log(log: Path) -> None:
        # Before anything is moved, for whoever stops it in the middle.
        if not quiet:
            typer.echo(
                f"Undo it with: nmm classify --undo {printable(shlex.quote(str(log)))}", err=True
            )

    done = apply_plan(todo, tell_log)
    _tell_failed(done)
    if not quiet:
        counts = [f"{done.done} {'moved' if moving else 'linked'}"]
        if todo.in_place:
            counts.append(f"{todo.in_place} there already")
        if done.failed:
            counts.append(f"{len(done.failed)} failed")
        typer.echo(f"{', '.join(counts)}: {printable(str(todo.folder))}", err=True)
        if moving and done.done:
            typer.echo(f"Tell the index with: {_indexing(todo.folder, roots)}", err=True)
    return bool(done.failed)


def _indexing(folder: Path, roots: Sequence[Path]) -> str:
    """What takes the files into the index at their new places, without embedding them again.

    A folder that is new to it is taken in first, for what no file holds is forgotten.
    """
    if any(folder.is_relative_to(root) for root in roots):
        return "nmm index"
    return f"nmm index {printable(shlex.quote(str(folder)))} && nmm index"


def _tell(todo: Plan, *, listed: bool, quiet: bool) -> None:
    """Say what would be done."""
    here = current_folder()
    for step in todo.steps if listed else ():
        source, target = (printable(path.removeprefix(here)) for path in step)
        emit(f"{source} -> {target}\n")
    for path, reason in todo.failed:
        typer.echo(f"{printable(path)}: {printable(reason)}", err=True)
    if not quiet:
        what = "moved" if todo.action == "move" else "linked"
        there = f", {todo.in_place} there already" if todo.in_place else ""
        typer.echo(f"{len(todo.steps)} to be {what}{there}. Nothing was done yet.", err=True)
        if todo.steps:
            typer.echo("Do it with the same command and: --yes", err=True)


def put_back(log: Path, *, quiet: bool) -> None:
    """Undo what a log says, and say what came of it."""
    from nmm.index.organize.apply import undo

    done = undo(log.expanduser())
    _tell_failed(done)
    if not quiet:
        is_moved = done.action == "move"
        files, links = count(done.done, "file"), count(done.done, "link")
        typer.echo(f"{files} put back." if is_moved else f"{links} removed.", err=True)
    if done.failed:
        if not quiet:
            typer.echo(f"The log is kept: {printable(str(log))}", err=True)
        raise typer.Exit(Exit.SOME_SKIPPED)


def _tell_failed(done: SortResult) -> None:
    for path, reason in done.failed:
        typer.echo(f"{printable(path)}: {printable(reason)}", err=True)
