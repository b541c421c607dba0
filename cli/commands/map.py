"""`nmm map`: a 2-D map of all files that places similar files close together."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.stdout import STDOUT, emit
from nmm.cli.console.text import count, printable, skip_reason
from nmm.cli.options.common import IndexOption, JsonOption, QuietOption
from nmm.cli.options.empty_filters import describe_empty
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
from nmm.cli.render.json_schema import VERSION
from nmm.cli.render.progress import Progress
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from nmm.cli.render.html.sprites import SpriteSheet
    from nmm.index.analysis.collection import FileCollection
    from nmm.index.analysis.projection.layout import FileMap

EXAMPLES = """\b
Examples:
  nmm map --open
  nmm map --in holidays --type image -o holidays.html
  nmm map --png map.png
  nmm map --json | jq -r '.results[] | select(.x > 0.9) | .path'
"""
DEFAULT_PAGE = "map.html"
SKIPPED_SHOWN = 10


def map_(
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.html",
            help="Write the HTML page to a file; - is standard output. Without -o, --png and "
            f"--json: {DEFAULT_PAGE} in the current folder.",
        ),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(
            "--png",
            metavar="FILE.png",
            help="Draw a PNG image, and show it if the terminal can.",
        ),
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option(
            "--clusters",
            min=0,
            metavar="N",
            help="Number of groups; chosen by default, 0 for none.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, metavar="N", help="Random seed of the map.")
    ] = 0,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page, or else the image, in its viewer.")
    ] = False,
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
    index_path: IndexOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Draw a 2-D map that places similar images and texts close together, and name the groups.

    The page is one file and needs no network. Zoom, hover over files, click to open them, search,
    or select files with a lasso to get their paths. Only images are read, for their thumbnails.
    Needs: pip install 'nmm[map]'
    """
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
    page = _page_path(output, is_default=png is None and not as_json)
    if as_json and output == STDOUT:
        raise UsageError("--json and -o - both use standard output.", hint="Give a file: -o FILE")
    if open_page and (page in (None, STDOUT)) and png is None:
        raise UsageError("There is no page to open.", hint=f"Give a file: -o {DEFAULT_PAGE}")
    png = png and png.expanduser()
    _check_writable(page, png)

    from nmm.index.analysis.collection import open_collection
    from nmm.index.analysis.projection.layout import build_map
    from nmm.index.analysis.projection.projector import check_installed
    from nmm.index.store.layout import index_folder

    check_installed()
    filters = considered.read()
    with (
        Progress(quiet=quiet, index=index_path) as progress,
        open_collection(
            index_folder(index_path),
            considered.kinds,
            filters,
            on_compile=lambda: progress.note("Preparing the model for this machine, once."),
        ) as collection,
    ):
        if not collection.files:
            if not quiet:
                for line in describe_empty(collection.emptied, considered):
                    progress.note(line)
            raise typer.Exit(Exit.NOTHING_FOUND)
        progress.advance("Laying out", 0)
        drawn = build_map(
            collection,
            clusters=clusters,
            seed=seed,
            on_embed=lambda number: progress.note(
                f"Embedding {number:,} words for group names, once."
            ),
        )
        sprites = _make_sprites(collection, drawn, progress, is_page=page is not None)
        if as_json:
            emit(_as_json(collection, drawn))
        _write_page(page, collection, drawn, sprites)
        if png:
            _write_png(png, collection, drawn, sprites)
    if not quiet:
        _report(collection, drawn, sprites)
    files = [file for file in (None if page == STDOUT else page, png) if file]
    # Standard output is free for names and the preview.
    if page != STDOUT and not as_json:
        for file in files:
            emit(f"{file}\n")
        if png and not quiet:
            _preview(png)
    failed = _open_viewer(Path(files[0])) if open_page else False
    if failed or (sprites and sprites.skipped):
        raise typer.Exit(Exit.SOME_SKIPPED)


def _page_path(output: str | None, *, is_default: bool) -> str | None:
    """Return the path of the page, `-` for standard output, or None for no page."""
    name = output if output is not None else DEFAULT_PAGE if is_default else None
    if name is None or name == STDOUT:
        return name
    if not name:
        raise UsageError("-o is empty.", hint=f"Give a file: -o {DEFAULT_PAGE}")
    return str(Path(name).expanduser())


