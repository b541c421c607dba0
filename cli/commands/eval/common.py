"""Shared by the commands of `nmm eval`: options, encoders, reports on input, exit status."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.text import printable
from nmm.cli.framework import completion

if TYPE_CHECKING:
    from nmm.cli.render.progress import Progress
    from nmm.index.encoders.backend import Backend
    from nmm.index.encoders.runtime.batching import BatchedEncoder
    from nmm.index.evaluation.line_reader import BadLine

# Problems that are reported; the JSON has all of them.
MAX_REPORTED = 10

ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME|DIR",
        help="Model to measure: a name or a folder. Repeat the option to compare with the first.",
        autocompletion=completion.models,
    ),
]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print the individual measurements as CSV.")]
LimitsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-under",
        metavar="FIGURE=VALUE",
        help="Exit with status 1 if a figure is lower. An unknown figure lists them all.",
    ),
]
ResamplesOption = Annotated[
    int,
    typer.Option(
        "--resamples", min=100, metavar="N", help="Bootstrap resamples for the intervals."
    ),
]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, metavar="N", help="Random seed of the resamples.")
]


def open_encoders(
    names: Sequence[str] | None, backend: Backend, offline: bool, progress: Progress
) -> Iterator[BatchedEncoder]:
    """Open each named model once, or the default model, one after the other."""
    from nmm.cli.commands.embed import open_model
    from nmm.index.encoders.resolve import find_model

    # Unknown names are found before the first model is downloaded.
    wanted = dict.fromkeys(find_model(name).name for name in names or ())
    for name in wanted or (None,):
        yield open_model(name, None, backend, offline, progress)


def skipped_as_json(bad: Sequence[BadLine]) -> dict[str, Any]:
    """Return the JSON fields for skipped lines."""
    return {"skipped": [asdict(one) for one in bad]}


def report_bad_lines(bad: Sequence[BadLine]) -> None:
    """Report skipped lines."""
    report(
        "1 line was skipped:" if len(bad) == 1 else f"{len(bad):,} lines were skipped:",
        [f"line {one.line}: {one.reason}" for one in bad],
    )


def report(heading: str, details: Sequence[str]) -> None:
    """Print a heading and the first of some details to stderr, if there are any."""
    if not details:
        return
    typer.echo(heading, err=True)
    for one in details[:MAX_REPORTED]:
        typer.echo(f"  {printable(one)}", err=True)
    if len(details) > MAX_REPORTED:
        typer.echo(f"  and {len(details) - MAX_REPORTED:,} more: --json", err=True)


def exit_with_status(below: Sequence[dict[str, Any]], *, skipped: bool) -> None:
    """Exit with a status: a figure is below its limit, or input was skipped."""
    for one in below:
        value = "undefined" if one["value"] is None else f"{one['value']:.4f}"
        typer.echo(
            f"{printable(one['name'])}: {one['metric']} is {value}, below {one['least']:g}.",
            err=True,
        )
    if below:
        raise typer.Exit(Exit.NOT_REACHED)
    if skipped:
        raise typer.Exit(Exit.SOME_SKIPPED)
