"""Options that choose the output format of results. At most one can be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from nmm.cli.framework.saved_queries import is_from_saved_query
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from nmm.cli.framework.click_types import Context


class OutputFormat(str, Enum):
    """The format in which results are printed. A value is the option that chooses it."""

    TABLE = ""
    JSON = "--json"
    JSONL = "--jsonl"
    CSV = "--csv"
    PATHS = "--paths"
    NUL_PATHS = "-0"
    TEMPLATE = "--format"


JsonResultsOption = Annotated[
    bool,
    typer.Option(
        "--json", help="Print a JSON object; with -, one object per query, each on a line."
    ),
]
JsonLinesOption = Annotated[
    bool, typer.Option("--jsonl", help="Print one JSON object per line for each result.")
]
CsvResultsOption = Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="TEMPLATE",
        help=r"Print each result by a template, such as '{score:.3f}\t{path}'; a wrong name lists "
        "all names.",
    ),
]


class Output(NamedTuple):
    """The chosen format.

    Attributes:
        format: The format.
        template: The text of ``--format``; empty for other formats.
    """

    format: OutputFormat = OutputFormat.TABLE
    template: str = ""


def read_output(
    context: Context,
    *,
    as_json: bool,
    as_jsonl: bool,
    as_csv: bool,
    as_paths: bool,
    as_nul: bool,
    template: str | None,
) -> Output:
    """Return the format that the options choose.

    The command line overrides a saved query. A saved query overrides the environment and the
    configuration file.

    Args:
        context: The command's context, which knows the sources of the values.
        as_json, as_jsonl, as_csv, as_paths, as_nul, template: Values of the options.

    Raises:
        UsageError: Several formats are chosen at once.
    """
    given = {
        "as_json": (OutputFormat.JSON, as_json),
        "as_jsonl": (OutputFormat.JSONL, as_jsonl),
        "as_csv": (OutputFormat.CSV, as_csv),
        "as_paths": (OutputFormat.PATHS, as_paths),
        "as_nul": (OutputFormat.NUL_PATHS, as_nul),
        "template": (OutputFormat.TEMPLATE, template is not None),
    }
    levels = {name: _level(context, name) for name, (_, is_given) in given.items() if is_given}
    first = min(levels.values(), default=None)
    chosen = choose_one(
        {form.value: levels.get(name) == first for name, (form, _) in given.items()}
        if levels
        else {}
    )
    form = OutputFormat(chosen)
    return Output(form, template or "" if form is OutputFormat.TEMPLATE else "")


def choose_one(given: Mapping[str, bool]) -> str:
    """Return which of several exclusive options is given; empty if none is.

    Raises:
        UsageError: Several are given.
    """
    chosen = [option for option, is_given in given.items() if is_given]
    if len(chosen) > 1:
        *first, last = given
        raise UsageError(
            "Only one output format can be chosen.",
            hint=f"Give one of {', '.join(first)} and {last}.",
        )
    return chosen[0] if chosen else ""


def _level(context: Context, name: str) -> int:
    """Return the precedence of the source of a parameter's value; the least wins."""
    source = context.get_parameter_source(name)
    if source is not None and source.name == "COMMANDLINE":
        return 0
    return 1 if is_from_saved_query(context, name) else 2