def _check_writable(page: str | None, png: Path | None) -> None:
    """Check that the output files can be written, before all other work."""
    if page not in (None, STDOUT):
        from nmm.cli.render.html.gallery import check_writable

        check_writable(Path(page))
    if png is not None:
        from nmm.cli.render.html.map_png import check_writable as check_png

        check_png(png)


def _make_sprites(
    collection: FileCollection, drawn: FileMap, progress: Progress, *, is_page: bool
) -> SpriteSheet | None:
    """Make thumbnails: as many as a page holds, or those that do not overlap in an image."""
    from nmm.cli.render.html.map_png import select_without_overlap
    from nmm.cli.render.html.sprites import make_sprites, select_images

    positions = select_images(collection.files, drawn)
    if not is_page:
        positions = select_without_overlap(drawn, positions)
    progress.advance("Thumbnails", 0, len(positions))
    paths = [collection.files[position].path for position in positions]
    return make_sprites(paths, positions, lambda: progress.advance("Thumbnails"))


def _write_page(
    where: str | None, collection: FileCollection, drawn: FileMap, thumbnails: SpriteSheet | None
) -> None:
    from nmm.cli.render.html.map_page import MapPage
    from nmm.index.store.catalog.file_vectors import first_passages

    if where is None:
        return
    texts = sorted({item.content for item in collection.files if item.kind == "text"})
    passages = dict(first_passages(collection.catalog, texts))
    page = MapPage(collection.files, collection.model, passages, drawn, thumbnails)
    if where == STDOUT:
        for part in page.parts():
            emit(part)
    else:
        page.write(Path(where))


def _write_png(
    file: Path, collection: FileCollection, drawn: FileMap, thumbnails: SpriteSheet | None
) -> None:
    from nmm.cli.render.html.map_png import render, write_png

    write_png(file, render(drawn, [item.kind for item in collection.files], thumbnails))


def _as_json(collection: FileCollection, drawn: FileMap) -> str:
    """Return the position and the group of each file."""
    document = {
        "version": VERSION,
        "model": collection.model,
        "clusters": [
            {
                "name": group.name,
                "words": list(group.words),
                "files": len(group.files),
                "x": round(float(x), 6),
                "y": round(float(y), 6),
            }
            for group, (x, y) in zip(drawn.clusters, drawn.label_positions, strict=True)
        ],
        "results": [
            {
                "path": item.path,
                "type": item.kind,
                "x": round(float(x), 6),
                "y": round(float(y), 6),
                "cluster": drawn.clusters[of].name if of >= 0 else None,
            }
            for item, (x, y), of in zip(
                collection.files, drawn.points.tolist(), drawn.cluster_of.tolist(), strict=True
            )
        ],
    }
    return json.dumps(document, ensure_ascii=False) + "\n"


def _report(collection: FileCollection, drawn: FileMap, thumbnails: SpriteSheet | None) -> None:
    """Report what is on the map, and images without a thumbnail."""
    images = sum(item.kind == "image" for item in collection.files)
    summary = f"{count(images, 'image')} and {count(len(collection.files) - images, 'text')}"
    if drawn.clusters:
        summary += f" in {count(len(drawn.clusters), 'group')}"
    typer.echo(f"{summary}, with the model {printable(collection.model)}.", err=True)
    skipped = thumbnails.skipped if thumbnails else []
    for path, reason in skipped[:SKIPPED_SHOWN]:
        typer.echo(f"no thumbnail of {printable(path)}: {printable(skip_reason(reason))}", err=True)
    if (more := len(skipped) - SKIPPED_SHOWN) > 0:
        typer.echo(f"and {more:,} more", err=True)


def _preview(file: Path) -> None:
    """Show the image in the terminal, if it can."""
    from nmm.cli.render.preview import open_preview

    if preview := open_preview():
        emit(preview.draw_file(file, os.get_terminal_size(sys.stdout.fileno()).columns))


def _open_viewer(file: Path) -> bool:
    """Open a file in its viewer; return whether that failed."""
    from nmm.cli.render.viewer import view

    reason = view(file.absolute())
    if reason:
        typer.echo(f"{printable(str(file))} was not opened: {reason}.", err=True)
    return reason is not None
