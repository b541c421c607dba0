"""`nmm cluster`: groups of similar files, with names."""

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
            "-k", "--count", min=1, metavar="N", help="Number of groups; chosen by default."
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(
            "--method",
            help="kmeans puts every file into a group. hdbscan finds dense groups and leaves "
            "other files in no group.",
        ),
    ] = Method.KMEANS,
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            "--vocabulary",
            metavar="FILE",
            help="File with words for the names of groups, one per line, instead of the built-in "
            "words and those of the files.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, max=2**31 - 1, help="Random seed of the grouping."),
    ] = 0,
    index_path: IndexOption = None,
    as_json: JsonOption = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object per line for each file.")
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV with a header and one row per file.")
    ] = False,
    gallery: Annotated[
        str | None,
        typer.Option(
            "--gallery",
            metavar="[FILE.html]",
            help="Write an HTML page of the groups, with thumbnails of the most central files; - "
            "is standard output.",
        ),
    ] = None,
    quiet: QuietOption = False,
    *,
    among: Among,
) -> None:
    """Group files by subject, images and texts together, and name each group.

    Only the index is read, and the images that a gallery shows. Equal files and seeds give equal
    groups.
    """
    from nmm.cli.options.input_files import read_words
    from nmm.cli.render import clusters
    from nmm.cli.render.html.clusters import page as page_of
    from nmm.cli.render.html.gallery import page_name
    from nmm.cli.render.html.gallery_option import GalleryPage
    from nmm.index.analysis.clustering.clusters import cluster as cluster_files
    from nmm.index.analysis.collection import open_collection
    from nmm.index.store.layout import index_folder

    write = clusters.select_writer(as_json=as_json, as_jsonl=as_jsonl, as_csv=as_csv)
    page = None
    if gallery is not None:
        page = GalleryPage(gallery, page_name("clusters"), form=write is not None)
    words = None if vocabulary is None else read_words(vocabulary)

    def note(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    with open_collection(
        index_folder(index_path),
        among.kinds,
        among.typed.read(),
        on_compile=lambda: note("Preparing the model for this machine, once."),
    ) as collection:
        found = cluster_files(
            collection,
            count,
            method=method,
            vocabulary=words,
            seed=seed,
            on_embed=lambda number: note(f"Embedding {number:,} words for group names, once."),
        )
        if page:
            page.write(page_of(collection, found), note)
        if write:
            write(collection, found, method)
        elif not page and found:
            clusters.print_table(collection, found)
        for line in tell_emptied(collection.emptied, among.typed, among.kinds):
            note(line)
        if not collection.files:
            raise typer.Exit(Exit.NOTHING_FOUND)
    outside = len(collection.files) - sum(len(one.files) for one in found)
    if outside and method is Method.HDBSCAN:
        note(f"{outside:,} files are in no group: no similar files are near them.")
    elif outside:
        note(f"{outside:,} files are in no group: their vectors are zero.")
    if count is not None and 0 < len(found) < count:
        note(f"Only {len(found):,} groups are possible: there are no more different files.")
    if not found:
        raise typer.Exit(Exit.NOTHING_FOUND)
