"""`nmm classify`: which of some labels fits each file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.signals import stopping
from nmm.cli.console.text import count, valid
from nmm.cli.options.common import (
    IndexOption,
    NulOption,
    PathsOption,
    QuietOption,
    WaitOption,
)
from nmm.cli.options.filtered import Among, filtered
from nmm.cli.options.filters import parse_label, tell_emptied
from nmm.cli.options.input_files import read_text
from nmm.cli.render.formats import only_one
from nmm.cli.render.sorting import put_back, sort
from nmm.index.analysis.classification.labels import (
    NONE_LABEL,
    Label,
    normalize_label,
    parse_labels,
)
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nmm.cli.render.classifications import Row
    from nmm.index.store.catalog.file_vectors import Item
    from nmm.index.store.layout import IndexFolder

EXAMPLES = """\b
Examples:
  nmm classify --labels cat,dog,receipt --type image
  nmm classify --labels-file labels.txt --none --csv > labels.csv
  nmm classify --labels receipt,letter --write-tags && nmm search --tag receipt Vienna
  nmm classify --labels cat,dog --none --only cat -0 | xargs -0 ls -l
  nmm classify --labels cat,dog --none --move-to ~/Sorted          (shows what would be done)
  nmm classify --labels cat,dog --none --move-to ~/Sorted --yes
  nmm classify --undo ~/Sorted/.nmm-undo-2026-01-31-120000.jsonl
