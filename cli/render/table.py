"""The table of results. It fits the terminal, and its paths are links."""

from __future__ import annotations

import io
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from nmm.cli.console.stdout import emit
from nmm.cli.console.text import near_path, printable
from nmm.cli.render.excerpt import excerpt
from nmm.index.common.tracing import span

if TYPE_CHECKING:
    from rich.text import Text

    from nmm.cli.render.preview import Preview
    from nmm.index.search.result import SearchResult

PASSAGE_LINES = 2
# The assumed width of a pipe or a file.
DEFAULT_WIDTH = 160
MIN_ROOM = 20
# VTE and iTerm2 drop longer links: https://gist.github.com/egmontkob/eb114294efbcd5adb1944c9f3cb5feda
MAX_LINK = 2083


class Table:
    """Prints rank, score and path, with the passage and lines of a text or the size of an image.

    Args:
        several: Whether there are several queries, so that each table names its own.
        preview: Draws thumbnails, if given.
    """

    def __init__(self, several: bool, preview: Preview | None = None) -> None:
        with span("import rich"):
            from rich.console import Console
            from rich.text import Text  # noqa: F401

        self._several = several
        self._preview = preview
        self._terminal = sys.stdout.isatty()
        self._console = Console(
            file=io.StringIO(),
            force_terminal=self._terminal,
            highlight=False,
            width=max(shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns, MIN_ROOM),
        )

    def write(self, query: str, model: str, results: Sequence[SearchResult]) -> None:
        del model
        from rich.text import Text

        ranks = max((len(str(result.rank)) for result in results), default=1)
        scores = max([len("score"), *(len(f"{result.score:.2f}") for result in results)])
        indent = ranks + scores + 4
        room = max(self._console.width - indent, MIN_ROOM)
        found = Text(printable(query) if self._several else "found")
        found.truncate(room, overflow="ellipsis")
        pieces = [self._drawn(Text.assemble(f"{'score':>{indent - 2}}  ", found, style="bold"))]
        for result in results:
            start = Text(f"{result.rank:>{ranks}}", style="dim")
            start.append(f"  {result.score:>{scores}.2f}  ", "" if result.weak else "not dim")
            for line in self._found(result, room):
                pieces.append(self._drawn(start + line))
                start = Text(" " * indent)
            if self._preview:
                pieces.append(self._preview.draw(result, indent, self._console.width))
        if not results:
            pieces.append(" " * indent + "nothing\n")
        emit("".join(pieces))

    def _drawn(self, line: Text) -> str:
        # Long lines are wrapped already; a path in a pipe must not be wrapped.
        with self._console.capture() as captured:
            self._console.print(line, no_wrap=True, overflow="ignore", crop=False)
        return captured.get()

    def _found(self, result: SearchResult, room: int) -> Iterator[Text]:
        """Yield the lines beside the score."""
        from rich.style import Style
        from rich.text import Text

        style = Style(
            color="cyan", dim=result.weak, link=uri(result.path) if self._terminal else None
        )
        path = Text(printable(near_path(result.path)), style)
        # In a pipe a path is never wrapped.
        lines = list(path.wrap(self._console, room, overflow="fold")) if self._terminal else [path]
        for note in _notes(result):
            if self._terminal and lines[-1].cell_len + len(note) + 2 > room:
                lines.append(Text(note, "dim"))
            else:
                lines[-1] = Text.assemble(lines[-1], (f"  {note}", "dim"))
        yield from lines
        if result.text:
            yield from self._passage(result, room)

    def _passage(self, result: SearchResult, room: int) -> list[Text]:
        """Return the part of a passage that matches the query, in a few lines."""
        from rich.text import Text

        shown, spans = excerpt(result.text or "", result.spans, PASSAGE_LINES * room)
        passage = Text(shown, "dim" if result.weak else "")
        for start, end in spans:
            passage.stylize("bold red", start, end)
        lines = passage.wrap(self._console, room, overflow="fold")
        for line in lines:
            line.rstrip()
        if len(lines) > PASSAGE_LINES:
            last = lines[PASSAGE_LINES - 1]
            if last.cell_len > room - 2:
                last.truncate(room - 2)
                space = last.plain.rfind(" ")
                if space > len(last) // 2:
                    last.right_crop(len(last) - space)
            last.append(" …")
        return list(lines[:PASSAGE_LINES])


def _notes(result: SearchResult) -> Iterator[str]:
    """Yield the notes beside a path."""
    if result.lines:
        yield "lines {}–{}".format(*result.lines)
    elif result.width:
        yield f"{result.width} × {result.height}"
    if result.copies:
        yield f"+{len(result.copies)} like it"
    if result.weak:
        yield "weak"


def uri(path: str) -> str | None:
    """Return the file URI of a path; None if it is too long, or a path of another system.

    The URI names the host, because the terminal may be on another machine.
    """
    try:
        uri = Path(path).as_uri()
    except ValueError:
        return None
    if os.name == "posix":
        uri = f"file://{quote(socket.gethostname())}{uri.removeprefix('file://')}"
    return uri if len(uri) <= MAX_LINK else None
