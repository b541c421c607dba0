"""`nmm watch`: keep an index up to date."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmm.cli.commands.index import (
    ExcludeOption,
    FollowSymlinksOption,
    HiddenOption,
    OcrOption,
    summary_as_json,
    summary_as_text,
)
from nmm.cli.console.signals import stopping
from nmm.cli.console.stdout import emit
from nmm.cli.options.common import (
    DeviceOption,
    IndexOption,
    ModelOption,
    OfflineOption,
    PrecisionOption,
    QuietOption,
    ThreadsOption,
)
from nmm.index.encoders.backend import Backend, Device, Precision

if TYPE_CHECKING:
    from nmm.index.events import Summary

EXAMPLES = """\b
Examples:
  nmm watch ~/Notes
  nmm watch                    all folders of the index
  nmm watch --json | while read -r burst; do echo "$burst"; done
"""


def watch(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Folders and files; without any, all that the index has.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    index_path: IndexOption = None,
    exclude: ExcludeOption = None,
    hidden: HiddenOption = False,
    follow_symlinks: FollowSymlinksOption = False,
    ocr: OcrOption = None,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = None,
    precision: PrecisionOption = Precision.FP32,
    offline: OfflineOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line for each burst.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Bring the index up to date, then keep it so until Ctrl-C.

    What changes on disk is indexed in bursts, and each prints a line. Other commands work
    meanwhile; one that writes to the index has to wait only while a burst is written.
    """
    from nmm.cli.render.progress import Progress
    from nmm.index.indexing.options import IndexOptions
    from nmm.index.indexing.watcher import watch as follow
    from nmm.index.store.layout import index_folder

    with stopping() as stop:
        progress = Progress(quiet=quiet)
        bursts = follow(
            paths or [],
            index_folder(index_path),
            model=model,
            offline=offline,
            backend=Backend(device, threads, precision),
            options=IndexOptions(
                exclude=exclude or (),
                hidden=hidden,
                follow_symlinks=follow_symlinks,
                count=progress.shown,
                ocr=ocr,
            ),
            on_event=progress.on_event,
            stop=stop,
        )
        with progress:
            first = next(bursts, None)
        if first is None:  # stopped while it waited for another process
            return
        if as_json:
            emit(summary_as_json(first, indent=None) + "\n")
        elif not quiet:
            emit(summary_as_text(first) + "\n")
        for burst in bursts:
            if as_json:
                emit(summary_as_json(burst, indent=None) + "\n")
            elif not quiet:
                emit(_line(burst) + "\n")


def _line(burst: Summary) -> str:
    counts = (
        ("added", burst.added),
        ("updated", burst.updated),
        ("moved", burst.moved),
        ("removed", burst.removed),
        ("skipped", len(burst.skipped)),
        ("read for words", burst.ocr.read if burst.ocr else 0),
    )
    said = ", ".join(f"{number} {name}" for name, number in counts if number)
    return f"{datetime.now():%H:%M:%S} {said}"
