"""`nmm index`: bring an index up to date with the files on disk."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.signals import stopping
from nmm.cli.console.stdout import emit
from nmm.cli.console.text import printable, skip_reason
from nmm.cli.options.common import (
    DeviceOption,
    DimensionOption,
    IndexOption,
    JsonOption,
    MaxPixelsOption,
    ModelOption,
    OfflineOption,
    PrecisionOption,
    QuietOption,
    ThreadsOption,
    WaitOption,
)
from nmm.index.encoders.backend import Backend, Device, Precision
from nmm.index.encoders.registry import DEFAULT
from nmm.index.encoders.resolve import find_model
from nmm.index.encoders.runtime.devices import check_backend

if TYPE_CHECKING:
    from nmm.index.events import OcrSummary, Summary

EXAMPLES = """\b
Examples:
  nmm index ~/Pictures
  nmm index . --exclude '*.log' --exclude build/
  nmm index                    all folders of the index again
  nmm index ~/Screenshots --ocr
  nmm index --model nomic-v1.5 --rebuild
"""

ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help="Ignore files and folders that match, in gitignore syntax. Repeat the option to give "
        "several patterns. A file named .nmmignore in any folder ignores them permanently.",
    ),
]
HiddenOption = Annotated[
    bool,
    typer.Option(
        "--hidden",
        help="Include hidden files, and version-control, cache and trash folders.",
    ),
]
FollowSymlinksOption = Annotated[
    bool, typer.Option("--follow-symlinks", help="Follow symbolic links.")
]

OcrOption = Annotated[
    bool | None,
    typer.Option(
        "--ocr/--no-ocr",
        help="Recognise text in images, after everything else, in this run and later ones until "
        "--no-ocr. Needs: pip install 'nmm[ocr]'",
        show_default=False,
    ),
]


def index(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Folders and files to index. Without any, update all folders of the index.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    dimension: DimensionOption = None,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Embed everything again, for another --model or --dim. The old index answers "
            "until the new one is complete.",
        ),
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Also remove files in missing folders and on disks that are not mounted. By "
            "default they stay in the index.",
        ),
    ] = False,
    index_path: IndexOption = None,
    exclude: ExcludeOption = None,
    hidden: HiddenOption = False,
    follow_symlinks: FollowSymlinksOption = False,
    ocr: OcrOption = None,
    max_pixels: MaxPixelsOption = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            min=1,
            metavar="N",
            help="Number of images embedded and committed together. The default suits the device.",
        ),
    ] = None,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = None,
    precision: PrecisionOption = Precision.FP32,
    offline: OfflineOption = False,
    wait: WaitOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Index folders of images and texts, or update their index.

    Only new and changed files are read. Files deleted from disk leave the index; files on a disk
    that is not mounted stay, see --prune.
    The first run downloads the model: nomic-v1.5, or the one that --model names. Without --model
    and without access to the hub, the built-in model is used.
    """
    from nmm.cli.render.progress import Progress
    from nmm.index.indexing.indexer import build
    from nmm.index.indexing.options import IndexOptions
    from nmm.index.media.image.decode import MAX_PIXELS
    from nmm.index.store.layout import index_folder

    backend = Backend(device, threads, precision)
    # The model of an existing index is downloaded already; the default model stands for it.
    check_backend(find_model(model) if model is not None else DEFAULT, backend)
    with Progress(quiet=quiet, index=index_path) as progress, stopping() as stop:
        summary = build(
            paths or [],
            index_folder(index_path),
            model=model,
            dimension=dimension,
            rebuild=rebuild,
            offline=offline,
            backend=backend,
            options=IndexOptions(
                exclude=exclude or (),
                hidden=hidden,
                follow_symlinks=follow_symlinks,
                max_pixels=max_pixels or MAX_PIXELS,
                batch_size=batch_size,
                count=progress.shown,
                ocr=ocr,
            ),
            on_event=progress.on_event,
            stop=stop,
            wait=wait,
            prune=prune,
        )
    if as_json:
        emit(summary_as_json(summary) + "\n")
    elif not quiet:
        emit(summary_as_text(summary) + "\n")
    if summary.interrupted:
        raise typer.Exit(Exit.INTERRUPTED)
    if summary.skipped:
        raise typer.Exit(Exit.SOME_SKIPPED)


def summary_as_json(summary: Summary, *, indent: int | None = 2) -> str:
    """Return the counts of a run, and the skipped files, as a JSON object."""
    words = summary.ocr
    return json.dumps(
        {
            "model": summary.model,
            "added": summary.added,
            "updated": summary.updated,
            "unchanged": summary.unchanged,
            "moved": summary.moved,
            "removed": summary.removed,
            "skipped": [{"path": s.path, "reason": skip_reason(s.reason)} for s in summary.skipped],
            "seconds": round(summary.seconds, 3),
            "ocr": words
            and {
                "read": words.read,
                "with_words": words.with_words,
                "left": words.left,
                "seconds": round(words.seconds, 3),
            },
        },
        ensure_ascii=False,
        indent=indent,
    )


def summary_as_text(summary: Summary) -> str:
    """Return the counts of a run, and why files were skipped, as text."""
    counts = ", ".join(
        f"{number} {name}"
        for name, number in (
            ("added", summary.added),
            ("updated", summary.updated),
            ("unchanged", summary.unchanged),
            ("moved", summary.moved),
            ("removed", summary.removed),
            ("skipped", len(summary.skipped)),
        )
    )
    lines = [f"{counts} in {summary.seconds:.1f} s with the model {summary.model}."]
    lines += [words_as_text(summary.ocr)] if summary.ocr else []
    reasons = Counter(printable(skip_reason(s.reason)) for s in summary.skipped)
    lines += [f"  {number} skipped: {reason}" for reason, number in reasons.most_common(10)]
    if len(reasons) > 10:
        lines.append("  and more: nmm status --errors")
    if summary.interrupted and summary.rebuild and not summary.ocr:
        lines.append("Stopped before the end: the index is the old one until the same command,")
        lines.append("which goes on from here, is through.")
    elif summary.interrupted:
        lines.append("Stopped before the end; the next nmm index goes on from here.")
    return "\n".join(lines)


def words_as_text(ocr: OcrSummary) -> str:
    """Return the counts of an OCR pass as text."""
    left = f", {ocr.left} left" if ocr.left else ""
    images = "1 image" if ocr.read == 1 else f"{ocr.read} images"
    return f"{images} checked for text, {ocr.with_words} with text{left} in {ocr.seconds:.1f} s."