"""


@filtered
def classify(
    labels: Annotated[
        list[str] | None,
        typer.Option("--labels", metavar="A,B,…", help="Labels, between commas."),
    ] = None,
    labels_file: Annotated[
        Path | None,
        typer.Option(
            "--labels-file",
            metavar="FILE",
            help="Labels, one a line, with descriptions or without, as in 'receipt: a slip from a "
            "till; a list of prices'; - is standard input. Lines that begin with # are passed "
            "over.",
        ),
    ] = None,
    templates: Annotated[
        list[str] | None,
        typer.Option(
            "--template",
            metavar="TEXT",
            help="What a label is put into, as in 'a photo of a {}', instead of what is built in; "
            "of several, the mean is taken.",
        ),
    ] = None,
    none: Annotated[
        bool, typer.Option("--none", help=f"Give the label {NONE_LABEL} to what no label fits.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="LABEL", help="Take the files of this label alone."),
    ] = None,
    least: Annotated[
        float,
        typer.Option(
            "--min-score", metavar="P", min=0, max=1, help="Leave out what is less probable."
        ),
    ] = 0.0,
    index_path: IndexOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print a JSON object a line for each file.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    as_paths: PathsOption = False,
    as_nul: NulOption = False,
    write_tags: Annotated[
        bool,
        typer.Option(
            "--write-tags",
            help="Keep each file's label as a tag in the index, in the place of another of these "
            "labels: for nmm search --tag.",
        ),
    ] = False,
    wait: WaitOption = False,
    move_to: Annotated[
        Path | None,
        typer.Option(
            "--move-to",
            metavar="DIR",
            help="Move the files into a folder for each label there; without --yes, only say so.",
        ),
    ] = None,
    link_to: Annotated[
        Path | None,
        typer.Option("--link-to", metavar="DIR", help="The same with links; the files stay."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do what --move-to or --link-to say.")
    ] = False,
    undo: Annotated[
        Path | None,
        typer.Option(
            "--undo",
            metavar="LOG",
            help="Put all back that was moved or linked, by the log that was written.",
        ),
    ] = None,
    quiet: QuietOption = False,
    *,
    among: Among,
) -> None:
    """Tell which of some labels fits each file best, and how surely.

    Nothing is trained, and no file is read: labels are compared with what is in the index.
    Scores are probabilities; of each file, those of all labels are 1 together. A text is
    taken as a whole.
    """
    if undo:
        if labels or labels_file or move_to or link_to:
            raise UsageError("--undo is given alone.", hint="Leave out the other options.")
        put_back(undo, quiet=quiet)
        return
    if move_to and link_to:
        raise UsageError("Files are moved or linked, and not both.", hint="Leave one out.")
    sorting = move_to or link_to
    if yes and not sorting:
        raise UsageError("--yes has nothing to do.", hint="Say what: --move-to or --link-to DIR")
    from nmm.cli.render import classifications
    from nmm.index.common.numpy_threads import import_numpy_single_threaded

    import_numpy_single_threaded()
    from nmm.index.analysis.classification.classifier import classify as classify_items
    from nmm.index.analysis.collection import open_collection
    from nmm.index.store.layout import index_folder

    form = only_one(
        {
            "--json": as_json,
            "--jsonl": as_jsonl,
            "--csv": as_csv,
            "--paths": as_paths,
            "-0": as_nul,
        }
    )
    wanted = _labels(labels or (), labels_file)
    chosen = _only(only or (), wanted, none=none)
    folder = index_folder(index_path)

    def note(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    with open_collection(
        folder,
        among.kinds,
        among.typed.read(),
        on_compile=lambda: note("Preparing the model for this machine, once."),
    ) as collection:
        found = classify_items(
            collection, wanted, templates=[valid(one) for one in templates or ()], none=none
        )
        roots = [root.path for root in collection.catalog.roots()]
        for line in tell_emptied(collection.emptied, among.typed, among.kinds):
            note(line)
    shown = classifications.rows(found, chosen, least)
    if form or not sorting:
        classifications.show(form, found, shown)
    if shown:
        note(f"{count(len(shown), 'file')}: {classifications.counts(shown, found.labels)}.")
    fitting = [row for row in shown if row.label != NONE_LABEL or not none]
    if write_tags:
        choice = [name for name in chosen or found.labels if name != NONE_LABEL or not none]
        _tag(found.files, fitting, choice, folder, wait=wait)
        note(f"{count(len(fitting), 'file')} tagged.")
    failed = False
    if sorting:
        failed = sort(
            fitting,
            found.labels,
            sorting,
            roots,
            moving=move_to is not None,
            yes=yes,
            listed=not form,
            quiet=quiet,
        )
    if failed:
        raise typer.Exit(Exit.SOME_SKIPPED)
    if not shown:
        raise typer.Exit(Exit.NOTHING_FOUND)


def _tag(
    files: Sequence[Item],
    fitting: Sequence[Row],
    choice: Sequence[str],
    folder: IndexFolder,
    *,
    wait: bool,
) -> None:
    """Keep the labels of some files as tags, in the place of what all had of these labels."""
    from nmm.index.analysis.classification.tags import assign_tags
    from nmm.index.store.lock import Wait

    labels = {row.place: row.label for row in fitting}
    given = [(item, labels.get(place)) for place, item in enumerate(files)]
    with stopping() as stop:
        assign_tags(given, choice, folder, wait=Wait(stop) if wait else None)


def _labels(typed: Sequence[str], file: Path | None) -> list[Label]:
    """The labels that were typed, and those of a file."""
    names = [normalize_label(part) for text in typed for part in valid(text).split(",")]
    found = [Label(name) for name in names if name]
    if file is None:
        return found
    return found + parse_labels(read_text(file, "Check its spelling."))


def _only(typed: Sequence[str], labels: Sequence[Label], *, none: bool) -> list[str]:
    """The labels that are wanted alone, as they were named."""
    known = {label.name.casefold(): label.name for label in labels} | (
        {NONE_LABEL: NONE_LABEL} if none else {}
    )
    wanted = [parse_label("--only", name) for name in typed]
    for name in wanted:
        if name.casefold() not in known:
            raise UsageError(
                f"{name!r} is none of the labels.", hint=f"They are: {', '.join(known.values())}."
            )
    return [known[name.casefold()] for name in wanted]
