"""The application: its commands, and the one place where errors are caught."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from nmm.cli import (
    compact,
    doctor,
    embed,
    export,
    import_,
    index,
    models,
    remove,
    roots,
    search,
    status,
    watch,
)
from nmm.cli.exit import Exit, report, report_unexpected
from nmm.cli.optional_value import GalleryCommand
from nmm.cli.output import discard
from nmm.index.errors import NmmError

app = typer.Typer(
    name="nmm",
    help="Search your own photos and notes by what they mean, on your own machine.",
    epilog="""\b
Start with:
  nmm index ~/Pictures ~/Notes
  nmm search 'cute animals'
""",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Plain help: it reads the same in a pipe, and comes without the time rich takes to load.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("index", epilog=index.EXAMPLES)(index.index)
app.command("search", cls=GalleryCommand, epilog=search.EXAMPLES)(search.search)
app.command("status", epilog=status.EXAMPLES)(status.status)
app.command("watch", epilog=watch.EXAMPLES)(watch.watch)
app.command("remove", epilog=remove.EXAMPLES)(remove.remove)
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)
app.command("compact", epilog=compact.EXAMPLES)(compact.compact)
app.command("export", epilog=export.EXAMPLES)(export.export)
app.command("import", epilog=import_.EXAMPLES)(import_.import_)
app.add_typer(roots.app, name="roots")
app.add_typer(models.app, name="models")
app.add_typer(embed.app, name="embed")

_debug = False


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"nmm {version('nmm')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options that stand before the command."""
    del version
    global _debug  # noqa: PLW0603
    _debug = debug


def run() -> None:
    """Run the command that the process was started with, and end the process."""
    _open_what_is_closed()
    status: object = Exit.DONE
    try:
        app()
    except SystemExit as ended:  # Typer's way, also for its own errors of usage
        status = ended.code
    except NmmError as error:
        if _debug:
            raise
        status = report(error)
    except Exception as error:
        if _debug:
            raise
        status = report_unexpected(error)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        discard()
        status = Exit.CANNOT_WRITE
    sys.exit(status)  # type: ignore[arg-type]


def _open_what_is_closed() -> None:
    """Give the process the streams that it was started without: they are None then."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
