"""`nmm search`: what fits a query."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmm.cli.exit import Exit
from nmm.cli.parameters import IndexOption, QuietOption
from nmm.cli.text import valid
from nmm.index.errors import UsageError
from nmm.index.filters import Filters, Orientation
from nmm.index.query import Mode

if TYPE_CHECKING:
    from nmm.index.store.location import IndexFolder

EXAMPLES = """\b
Examples:
  nmm search cute animals
  nmm search 'tomato blight' --type text -k 3
  nmm search boats --type image -0 | xargs -0 cp -t picked/
  nmm search - --json < queries.txt
"""


QUERY, FILTERS, OUTPUT, SHOWING = "What to look for", "What to look among", "Output", "Showing"


class Type(str, Enum):
    """Which kinds of items compete."""

    IMAGE = "image"
    TEXT = "text"
    ALL = "all"


def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUERY]", help="What to look for; - reads queries from stdin, one a line."
        ),
    ] = None,
    count: Annotated[int, typer.Option("-k", min=1, metavar="N", help="Results at most.")] = 10,
    images: Annotated[
        list[Path] | None,
        typer.Option("--image", metavar="FILE", help="Look for what is like this image, too."),
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="TEXT|FILE", help="Look for this, too."),
    ] = None,
    minus: Annotated[
        list[str] | None,
        typer.Option("--minus", metavar="TEXT|FILE", help="Look away from this."),
    ] = None,
    mode: Annotated[
        Mode, typer.Option("--mode", help="Rank by words and meaning, or by one of them.")
    ] = Mode.HYBRID,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Leave a query as it is that begins with a prefix of the model already."
        ),
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say on stderr how the query is understood.")
    ] = False,
    kind: Annotated[Type, typer.Option("--type", help="Images, texts or both.")] = Type.ALL,
    within: Annotated[
        list[str] | None,
        typer.Option("--in", metavar="GLOB", help="A folder or a file name of this pattern."),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="DATE", help="Taken, else modified, on or after a date."),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="DATE", help="Taken, else modified, before a date."),
    ] = None,
    near: Annotated[
        str | None,
        typer.Option("--near", metavar="LAT,LON,KM", help="Taken at most so far from a place."),
    ] = None,
    camera: Annotated[
        str | None, typer.Option("--camera", metavar="NAME", help="Taken with such a camera.")
    ] = None,
    min_width: Annotated[
        int | None, typer.Option("--min-width", min=1, metavar="PIXELS", help="At least so wide.")
    ] = None,
    orientation: Annotated[
        Orientation | None, typer.Option("--orientation", help="The shape of an image.")
    ] = None,
    larger: Annotated[
        str | None,
        typer.Option("--larger", metavar="SIZE", help="Files of at least this size, as in 2MB."),
    ] = None,
    ext: Annotated[
        list[str] | None,
        typer.Option("--ext", metavar="SUFFIX", help="Names with this suffix, as in jpg."),
    ] = None,
    has_text: Annotated[
        bool | None,
        typer.Option("--has-text/--no-text", help="Images in which words were seen, or none."),
    ] = None,
    relevant: Annotated[
        bool, typer.Option("--relevant", help="Leave out results that are weak.")
    ] = False,
    min_score: Annotated[
        float | None,
        typer.Option("--min-score", metavar="SCORE", help="Leave out what scores less."),
    ] = None,
    unfold: Annotated[
        bool, typer.Option("--all", help="Show every file, also those that are nearly the same.")
    ] = False,
    index_path: IndexOption = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print a JSON object; with -, one a line for each query."),
    ] = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print a JSON object a line for each result.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    as_paths: Annotated[
        bool, typer.Option("--paths", help="Print absolute paths, one a line.")
    ] = False,
    as_nul: Annotated[
        bool, typer.Option("-0", help="Print absolute paths, each ended by NUL.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Find the images and texts that fit a query best.

    Images and texts come in one list. A score of 1 is what one in a thousand items
    reaches that have nothing to do with the query.
    """
    from nmm.cli import formats
    from nmm.index.search import open_search
    from nmm.index.store.catalog import KINDS
    from nmm.index.store.location import index_folder

    wanted: dict[type[formats.Form], bool] = {
        formats.Json: as_json,
        formats.JsonLines: as_jsonl,
        formats.Csv: as_csv,
        formats.Paths: as_paths,
        formats.NulPaths: as_nul,
    }
    chosen = [form for form, given in wanted.items() if given]
    if len(chosen) > 1:
        raise UsageError(
            "Only one form of output can be printed.",
            hint="Give one of --json, --jsonl, --csv, --paths and -0.",
        )
    several = words == ["-"]
    kinds = [k for k in KINDS if kind in (Type.ALL, k)]

    def note_compiling() -> None:
        if not quiet:
            typer.echo("Preparing the model for this machine, once.", err=True)

    filters = Filters()
    found = False
    folder = index_folder(index_path)
    with open_search(folder, once=not several, on_compile=note_compiling) as opened:
        form = (chosen[0] if chosen else formats.Table)(several)
        for query in _queries() if several else [valid(" ".join(words or []))]:
            results = opened.find(
                query,
                count,
                kinds,
                filters=filters,
                mode=mode,
                relevant=relevant,
                min_score=min_score,
                fold=not unfold,
                raw=raw,
            )
            found = found or bool(results)
            form.write(query, opened.model, results)
        damaged, wordless = opened.damaged(), opened.wordless
    if damaged or wordless:
        _repair(folder, quiet, wordless=wordless)
    if not found:
        raise typer.Exit(Exit.NOTHING_FOUND)


def _repair(folder: IndexFolder, quiet: bool, *, wordless: bool) -> None:
    """Make again what is derived, now that the query was answered without it."""
    from nmm.index.repair import repair

    if not quiet:
        typer.echo(
            "Words could not be looked up; meaning alone ranked. Their tables are made again."
            if wordless
            else "A search file was missing or damaged; the catalog answered. It is made again.",
            err=True,
        )
    repair(folder)


def _queries() -> Iterable[str]:
    """The lines of stdin that are not blank, as they come."""
    return (valid(line).strip() for line in sys.stdin if line.strip())
