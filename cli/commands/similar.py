"""`nmm similar`: find the images and texts most similar to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmm.cli.commands.run_search import run_search
from nmm.cli.framework.query_commands import SimilarCommand
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
    OpenOption,
    PreviewOption,
    SearchOptions,
)
from nmm.cli.render.formats import result_writer
from nmm.cli.render.presenter import ResultPresenter

EXAMPLES = """\b
Examples:
  nmm similar photos/chelsea.jpg
  nmm similar notes/garden_diary.md --type text -k 3
  nmm similar house.jpg --add 'at night' --minus people
"""
COMMAND = SimilarCommand


def similar(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An image or a text, in the index or not.")
    ],
    limit: LimitOption = 10,
    add: AddOption = None,
    minus: MinusOption = None,
    explain: ExplainOption = False,
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
    """Find the images and texts most similar to a file. The file itself is left out.

    A text is compared as a whole, by the mean of its passages. A file whose content is in the
    index is not embedded again.
    """
    queries, several = read_queries([], [], add or [], minus or [], file)
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
