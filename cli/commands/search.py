"""`nmm search`: what fits a query."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.framework.completion import folders, queries, tags
from nmm.cli.framework.query_commands import SearchCommand
from nmm.cli.framework.search_history import note
from nmm.cli.options.common import IndexOption, NulOption, PathsOption, QuietOption
from nmm.cli.options.filters import FilterOptions, tell_emptied
from nmm.cli.render import formats
from nmm.cli.render.presenter import Showing
from nmm.index.common.tracing import span
from nmm.index.search.filters import Orientation
from nmm.index.search.query import Mode

if TYPE_CHECKING:
    from nmm.index.store.layout import IndexFolder

EXAMPLES = """\b
Examples:
  nmm search cute animals
  nmm search 'tomato blight' --type text -k 3
  nmm search '2*beach - people'
  nmm search 'at night' --image house.jpg
  nmm search boats --type image -0 | xargs -0 cp -t picked/
  nmm search - --json < queries.txt
  nmm search --gallery --open winter evenings
"""
COMMAND = SearchCommand


class Type(str, Enum):
    """Which kinds of items compete."""

    IMAGE = "image"
    TEXT = "text"
    ALL = "all"


def search(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUERY]",
            help="What to look for: words, an image file, a sum as in '2*beach - people', or "
            "@NAME of a saved query; - reads queries from stdin, one a line, or an image.",
            autocompletion=queries,
        ),
    ] = None,
    count: Annotated[int, typer.Option("-k", min=1, metavar="N", help="Results at most.")] = 10,
    images: Annotated[
        list[Path] | None,
        typer.Option("--image", metavar="FILE", help="Look for what is like this image."),
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
    like: Annotated[
        Path | None,
        typer.Option("--similar", hidden=True, metavar="FILE", help="As nmm similar FILE."),
    ] = None,
    kind: Annotated[Type, typer.Option("--type", help="Images, texts or both.")] = Type.ALL,
    within: Annotated[
        list[str] | None,
        typer.Option(
            "--in",
            metavar="GLOB",
            help="In a folder, or of a name, of this pattern: holidays, '*.md', '2023/*', ~/Notes.",
            autocompletion=folders,
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(
            "--after",
            metavar="DATE",
            help="Taken, else modified, at its first moment or later: 2023-05-01, 'last month'.",
        ),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(
            "--before",
            metavar="DATE",
            help="Taken, else modified, before its first moment: 2023 is before that year.",
        ),
    ] = None,
    near: Annotated[
        str | None,
        typer.Option(
            "--near", metavar="LAT,LON,KM", help="Taken at most so far from a place: 48.2,16.37,5."
        ),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(
            "--camera", metavar="NAME", help="Taken with a camera whose make and model contain it."
        ),
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
        typer.Option(
            "--ext", metavar="SUFFIX", help="Names with this suffix, as in jpg or jpg,png."
        ),
    ] = None,
    has_text: Annotated[
        bool | None,
        typer.Option("--has-text/--no-text", help="Images in which words were seen, or none."),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            metavar="LABEL",
            help="Of this tag, which nmm classify --write-tags gave; of several, of one.",
            autocompletion=tags,
        ),
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
    as_paths: PathsOption = False,
    as_nul: NulOption = False,
    history: Annotated[
        bool | None,
        typer.Option(
            "--history/--no-history",
            help="Write the search down for nmm history, or not; as a rule, what is typed at a "
            "terminal is.",
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="TEMPLATE",
            help=r"Print each result so, as in '{score:.3f}\t{path}'; a wrong name lists them all.",
        ),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Draw thumbnails in the terminal.")
    ] = False,
    open_best: Annotated[
        bool, typer.Option("--open", help="Open the best result, or the gallery, in its viewer.")
    ] = False,
    gallery: Annotated[
        str | None,
        typer.Option(
            "--gallery",
            metavar="[FILE.html]",
            help="Write a page of the results, with thumbnails; - is standard output.",
        ),
    ] = None,
    copy_to: Annotated[
        Path | None, typer.Option("--copy-to", metavar="DIR", help="Copy the results there.")
    ] = None,
    link_to: Annotated[
        Path | None, typer.Option("--link-to", metavar="DIR", help="Link the results there.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Find the images and texts that fit a query best.

    Images and texts come in one list. A score of 1 is what one in a thousand items
    reaches that have nothing to do with the query.
    """
    from nmm.index.common.numpy_threads import import_numpy_single_threaded

    import_numpy_single_threaded()
    with span("import nmm.index.search.engine"):
        from nmm.cli.options.queries import read_queries
        from nmm.cli.render.explain import explanation
        from nmm.index.search.engine import open_search
        from nmm.index.store.catalog.types import KINDS
        from nmm.index.store.layout import index_folder

    asked, several = read_queries(words or [], images or [], add or [], minus or [], like)
    form = formats.chosen(
        several=several,
        as_json=as_json,
        as_jsonl=as_jsonl,
        as_csv=as_csv,
        as_paths=as_paths,
        as_nul=as_nul,
        template=template,
    )
    showing = Showing(
        form,
        several=several,
        quiet=quiet,
        preview=preview,
        open_best=open_best,
        gallery=gallery,
        copy_to=copy_to,
        link_to=link_to,
    )
    kinds = [k for k in KINDS if kind in (Type.ALL, k)]

    def note_compiling() -> None:
        if not quiet:
            typer.echo("Preparing the model for this machine, once.", err=True)

    typed = FilterOptions(
        within=within,
        after=after,
        before=before,
        near=near,
        camera=camera,
        min_width=min_width,
        orientation=orientation,
        larger=larger,
        ext=ext,
        has_text=has_text,
        tag=tag,
    )
    filters = typed.read()
    found = False
    folder = index_folder(index_path)
    with open_search(folder, once=not several, on_compile=note_compiling) as opened:
        for queries in asked:
            if mode is not Mode.KEYWORD:
                opened.embed_ahead(queries, raw=raw)
            for query in queries:
                if explain:
                    typer.echo(explanation(query, opened, mode, raw=raw), err=True)
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
                    weak=showing.tells_weak,
                )
                found = found or bool(results)
                note(context, query.label, len(results), wanted=history, several=several)
                with span("results printed"):
                    showing.show(query.label, opened.model, results)
        emptied = [] if found else opened.emptied_by(filters, kinds)
        damaged, wordless = opened.damaged(), opened.wordless
    if damaged or wordless:
        _repair(folder, quiet, wordless=wordless)
    if not quiet:
        for line in tell_emptied(emptied, typed, kinds):
            typer.echo(line, err=True)
    if not found:
        raise typer.Exit(Exit.NOTHING_FOUND)
    if showing.failed:
        raise typer.Exit(Exit.SOME_SKIPPED)


def _repair(folder: IndexFolder, quiet: bool, *, wordless: bool) -> None:
    """Make again what is derived, now that the query was answered without it."""
    from nmm.index.maintenance.repair import repair

    if not quiet:
        typer.echo(
            "Words could not be looked up; meaning alone ranked. Their tables are made again."
            if wordless
            else "A search file was missing or damaged; the catalog answered. It is made again.",
            err=True,
        )
    repair(folder)
