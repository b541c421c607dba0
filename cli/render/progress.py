"""Progress on stderr while nmm indexes or downloads a model."""

from __future__ import annotations

import shlex
import sys
import textwrap
from typing import TYPE_CHECKING

from nmm.cli.console.text import printable, skip_reason
from nmm.index.store.layout import index_folder

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import Progress as Bars
    from rich.progress import TaskID
    from typing_extensions import Self

    from nmm.index.events import Event, OcrFileProcessed, OcrStarted, OcrUnavailable

PRUNE = "Remove them with: nmm index --prune"


class Progress:
    """Prints notes and skipped files, and on a terminal also a progress bar.

    Args:
        quiet: Print nothing.
        index: The index given on the command line, for the commands to suggest.
    """

    def __init__(self, *, quiet: bool, index: Path | None = None) -> None:
        self._quiet = quiet
        self._index = index
        self.shown = sys.stderr.isatty() and not quiet
        self._bars: Bars | None = None
        self._bar: TaskID | None = None
        self._about = ""

    def __enter__(self) -> Self:
        if self.shown:
            self._bars = _bars()
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()

    def on_event(self, event: Event) -> None:
        """Show one event of a run."""
        from nmm.index import events as e

        match event:
            case e.FileProcessed():
                self.advance("Indexing")
            case e.FilesCounted(files):
                self.advance("Indexing", 0, files)
            case e.FileSkipped(path, reason):
                self.advance("Indexing")
                self.note(f"skipped {path}: {skip_reason(reason)}")
            case e.FallbackModelUsed(model, wanted, why):
                self._paragraph(
                    f"The model {wanted} is not on this machine and cannot be downloaded now. "
                    f"{why.rstrip('.')}. This index uses {model}, which is built in and less "
                    f"accurate. To rebuild it with {wanted} later, type:",
                    self._rebuild("--model", wanted),
                )
            case e.DownloadStarted(model, size, missing):
                here = f", {_mb(size - missing)} of it here already" if missing < size else ""
                self.note(f"Downloading the model {model}, once: {_mb(size)}{here}.")
                self._set_bytes(model, size - missing, size)
            case e.DownloadProgress(model, here, size):
                self._set_bytes(model, here, size)
            case e.CompileStarted(model):
                self.note(f"Preparing the model {model} for this machine, once.")
                self.advance(f"Preparing {model}", 0)
            case e.OcrStarted() | e.OcrFileProcessed() | e.OcrUnavailable():
                self._on_ocr(event)
            case e.CompileFinished():
                self._end_bar()
            case e.MetadataBackfillStarted(images):
                self.note(f"Reading where and with what {images:,} images were taken, once.")
            case _:
                self.note(self._sentence(event))

    def _on_ocr(self, event: OcrStarted | OcrFileProcessed | OcrUnavailable) -> None:
        from nmm.index import events as e

        match event:
            case e.OcrStarted(images):
                self.advance("Reading words", 0, images)
            case e.OcrFileProcessed(path, reason):
                self.advance("Reading words")
                if reason:
                    self.note(f"skipped {path}: {skip_reason(reason)}")
            case e.OcrUnavailable(why, code):
                from nmm.cli.console.hints import hint_for

                self.note(f"The text in images is part of this index but cannot be read. {why}")
                self.note(hint_for(code, {}))
                self.note(f"To stop reading it: {self._index_command('--no-ocr')}")

    def _sentence(self, event: Event) -> str:
        """Return the sentence for an event that only prints a note."""
        from nmm.index import events as e

        match event:
            case e.IndexCreated(model):
                return f"Creating an index with the model {model}: {_title(model)}."
            case e.RebuildStarted(model, old):
                return (
                    f"Rebuilding the index with the model {model}. Until that is done, searches "
                    f"use {old}."
                )
            case e.RebuildUnfinished(model, dimension):
                # With another dimension it would start again.
                again = self._rebuild("--model", model, "--dim", str(dimension))
                return f"A rebuild with the model {model} is not finished. Resume it with: {again}"
            case e.WaitingForLock(holder):
                return f"Waiting for another nmm: {holder or 'it writes to this index'}."
            case e.RootMissing(path, mount):
                why = f", because nothing is mounted on {mount}" if mount else ""
                return f"{path} is not available{why}. Its files stay in the index. {PRUNE}"
            case e.MountMissing(path):
                return f"Nothing is mounted on {path}. Its files stay in the index. {PRUNE}"
            case _:
                raise AssertionError(event)

    def note(self, text: str) -> None:
        """Print a line, above the progress bar if there is one."""
        if self._quiet:
            return
        if self._bars:
            self._bars.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
        else:
            print(printable(text), file=sys.stderr, flush=True)  # noqa: T201

    def _paragraph(self, text: str, command: str) -> None:
        """Print what happened in a few lines, and what to type."""
        for line in [*textwrap.wrap(text, 88), f"  {command}"]:
            self.note(line)

    def _rebuild(self, *options: str) -> str:
        """Return the command that rebuilds this index."""
        return self._index_command(*options, last="--rebuild")

    def _index_command(self, *options: str, last: str | None = None) -> str:
        # Without --index if it is the default index.
        is_meant = index_folder(self._index) == index_folder()
        where = () if is_meant else ("--index", str(self._index))
        return shlex.join(("nmm", "index", *options, *where, *([last] if last else [])))

    def advance(
        self, about: str, by: int = 1, total: int | None = None, *, unit: str = "files"
    ) -> None:
        """Advance the progress bar of an activity."""
        if self._bars:
            bar = self._bar_of(self._bars, about, unit=unit)
            self._bars.update(bar, advance=by)
            if total is not None:
                self._bars.update(bar, total=total)

    def _set_bytes(self, model: str, here: int, size: int) -> None:
        if self._bars:
            bar = self._bar_of(self._bars, f"Downloading {model}", in_bytes=True)
            self._bars.update(bar, completed=here, total=size)

    def _bar_of(
        self, bars: Bars, about: str, *, in_bytes: bool = False, unit: str = "files"
    ) -> TaskID:
        """Return the bar of the current activity, which replaces that of the previous one."""
        if self._bar is None or about != self._about:
            self._end_bar()
            self._about = about
            self._bar = bars.add_task(about, total=None, in_bytes=in_bytes, unit=unit)
        return self._bar

    def _end_bar(self) -> None:
        if self._bars and self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _title(model: str) -> str:
    from nmm.index.encoders.resolve import find_model

    return find_model(model).title


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class DoneColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            if task.fields["in_bytes"]:
                return Text(f"{_mb(int(task.completed))} of {_mb(int(task.total or 0))}")
            if not task.completed and task.total is None:
                return Text(f"{task.elapsed or 0:.0f} s")
            return Text(f"{task.completed:.0f}/{'?' if task.total is None else int(task.total)}")

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            if not task.speed:
                return Text("")
            if task.fields["in_bytes"]:
                return Text(f"{task.speed / 1e6:.1f} MB/s")
            return Text(f"{task.speed:.0f} {task.fields['unit']}/s")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DoneColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
