"""`nmm cluster`: groups of files that are alike, with names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.framework.optional_value import GalleryCommand
from nmm.cli.options.common import IndexOption, JsonOption, QuietOption
from nmm.cli.options.filtered import Among, filtered
from nmm.cli.options.filters import tell_emptied
from nmm.index.analysis.clustering.clusters import Method

EXAMPLES = """\b
Examples:
  nmm cluster
  nmm cluster -k 12 --in holidays --type image
  nmm cluster --vocabulary subjects.txt --gallery
  nmm cluster --method hdbscan --csv > groups.csv
"""
COMMAND = GalleryCommand


@filtered
def cluster(
    count: Annotated[
        int | None,
        typer.Option(
            "-k", "--count", min=1, metavar="N", help="Groups; if not given, nmm chooses how many."
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(
            "--method",
            help="kmeans puts every file into a group; hdbscan finds where files lie close "
            "together, and leaves the others out.",
        ),
    ] = Method.KMEANS,
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            "--vocabulary",
            metavar="FILE",
            help="Words to name the groups by, one a line, instead of nmm's and the files' own.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, max=2**31 - 1, help="Another one may group otherwise."),
    ] = 0,
    index_path: IndexOption = None,
    as_json: JsonOption = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print a JSON object a line for each file.")
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV with a header, a row for each file.")
    ] = False,
    gallery: Annotated[
        str | None,
        typer.Option(
            "--gallery",
            metavar="[FILE.html]",
            help="Write a page of the groups, with thumbnails of the files that are the most "
            "like each; - is standard output.",
        ),
    ] = None,
    quiet: QuietOption = False,
    *,
    among: Among,
) -> None:
    """Group the files by what they are of, images and texts together, and name the groups.

    Nothing is read but the index, and the images that a gallery shows. The same files and seed
    make the same groups.
    """
    from nmm.cli.options.input_files import read_words
    from nmm.cli.render import clusters
    from nmm.cli.render.html.clusters import page as page_of
    from nmm.cli.render.html.gallery import page_name
    from nmm.cli.render.html.gallery_option import Page
    from nmm.index.analysis.clustering.clusters import cluster as divide
    from nmm.index.analysis.collection import open_collection
    from nmm.index.store.layout import index_folder

    write = clusters.chosen(as_json=as_json, as_jsonl=as_jsonl, as_csv=as_csv)
    page = None
    if gallery is not None:
        page = Page(gallery, page_name("clusters"), form=write is not None)
    words = None if vocabulary is None else read_words(vocabulary)

    def tell(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    with open_collection(
        index_folder(index_path),
        among.kinds,
        among.typed.read(),
        on_compile=lambda: tell("Preparing the model for this machine, once."),
    ) as collection:
        found = divide(
            collection,
            count,
            method=method,
            vocabulary=words,
            seed=seed,
            on_embed=lambda number: tell(f"Embedding {number:,} words to name groups by, once."),
        )
        left = len(collection.files) - sum(len(one.files) for one in found)
        if page:
            page.write(page_of(collection, found), tell)
        if write:
            write(collection, found, method)
        elif not page and found:
            clusters.print_table(collection, found)
        for line in tell_emptied(collection.emptied, among.typed, among.kinds):
            tell(line)
        if not collection.files:
            raise typer.Exit(Exit.NOTHING_FOUND)
    if left and method is Method.HDBSCAN:
        tell(f"{left:,} files are in no group: nothing lies close to them.")
    elif left:
        tell(f"{left:,} files are in no group: their vectors say nothing.")
    if count is not None and 0 < len(found) < count:
        tell(f"No more than {len(found):,} groups can be made: so many files differ.")
    if not found:
        raise typer.Exit(Exit.NOTHING_FOUND)
