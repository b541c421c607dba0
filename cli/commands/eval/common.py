"""What the commands of `nmm eval` share: options, models, what is said of bad input, the end."""

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

# Of what is wrong with a file so much is said; all of it is in the JSON.
SHOWN = 10

ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME|DIR",
        help="A model to measure, by its name or in a folder; several are compared with the first.",
        autocompletion=completion.models,
    ),
]
CsvOption = Annotated[
    bool, typer.Option("--csv", help="Print as CSV what the figures are made of.")
]
LimitsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-under",
        metavar="FIGURE=VALUE",
        help="End with status 1 if a figure is less; a wrong one lists them all.",
    ),
]
ResamplesOption = Annotated[
    int, typer.Option("--resamples", min=100, metavar="N", help="Samples that intervals are of.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Of these samples.")]


def encoders(
    names: Sequence[str] | None, backend: Backend, offline: bool, progress: Progress
) -> Iterator[BatchedEncoder]:
    """The models that were named, each once, or the default one; opened one after the other."""
    from nmm.cli.commands.embed import opened
    from nmm.index.encoders.resolve import find_model

    # All are known before the first one is downloaded.
    wanted = dict.fromkeys(find_model(name).name for name in names or ())
    for name in wanted or (None,):
        yield opened(name, None, backend, offline, progress)


def bad_lines(bad: Sequence[BadLine]) -> dict[str, Any]:
    """What JSON says of lines that were left out."""
    return {"skipped": [asdict(one) for one in bad]}


def tell_lines(bad: Sequence[BadLine]) -> None:
    """Name lines that were left out."""
    tell(
        "1 line was skipped:" if len(bad) == 1 else f"{len(bad):,} lines were skipped:",
        [f"line {one.line}: {one.reason}" for one in bad],
    )


def tell(what: str, which: Sequence[str]) -> None:
    """Say something on stderr of several things, if there are any, and name the first."""
    if not which:
        return
    typer.echo(what, err=True)
    for one in which[:SHOWN]:
        typer.echo(f"  {printable(one)}", err=True)
    if len(which) > SHOWN:
        typer.echo(f"  and {len(which) - SHOWN:,} more: --json", err=True)


def end(below: Sequence[dict[str, Any]], *, skipped: bool) -> None:
    """End as scripts are to learn it: a figure is too low, or something was skipped."""
    for one in below:
        value = "undefined" if one["value"] is None else f"{one['value']:.4f}"
        typer.echo(
            f"{printable(one['name'])}: {one['metric']} is {value}, and not {one['least']:g}.",
            err=True,
        )
    if below:
        raise typer.Exit(Exit.NOT_REACHED)
    if skipped:
        raise typer.Exit(Exit.SOME_SKIPPED)
