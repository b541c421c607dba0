"""The application: its commands, and the one place that catches errors."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from nmm.cli.console.exit_codes import Exit, report, report_unexpected
from nmm.cli.console.stdout import discard
from nmm.cli.framework.command_registry import LazyCommands
from nmm.index.errors import NmmError

app = typer.Typer(
    name="nmm",
    help="Search your own photos and notes by meaning, on your own machine.",
    epilog="""\b
Start with:
  nmm index ~/Pictures ~/Notes
  nmm search 'cute animals'
""",
    no_args_is_help=True,
    cls=LazyCommands,
    pretty_exceptions_enable=False,
    # Plain help reads the same in a pipe, and needs no time to load rich.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Print the traceback of an error.",
            envvar="NMM_DEBUG",
            show_envvar=False,
        ),
    ] = False,
) -> None:
    """Read the options before the command."""
    del version
    global _debug  # noqa: PLW0603
    _debug = debug


def run() -> None:
    """Run the command of this process, and end the process."""
    _open_missing_streams()
    status: object = Exit.DONE
    # While the shell completes a line, an error must not print anything.
    completing = "_NMM_COMPLETE" in os.environ
    try:
        app(prog_name="nmm")
    except SystemExit as ended:  # how Typer ends, also after its own usage errors
        status = ended.code
    except NmmError as error:
        if _debug:
            raise
        status = Exit.UNEXPECTED if completing else report(error)
    except Exception as error:
        if _debug:
            raise
        status = Exit.UNEXPECTED if completing else report_unexpected(error)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        discard()
        status = Exit.CANNOT_WRITE
    sys.exit(status)  # type: ignore[arg-type]


def _open_missing_streams() -> None:
    """Open the standard streams that the process was started without, which are None."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
