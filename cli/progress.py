"""What a person sees on stderr while an index is being made."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nmm.cli.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from typing_extensions import Self

    from nmm.index.events import Event


class Progress:
    """Prints skipped files and notes, and on a terminal a bar with files, rate and time left."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self.shown = sys.stderr.isatty() and not quiet
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        if self.shown:
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task("Indexing", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def on_event(self, event: Event) -> None:
        """Show one event of a run."""
        from nmm.index.events import Counted, NewIndex, Passed, Preparing, RootAway, Skipped

        match event:
            case Passed():
                if self._bar:
                    self._bar.advance(self._task)
            case Counted(files):
                if self._bar:
                    self._bar.update(self._task, total=files)
            case Skipped(path, reason):
                if self._bar:
                    self._bar.advance(self._task)
                self.note(f"skipped {path}: {reason}")
            case NewIndex(model):
                self.note(f"Making a new index with the model {model}: {_title(model)}.")
            case Preparing(model):
                self.note(f"Preparing the model {model} for this machine, once.")
            case RootAway(path):
                self.note(f"{path} is not there: its files are kept. nmm remove forgets them.")

    def note(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._quiet:
            return
        if self._bar:
            self._bar.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
        else:
            print(printable(text), file=sys.stderr, flush=True)  # noqa: T201


def _title(model: str) -> str:
    from nmm.index.encoders.registry import find_model

    return find_model(model).title


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.0f} files/s" if task.speed else "")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
