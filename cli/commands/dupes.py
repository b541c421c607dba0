"""`nmm dupes`: duplicates, near-duplicates and bursts, and which file to keep."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.stdout import emit
from nmm.cli.console.text import count, printable, skip_reason
from nmm.cli.framework.optional_value import GalleryCommand
from nmm.cli.options.common import IndexOption, JsonOption, QuietOption
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nmm.index.analysis.dupes.groups import DuplicateReport

EXAMPLES = """\b
Examples:
  nmm dupes
  nmm dupes --only exact --in holidays
  nmm dupes --gallery --open
  nmm dupes --only exact -0 | xargs -0 gio trash
"""
COMMAND = GalleryCommand
# The version of the JSON; increased when a name changes its meaning or is removed.
VERSION = 1
MISSING_SHOWN = 10
PAGE_NAME = "nmm-dupes.html"


class DuplicateKind(str, Enum):
    """How files match: :class:`.pairs.MatchKind`, which takes longer to import."""

    EXACT = "exact"
    NEAR = "near"
    BURST = "burst"


def dupes(
    only: Annotated[
        list[DuplicateKind] | None,
        typer.Option(
            "--only",
            metavar="KIND",
            help="exact: the same content. near: images that were re-saved, resized, cropped, "
            "rotated or recoloured, and texts with nearly the same words. burst: images of one "
            "camera taken within seconds. Repeat the option to find several kinds.",
        ),
    ] = None,
    bits: Annotated[
        int,
        typer.Option(
            "--bits",
            min=0,
            max=20,
            metavar="N",
            help="Maximum Hamming distance (0-64) of the perceptual hashes of near images.",
        ),
    ] = 10,
    cosine: Annotated[
        float,
        typer.Option(
            "--cosine",
            min=0,
            max=1,
            metavar="X",
            help="Minimum cosine of near texts, and of an image and a crop of it.",
        ),
    ] = 0.9,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds",
            min=0,
            metavar="S",
            help="Maximum time between two images of a burst.",
        ),
    ] = 2.0,
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
    as_paths: Annotated[
        bool,
        typer.Option("--paths", help="Print the redundant files: absolute paths, one per line."),
    ] = False,
    as_nul: Annotated[
        bool,
        typer.Option("-0", help="Print the redundant files: absolute paths, each ended by NUL."),
    ] = False,
    gallery: Annotated[
        str | None,
        typer.Option(
            "--gallery",
            metavar="[FILE.html]",
            help="Write an HTML page of the groups, with thumbnails; - is standard output.",
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page of --gallery.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Find duplicate and near-duplicate files and suggest which to keep. Nothing is deleted.

    By default, all three kinds are found. One file of each group is kept: the image with the most
    pixels, then the sharpest, then by format; the text with the most words. All other files of the
    group were compared with that file. Files deleted or changed since indexing are reported and
    are in no group.
    """
    from nmm.index.common.numpy_threads import import_numpy_single_threaded

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
    import_numpy_single_threaded()
    from nmm.cli.options.empty_filters import describe_empty
    from nmm.cli.options.output import choose_one
    from nmm.cli.render.html.duplicates import page as page_of
    from nmm.cli.render.html.gallery_option import GalleryPage
    from nmm.index.analysis.collection import open_collection
    from nmm.index.analysis.dupes.groups import find_duplicates
    from nmm.index.analysis.dupes.pairs import MatchKind, Thresholds
    from nmm.index.store.layout import index_folder

    form = choose_one({"--json": as_json, "--paths": as_paths, "-0": as_nul})
    if open_page and gallery is None:
        gallery = ""
    page = None
    if gallery is not None:
        page = GalleryPage(gallery, PAGE_NAME, form=bool(form), opened=open_page)

    def note(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    kinds = only or list(DuplicateKind)
    filters = considered.read()
    with open_collection(index_folder(index_path), considered.kinds, filters) as collection:
        thresholds = Thresholds(bits=bits, cosine=cosine, seconds=seconds)
        found = find_duplicates(collection, [MatchKind(kind.value) for kind in kinds], thresholds)
    if form or page is None:
        _print_report(form, found)
    if page is not None:
        page.write(page_of(found), note)
    _report_missing(found.missing)
    for line in describe_empty(collection.emptied, considered):
        note(line)
    if not (collection.emptied or found.groups):
        note(f"No duplicates in {count(len(collection.files), 'file')}{_describe_kinds(kinds)}.")
    if not found.groups:
        raise typer.Exit(Exit.NOTHING_FOUND)
    if found.missing or (page is not None and page.failed):
        raise typer.Exit(Exit.SOME_SKIPPED)


def _print_report(form: str, found: DuplicateReport) -> None:
    """Print the groups in the form of an option; as a table if it is empty."""
    from nmm.cli.render.duplicates import table
    from nmm.cli.render.formats import AS_ON_DISK

    if form == "--json":
        emit(_json(found))
    elif form:
        end = "\0" if form == "-0" else "\n"
        redundant = [copy.path for group in found.groups for copy in group.files if not copy.keep]
        emit("".join(path + end for path in redundant), AS_ON_DISK)
    else:
        emit(table(found))


def _json(found: DuplicateReport) -> str:
    document = {
        "version": VERSION,
        "bytes": found.bytes,
        "groups": [asdict(group) for group in found.groups],
        "missing": [
            {"path": path, "reason": skip_reason(reason)} for path, reason in found.missing
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _describe_kinds(kinds: Sequence[DuplicateKind]) -> str:
    """Return the kinds that were searched in parentheses, unless it was all."""
    if set(kinds) == set(DuplicateKind):
        return ""
    return f" ({' and '.join(kind.value for kind in kinds)})"


def _report_missing(missing: Sequence[tuple[str, str]]) -> None:
    """Name the files that were deleted or changed since indexing."""
    for path, reason in missing[:MISSING_SHOWN]:
        typer.echo(f"{printable(path)}: {printable(skip_reason(reason))}", err=True)
    if (more := len(missing) - MISSING_SHOWN) > 0:
        typer.echo(f"and {more:,} more; see --json", err=True)
    if missing:
        typer.echo("They are in no group. Update the index with: nmm index", err=True)
