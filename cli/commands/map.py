"""`nmm map`: a picture of all files, in which those that are alike lie together."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.stdout import STDOUT, emit
from nmm.cli.console.text import count, printable
from nmm.cli.options.common import IndexOption, JsonOption, QuietOption
from nmm.cli.options.filtered import Among, filtered
from nmm.cli.options.filters import tell_emptied
from nmm.cli.render.json_schema import VERSION
from nmm.cli.render.progress import Progress
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from nmm.cli.render.html.sprites import Sprites
    from nmm.index.analysis.collection import FileCollection
    from nmm.index.analysis.projection.layout import FileMap

EXAMPLES = """\b
Examples:
  nmm map --open
  nmm map --in holidays --type image -o holidays.html
  nmm map --png map.png
  nmm map --json | jq -r '.results[] | select(.x > 0.9) | .path'
"""
PAGE = "map.html"
SKIPPED_SHOWN = 10


@filtered
def map_(
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.html",
            help="Write the page there; - is standard output. If neither it nor --png or --json is "
            f"given, {PAGE} in the current folder.",
        ),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(
            "--png",
            metavar="FILE.png",
            help="Draw a picture without a browser, and show it where the terminal can.",
        ),
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option(
            "--clusters", min=0, metavar="N", help="Groups; 0 is none, chosen if not given."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, metavar="N", help="Another one draws another map.")
    ] = 0,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page, or else the picture, in its viewer.")
    ] = False,
    index_path: IndexOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    *,
    among: Among,
) -> None:
    """Draw a map of images and texts: what is alike lies together, and groups have names.

    The page needs no network and nothing beside it. Zoom in, point at files, click to open them,
    search, and draw around some to have their paths. No file is read but images, for their
    thumbnails. Needs: pip install 'nmm[map]'
    """
    page = _page_of(output, is_default=png is None and not as_json)
    if as_json and output == STDOUT:
        raise UsageError("--json and -o - both are standard output.", hint="Name a file: -o FILE")
    if open_page and (page in (None, STDOUT)) and png is None:
        raise UsageError("There is no page to open.", hint="Name a file for it: -o map.html")
    png = png and png.expanduser()
    _check(page, png)

    from nmm.index.analysis.collection import open_collection
    from nmm.index.analysis.projection.layout import build_map
    from nmm.index.analysis.projection.projector import check_installed
    from nmm.index.store.layout import index_folder

    check_installed()
    with Progress(quiet=quiet, index=index_path) as progress:
        filters = among.typed.read()

        def compiling() -> None:
            progress.note("Preparing the model for this machine, once.")

        with open_collection(
            index_folder(index_path), among.kinds, filters, on_compile=compiling
        ) as collection:
            if not collection.files:
                if not quiet:
                    for line in tell_emptied(collection.emptied, among.typed, among.kinds):
                        progress.note(line)
                raise typer.Exit(Exit.NOTHING_FOUND)
            progress.advance("Laying out", 0)
            drawn = build_map(
                collection,
                clusters=clusters,
                seed=seed,
                on_embed=lambda number: progress.note(
                    f"Embedding {number:,} words to name groups by, once."
                ),
            )
            sprites = _sprites(collection, drawn, progress, is_page=page is not None)
            if as_json:
                emit(_as_json(collection, drawn))
            _write(page, collection, drawn, sprites)
            if png:
                _draw(png, collection, drawn, sprites)
    if not quiet:
        _tell(collection, drawn, sprites)
    files = [file for file in (None if page == STDOUT else page, png) if file]
    if page != STDOUT and not as_json:
        for file in files:
            emit(f"{file}\n")
    if png and not quiet and page != STDOUT and not as_json:
        _show(png)
    failed = _view(Path(files[0])) if open_page else False
    if failed or (sprites and sprites.skipped):
        raise typer.Exit(Exit.SOME_SKIPPED)


def _page_of(output: str | None, *, is_default: bool) -> str | None:
    """Where the page goes; None if there is none."""
    name = output if output is not None else PAGE if is_default else None
    if name is None or name == STDOUT:
        return name
    if not name:
        raise UsageError("-o is empty.", hint=f"Name a file: -o {PAGE}")
    return str(Path(name).expanduser())


def _check(page: str | None, png: Path | None) -> None:
    """See that files can be written, before all else is done for them."""
    if page not in (None, STDOUT):
        from nmm.cli.render.html.gallery import check_place

        check_place(Path(page))
    if png is not None:
        from nmm.cli.render.html.map_png import check_place as check_picture

        check_picture(png)


def _sprites(
    collection: FileCollection, drawn: FileMap, progress: Progress, *, is_page: bool
) -> Sprites | None:
    """Thumbnails: of as many images as a page takes, or a picture."""
    from nmm.cli.render.html.map_png import without_overlap
    from nmm.cli.render.html.sprites import chosen, sprites

    places = chosen(collection.files, drawn)
    if not is_page:
        places = without_overlap(drawn, places)
    progress.advance("Thumbnails", 0, len(places))
    paths = [collection.files[place].path for place in places]
    return sprites(paths, places, lambda: progress.advance("Thumbnails"))


def _write(
    where: str | None, collection: FileCollection, drawn: FileMap, thumbnails: Sprites | None
) -> None:
    from nmm.cli.render.html.map_page import Page
    from nmm.index.store.catalog.file_vectors import first_passages

    if where is None:
        return
    texts = sorted({item.content for item in collection.files if item.kind == "text"})
    passages = dict(first_passages(collection.catalog, texts))
    page = Page(collection.files, collection.model, passages, drawn, thumbnails)
    if where == STDOUT:
        for part in page.parts():
            emit(part)
    else:
        page.write(Path(where))


def _draw(
    file: Path, collection: FileCollection, drawn: FileMap, thumbnails: Sprites | None
) -> None:
    from nmm.cli.render.html.map_png import picture, write_picture

    write_picture(file, picture(drawn, [item.kind for item in collection.files], thumbnails))


def _as_json(collection: FileCollection, drawn: FileMap) -> str:
    """Where each file is, and what its group is called."""
    shown = {
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
    return json.dumps(shown, ensure_ascii=False) + "\n"


def _tell(collection: FileCollection, drawn: FileMap, thumbnails: Sprites | None) -> None:
    """Say what is on the map, and what is missing there."""
    images = sum(item.kind == "image" for item in collection.files)
    said = f"{count(images, 'image')} and {count(len(collection.files) - images, 'text')}"
    if drawn.clusters:
        said += f" in {count(len(drawn.clusters), 'group')}"
    typer.echo(f"{said}, with the model {printable(collection.model)}.", err=True)
    skipped = thumbnails.skipped if thumbnails else []
    for path, reason in skipped[:SKIPPED_SHOWN]:
        typer.echo(f"no thumbnail of {printable(path)}: {printable(reason)}", err=True)
    if (more := len(skipped) - SKIPPED_SHOWN) > 0:
        typer.echo(f"and of {more:,} more", err=True)


def _show(file: Path) -> None:
    """Draw the picture in the terminal, if that can show one."""
    from nmm.cli.render.preview import open_preview

    if preview := open_preview():
        emit(preview.draw_file(file, os.get_terminal_size(sys.stdout.fileno()).columns))


def _view(file: Path) -> bool:
    """Open a file in its viewer; whether that failed."""
    from nmm.cli.render.viewer import view

    reason = view(file.absolute())
    if reason:
        typer.echo(f"{printable(str(file))} was not opened: {reason}.", err=True)
    return reason is not None
