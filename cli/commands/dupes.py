"""`nmm dupes`: files of which one would do."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.stdout import emit
from nmm.cli.console.text import count, printable
from nmm.cli.framework.optional_value import GalleryCommand
from nmm.cli.options.common import IndexOption, JsonOption, QuietOption
from nmm.cli.options.filtered import Among, filtered

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
# The shape of the JSON; grows when a name in it changes its meaning or goes away.
VERSION = 1
MISSING_SHOWN = 10
PAGE = "nmm-dupes.html"


class Only(str, Enum):
    """How files are alike; :class:`.pairs.Match`, which takes longer to import."""

    EXACT = "exact"
    NEAR = "near"
    BURST = "burst"


@filtered
def dupes(
    among: Among,
    only: Annotated[
        list[Only] | None,
        typer.Option(
            "--only",
            metavar="KIND",
            help="exact: files of one content; near: images saved again, resized, cropped, turned "
            "or recoloured, and texts of the same words but for a few; burst: pictures of one "
            "camera taken within seconds. It can be given twice.",
        ),
    ] = None,
    bits: Annotated[
        int,
        typer.Option(
            "--bits",
            min=0,
            max=20,
            metavar="N",
            help="Of 64, that the perceptual hashes of near images may differ by.",
        ),
    ] = 10,
    cosine: Annotated[
        float,
        typer.Option(
            "--cosine",
            min=0,
            max=1,
            metavar="X",
            help="The least cosine of near texts, and of an image and a crop of it.",
        ),
    ] = 0.9,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds",
            min=0,
            metavar="S",
            help="The most between two pictures of a burst.",
        ),
    ] = 2.0,
    index_path: IndexOption = None,
    as_json: JsonOption = False,
    as_paths: Annotated[
        bool, typer.Option("--paths", help="Print what could go: absolute paths, one a line.")
    ] = False,
    as_nul: Annotated[
        bool, typer.Option("-0", help="Print what could go: absolute paths, each ended by NUL.")
    ] = False,
    gallery: Annotated[
        str | None,
        typer.Option(
            "--gallery",
            metavar="[FILE.html]",
            help="Write a page of the groups, with thumbnails; - is standard output.",
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open that page.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Find files of which one would do, and say which to keep. Nothing is removed.

    All three kinds are looked for, or those that are named. Of each group one file is kept: of
    images the one with the most pixels, then the sharpest, then by its format; of texts the one
    with the most words. All others were compared with that very one. Files that are gone or
    changed since they were indexed are named, and count for nothing.
    """
    from nmm.index.common.numpy_threads import import_numpy_single_threaded

    import_numpy_single_threaded()
    from nmm.cli.options.filters import tell_emptied
    from nmm.cli.render.duplicates import page as page_of
    from nmm.cli.render.duplicates import table
    from nmm.cli.render.formats import AS_ON_DISK, only_one
    from nmm.cli.render.html.gallery_option import Page
    from nmm.index.analysis.collection import open_collection
    from nmm.index.analysis.dupes.groups import find_duplicates
    from nmm.index.analysis.dupes.pairs import MatchKind, Thresholds
    from nmm.index.store.layout import index_folder

    form = only_one({"--json": as_json, "--paths": as_paths, "-0": as_nul})

    def tell(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    if open_page and gallery is None:
        gallery = ""
    page = None
    if gallery is not None:
        page = Page(gallery, PAGE, form=bool(form), opened=open_page)
    matches = [MatchKind(kind.value) for kind in only or Only]
    filters = among.typed.read()
    with open_collection(index_folder(index_path), among.kinds, filters) as collection:
        thresholds = Thresholds(bits=bits, cosine=cosine, seconds=seconds)
        found = find_duplicates(collection, matches, thresholds)
        emptied, files = collection.emptied, len(collection.files)
    if as_json:
        emit(_json(found))
    elif as_paths or as_nul:
        end = "\0" if as_nul else "\n"
        going = [copy.path for group in found.groups for copy in group.files if not copy.keep]
        emit("".join(path + end for path in going), AS_ON_DISK)
    elif page is None:
        emit(table(found))
    if page is not None:
        page.write(page_of(found), tell)
    _tell_missing(found.missing)
    for line in tell_emptied(emptied, among.typed, among.kinds):
        tell(line)
    if not (emptied or found.groups):
        tell(f"Of {count(files, 'file')}, none could go{_kinds(only or list(Only))}.")
    if not found.groups:
        raise typer.Exit(Exit.NOTHING_FOUND)
    if found.missing or (page is not None and page.failed):
        raise typer.Exit(Exit.SOME_SKIPPED)


def _json(found: DuplicateReport) -> str:
    answer = {
        "version": VERSION,
        "bytes": found.bytes,
        "groups": [asdict(group) for group in found.groups],
        "missing": [{"path": path, "reason": reason} for path, reason in found.missing],
    }
    return json.dumps(answer, ensure_ascii=False, indent=2) + "\n"


def _kinds(matches: Sequence[Only]) -> str:
    """What was looked for, if not all."""
    return (
        "" if set(matches) == set(Only) else f" ({' and '.join(match.value for match in matches)})"
    )


def _tell_missing(missing: Sequence[tuple[str, str]]) -> None:
    """Name what is not, or not any more, what was indexed."""
    for path, reason in missing[:MISSING_SHOWN]:
        typer.echo(f"{printable(path)}: {printable(reason)}", err=True)
    if (more := len(missing) - MISSING_SHOWN) > 0:
        typer.echo(f"and {more:,} more, which --json names.", err=True)
    if missing:
        typer.echo("They are in no group. Bring the index up to date with: nmm index", err=True)
