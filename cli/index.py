"""`nmm index`: bring an index up to what is on disk."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmm.cli.exit import Exit
from nmm.cli.output import emit
from nmm.cli.parameters import IndexOption, JsonOption, QuietOption
from nmm.cli.text import printable

if TYPE_CHECKING:
    from nmm.index.events import Summary

EXAMPLES = """\b
Examples:
  nmm index ~/Pictures
  nmm index . --exclude '*.log' --exclude build/
  nmm index                    all folders of the index again
"""


def index(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Folders and files; without any, all that the index has are looked at again.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME|DIR",
            help="Model of a new index: one that nmm models lists, or a folder with a pair of "
            "towers in hub layout (DIR/vision, DIR/text).",
        ),
    ] = None,
    index_path: IndexOption = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="GLOB",
            help="Leave out what matches, in gitignore syntax; can be given several times. "
            "A file called .nmmignore in any folder does the same for good.",
        ),
    ] = None,
    hidden: Annotated[
        bool,
        typer.Option(
            "--hidden",
            help="Also take hidden files, and version-control, cache and trash folders.",
        ),
    ] = False,
    follow_symlinks: Annotated[
        bool, typer.Option("--follow-symlinks", help="Follow symbolic links.")
    ] = False,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            "--max-pixels",
            min=1,
            metavar="N",
            help="Skip images with more pixels; 89 million if not given.",
        ),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            "--batch-size", min=1, metavar="N", help="Images embedded and committed together."
        ),
    ] = 32,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Index folders of images and texts, or update their index.

    Only what is new or changed is read. What was deleted on disk leaves the index.
    """
    from nmm.cli.progress import Progress
    from nmm.index.build import Options, build
    from nmm.index.media.image import MAX_PIXELS
    from nmm.index.store.location import index_folder

    # The one model there is comes with the packages: there is nothing to download.
    del offline
    with Progress(quiet=quiet) as progress, _stopping() as stop:
        summary = build(
            paths or [],
            index_folder(index_path),
            model=model,
            options=Options(
                exclude=exclude or (),
                hidden=hidden,
                follow_symlinks=follow_symlinks,
                max_pixels=max_pixels or MAX_PIXELS,
                batch_size=batch_size,
                count=progress.shown,
            ),
            on_event=progress.on_event,
            stop=stop,
        )
    if as_json:
        emit(_as_json(summary) + "\n")
    elif not quiet:
        emit(_as_text(summary) + "\n")
    if summary.interrupted:
        raise typer.Exit(Exit.INTERRUPTED)
    if summary.skipped:
        raise typer.Exit(Exit.SOME_SKIPPED)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second one interrupts whatever is going on."""
    stop = threading.Event()

    def on_signal(number: int, _: object) -> None:
        signal.signal(number, signal.default_int_handler)
        stop.set()
        # Not through a stream, which may be in the midst of printing.
        os.write(2, b"\nStopping: what is being embedded is finished and kept.\n")

    former = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _as_json(summary: Summary) -> str:
    return json.dumps(
        {
            "model": summary.model,
            "added": summary.added,
            "updated": summary.updated,
            "unchanged": summary.unchanged,
            "moved": summary.moved,
            "removed": summary.removed,
            "skipped": [{"path": s.path, "reason": s.reason} for s in summary.skipped],
            "seconds": round(summary.seconds, 3),
        },
        ensure_ascii=False,
        indent=2,
    )


def _as_text(summary: Summary) -> str:
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
    reasons = Counter(printable(s.reason) for s in summary.skipped)
    lines += [f"  {number} skipped: {reason}" for reason, number in reasons.most_common(10)]
    if len(reasons) > 10:
        lines.append("  and more: nmm status --errors")
    if summary.interrupted:
        lines.append("Stopped before the end; the next nmm index goes on from here.")
    return "\n".join(lines)
