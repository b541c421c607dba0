"""`nmm classify`: zero-shot classification of files into labels."""

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
from nmm.cli.render.sorting import sort_into_folders, undo_sorting
from nmm.index.analysis.classification.labels import (
    NONE_LABEL,
    Label,
    normalize_label,
    parse_labels,
)
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nmm.cli.render.classifications import Row
    from nmm.index.analysis.classification.classifier import Classification
    from nmm.index.store.catalog.file_vectors import Item
    from nmm.index.store.layout import IndexFolder

EXAMPLES = """\b
Examples:
  nmm classify --labels cat,dog,receipt --type image
  nmm classify --labels-file labels.txt --none --csv > labels.csv
  nmm classify --labels receipt,letter --write-tags && nmm search --tag receipt Vienna
  nmm classify --labels cat,dog --none --only cat -0 | xargs -0 ls -l
  nmm classify --labels cat,dog --none --move-to ~/Sorted          (prints the plan)
  nmm classify --labels cat,dog --none --move-to ~/Sorted --yes
  nmm classify --undo ~/Sorted/.nmm-undo-2026-01-31-120000.jsonl
"""


@filtered
def classify(
    labels: Annotated[
        list[str] | None,
        typer.Option("--labels", metavar="A,B,…", help="Labels, separated by commas."),
    ] = None,
    labels_file: Annotated[
        Path | None,
        typer.Option(
            "--labels-file",
            metavar="FILE",
            help="Read labels from a file, one per line, optionally with descriptions: "
            "'receipt: a slip from a till; a list of prices'. - is standard input. Lines that "
            "begin with # are ignored.",
        ),
    ] = None,
    templates: Annotated[
        list[str] | None,
        typer.Option(
            "--template",
            metavar="TEXT",
            help="Prompt template for labels, such as 'a photo of a {}', instead of the built-in "
            "ones. Repeat the option to average several.",
        ),
    ] = None,
    none: Annotated[
        bool,
        typer.Option("--none", help=f"Use the label {NONE_LABEL} for files that no label fits."),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="LABEL",
            help="Only files with this label. Repeat the option to allow several.",
        ),
    ] = None,
    least: Annotated[
        float,
        typer.Option(
            "--min-score",
            metavar="P",
            min=0,
            max=1,
            help="Skip files whose label is less probable.",
        ),
    ] = 0.0,
    index_path: IndexOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object per line for each file.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    as_paths: PathsOption = False,
    as_nul: NulOption = False,
    write_tags: Annotated[
        bool,
        typer.Option(
            "--write-tags",
            help="Store each file's label as a tag in the index, for nmm search --tag. It replaces "
            "other tags among these labels.",
        ),
    ] = False,
    wait: WaitOption = False,
    move_to: Annotated[
        Path | None,
        typer.Option(
            "--move-to",
            metavar="DIR",
            help="Move the files into one folder per label there. Without --yes, only print the "
            "plan.",
        ),
    ] = None,
    link_to: Annotated[
        Path | None,
        typer.Option(
            "--link-to", metavar="DIR", help="Like --move-to, but create links; the files stay."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Carry out --move-to or --link-to.")
    ] = False,
    undo: Annotated[
        Path | None,
        typer.Option(
            "--undo",
            metavar="LOG",
            help="Undo --move-to or --link-to with the log that it wrote.",
        ),
    ] = None,
    quiet: QuietOption = False,
    *,
    among: Among,
) -> None:
    """Give each file the label that fits best, with probabilities.

    Nothing is trained and no file is read: the labels are compared with the vectors in the index.
    For each file, the probabilities of all labels sum to 1. A text is classified as a whole.
    """
    if undo:
        if labels or labels_file or move_to or link_to:
            raise UsageError("--undo cannot be combined with other options.")
        undo_sorting(undo, quiet=quiet)
        return
    target = _target_folder(move_to, link_to, yes=yes)
    from nmm.cli.render import classifications
    from nmm.index.common.numpy_threads import import_numpy_single_threaded

    import_numpy_single_threaded()
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
    candidates = _read_labels(labels or (), labels_file)
    chosen = _select_labels(only or (), candidates, none=none)
    folder = index_folder(index_path)

    def note(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    prompts = [valid(template) for template in templates or ()]
    result, roots = _classify_index(folder, among, candidates, prompts, none=none, note=note)
    rows = classifications.select_rows(result, chosen, least)
    if form or not target:
        classifications.print_rows(form, result, rows)
    if rows:
        note(f"{count(len(rows), 'file')}: {classifications.describe_counts(rows, result.labels)}.")
    labelled = [row for row in rows if row.label != NONE_LABEL or not none]
    if write_tags:
        tags = [name for name in chosen or result.labels if name != NONE_LABEL or not none]
        _write_tags(result.files, labelled, tags, folder, wait=wait)
        note(f"{count(len(labelled), 'file')} tagged.")
    if target and sort_into_folders(
        labelled,
        result.labels,
        target,
        roots,
        moving=move_to is not None,
        yes=yes,
        listed=not form,
        quiet=quiet,
    ):
        raise typer.Exit(Exit.SOME_SKIPPED)
    if not rows:
        raise typer.Exit(Exit.NOTHING_FOUND)


def _target_folder(move_to: Path | None, link_to: Path | None, *, yes: bool) -> Path | None:
    """Return the folder to sort into, if any.

    Raises:
        UsageError: The options contradict each other.
    """
    if move_to and link_to:
        raise UsageError("--move-to and --link-to exclude each other.", hint="Remove one of them.")
    target = move_to or link_to
    if yes and not target:
        raise UsageError("--yes needs --move-to or --link-to.")
    return target


def _classify_index(
    folder: IndexFolder,
    among: Among,
    labels: Sequence[Label],
    templates: Sequence[str],
    *,
    none: bool,
    note: Callable[[str], None],
) -> tuple[Classification, list[Path]]:
    """Classify the files of an index; return the result and the index's folders."""
    from nmm.index.analysis.classification.classifier import classify as classify_files
    from nmm.index.analysis.collection import open_collection

    with open_collection(
        folder,
        among.kinds,
        among.typed.read(),
        on_compile=lambda: note("Preparing the model for this machine, once."),
    ) as collection:
        result = classify_files(collection, labels, templates=templates, none=none)
        for line in tell_emptied(collection.emptied, among.typed, among.kinds):
            note(line)
        return result, [root.path for root in collection.catalog.roots()]


def _write_tags(
    files: Sequence[Item],
    rows: Sequence[Row],
    tags: Sequence[str],
    folder: IndexFolder,
    *,
    wait: bool,
) -> None:
    """Store labels as tags, and remove other tags among `tags` from all files."""
    from nmm.index.analysis.classification.tags import assign_tags
    from nmm.index.store.lock import Wait

    labels = {row.position: row.label for row in rows}
    assignments = [(item, labels.get(position)) for position, item in enumerate(files)]
    with stopping() as stop:
        assign_tags(assignments, tags, folder, wait=Wait(stop) if wait else None)


def _read_labels(typed: Sequence[str], file: Path | None) -> list[Label]:
    """Return the labels from the command line and from a file."""
    names = [normalize_label(part) for text in typed for part in valid(text).split(",")]
    found = [Label(name) for name in names if name]
    if file is None:
        return found
    return found + parse_labels(read_text(file, "Check its spelling."))


def _select_labels(typed: Sequence[str], labels: Sequence[Label], *, none: bool) -> list[str]:
    """Return the names of the labels given with --only."""
    names = {label.name.casefold(): label.name for label in labels}
    if none:
        names[NONE_LABEL] = NONE_LABEL
    wanted = [parse_label("--only", name) for name in typed]
    for name in wanted:
        if name.casefold() not in names:
            raise UsageError(
                f"{name!r} is not one of the labels.",
                hint=f"The labels are: {', '.join(names.values())}.",
            )
    return [names[name.casefold()] for name in wanted]
