"""`nmm search`: find the images and texts that best match a query."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmm.cli.commands.run_search import run_search
from nmm.cli.framework.completion import queries as complete_queries
from nmm.cli.framework.query_commands import SearchCommand
from nmm.cli.options.common import IndexOption, NulOption, PathsOption, QuietOption
from nmm.cli.options.filters import (
    AfterOption,
    BeforeOption,
    CameraOption,
    ExtensionsOption,
    FilterOptions,
    HasTextOption,
    Media,
    MediaOption,
    MinBytesOption,
    MinWidthOption,
    NearOption,
    OrientationOption,
    PathGlobsOption,
    TagsOption,
)
from nmm.cli.options.output import (
    CsvResultsOption,
    JsonLinesOption,
    JsonResultsOption,
    TemplateOption,
    read_output,
)
from nmm.cli.options.queries import read_queries, requests_from
from nmm.cli.options.search import (
    AddOption,
    AllOption,
    CopyOption,
    DropWeakOption,
    ExplainOption,
    GalleryOption,
    HistoryOption,
    LimitOption,
    LinkOption,
    MinScoreOption,
    MinusOption,
    ModeOption,
    OpenOption,
    PreviewOption,
    SearchOptions,
)
from nmm.cli.render.formats import result_writer
from nmm.cli.render.presenter import ResultPresenter
from nmm.index.search.query import SearchMode

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


def search(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUERY]",
            help="What to search for: words, an image file, a sum such as '2*beach - people', or "
            "@NAME of a saved query; - reads queries from stdin, one per line, or an image.",
            autocompletion=complete_queries,
        ),
    ] = None,
    limit: LimitOption = 10,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            "--image", metavar="FILE", help="Search for images and texts like this image."
        ),
    ] = None,
    add: AddOption = None,
    minus: MinusOption = None,
    mode: ModeOption = SearchMode.HYBRID,
    raw_prompt: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="Do not add the model's prefix if the query already starts with one.",
        ),
    ] = False,
    explain: ExplainOption = False,
    like: Annotated[
        Path | None,
        typer.Option("--similar", hidden=True, metavar="FILE", help="Same as nmm similar FILE."),
    ] = None,
    media: MediaOption = Media.ALL,
    path_globs: PathGlobsOption = None,
    after: AfterOption = None,
    before: BeforeOption = None,
    near: NearOption = None,
    camera: CameraOption = None,
    min_width: MinWidthOption = None,
    orientation: OrientationOption = None,
    min_bytes: MinBytesOption = None,
    extensions: ExtensionsOption = None,
    has_text: HasTextOption = None,
    tags: TagsOption = None,
    drop_weak: DropWeakOption = False,
    min_score: MinScoreOption = None,
    show_all: AllOption = False,
    index_path: IndexOption = None,
    as_json: JsonResultsOption = False,
    as_jsonl: JsonLinesOption = False,
    as_csv: CsvResultsOption = False,
    as_paths: PathsOption = False,
    as_nul: NulOption = False,
    history: HistoryOption = None,
    template: TemplateOption = None,
    preview: PreviewOption = False,
    open_best: OpenOption = False,
    gallery: GalleryOption = None,
    copy_to: CopyOption = None,
    link_to: LinkOption = None,
    quiet: QuietOption = False,
) -> None:
    """Find the images and texts that best match a query.

    Images and texts are ranked in one list. One in a thousand unrelated items reaches a score of 1.
    """
    queries, several = read_queries(words or [], images or [], add or [], minus or [], like)
    output = read_output(
        context,
        as_json=as_json,
        as_jsonl=as_jsonl,
        as_csv=as_csv,
        as_paths=as_paths,
        as_nul=as_nul,
        template=template,
    )
    presenter = ResultPresenter(
        result_writer(output, several=several),
        several=several,
        quiet=quiet,
        preview=preview,
        open_best=open_best,
        gallery=gallery,
        copy_to=copy_to,
        link_to=link_to,
    )
    considered = FilterOptions(
        media=media,
        path_globs=path_globs,
        after=after,
        before=before,
        near=near,
        camera=camera,
        min_width=min_width,
        orientation=orientation,
        min_bytes=min_bytes,
        extensions=extensions,
        has_text=has_text,
        tags=tags,
    )
    options = SearchOptions(
        filters=considered.read(),
        kinds=considered.kinds,
        limit=limit,
        drop_weak=drop_weak,
        min_score=min_score,
        show_all=show_all,
        mark_weak=presenter.shows_weak,
        mode=mode,
        raw_prompt=raw_prompt,
    )
    run_search(
        context,
        requests_from(queries, options.request),
        presenter,
        considered,
        several=several,
        index_path=index_path,
        explain=explain,
        history=history,
        quiet=quiet,
    )
