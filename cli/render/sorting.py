"""Sorts labelled files into folders, and reports the plan, the result, and how to undo it."""

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


def sort_into_folders(
    rows: Sequence[Row],
    labels: Sequence[str],
    folder: Path,
    roots: Sequence[Path],
    *,
    moving: bool,
    yes: bool,
    listed: bool,
    quiet: bool,
) -> bool:
    """Sort files into folders, or print the plan; return whether any file failed.

    Args:
        rows: The labelled files.
        labels: All labels that the files could have.
        folder: The folder for one folder per label.
        roots: The folders of the index.
        moving: Move the files instead of linking to them.
        yes: Carry out the plan instead of printing it.
        listed: Print the plan to standard output.
        quiet: Print no notes.
    """
    from nmm.index.organize.apply import apply_plan
    from nmm.index.organize.plan import LabelledFile, folder_names, make_plan

    names = folder_names(labels)
    files = [
        LabelledFile(row.item.path, row.label, row.item.size, row.item.mtime_ns) for row in rows
    ]
    plan = make_plan(files, folder, names, "move" if moving else "link")
    if not yes:
        _print_plan(plan, listed=listed, quiet=quiet)
        return bool(plan.failed)

    def tell_log(log: Path) -> None:
        # Printed before any file is moved, in case the command is interrupted.
        if not quiet:
            typer.echo(
                f"Undo it with: nmm classify --undo {printable(shlex.quote(str(log)))}", err=True
            )

    result = apply_plan(plan, tell_log)
    _report_failures(result)
    if not quiet:
        counts = [f"{result.done} {'moved' if moving else 'linked'}"]
        if plan.in_place:
            counts.append(f"{plan.in_place} there already")
        if result.failed:
            counts.append(f"{len(result.failed)} failed")
        typer.echo(f"{', '.join(counts)}: {printable(str(plan.folder))}", err=True)
        if moving and result.done:
            typer.echo(f"Update the index with: {_index_command(plan.folder, roots)}", err=True)
    return bool(result.failed)


def _index_command(folder: Path, roots: Sequence[Path]) -> str:
    """Return the command that updates the index after a move without embedding files again.

    A new folder must be indexed before the old paths are removed, because contents without a file
    are deleted.
    """
    if any(folder.is_relative_to(root) for root in roots):
        return "nmm index"
    return f"nmm index {printable(shlex.quote(str(folder)))} && nmm index"


def _print_plan(plan: Plan, *, listed: bool, quiet: bool) -> None:
    """Print the planned steps and the files that cannot be sorted."""
    here = current_folder()
    for step in plan.steps if listed else ():
        source, target = (printable(path.removeprefix(here)) for path in step)
        emit(f"{source} -> {target}\n")
    for path, reason in plan.failed:
        typer.echo(f"{printable(path)}: {printable(reason)}", err=True)
    if not quiet:
        what = "moved" if plan.action == "move" else "linked"
        there = f", {plan.in_place} there already" if plan.in_place else ""
        typer.echo(f"{len(plan.steps)} to be {what}{there}. Nothing was done yet.", err=True)
        if plan.steps:
            typer.echo("To carry this out, add: --yes", err=True)


def undo_sorting(log: Path, *, quiet: bool) -> None:
    """Undo the steps of a log, and report the result."""
    from nmm.index.organize.apply import undo

    result = undo(log.expanduser())
    _report_failures(result)
    if not quiet:
        is_moved = result.action == "move"
        files, links = count(result.done, "file"), count(result.done, "link")
        typer.echo(f"{files} moved back." if is_moved else f"{links} removed.", err=True)
    if result.failed:
        if not quiet:
            typer.echo(f"The log is kept: {printable(str(log))}", err=True)
        raise typer.Exit(Exit.SOME_SKIPPED)


def _report_failures(result: SortResult) -> None:
    for path, reason in result.failed:
        typer.echo(f"{printable(path)}: {printable(reason)}", err=True)
