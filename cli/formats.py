"""The forms in which results are printed: one for people, five for scripts.

Machine output keeps every path as it is on disk, whatever characters are in it.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nmm.cli.output import emit
from nmm.cli.text import printable

if TYPE_CHECKING:
    from nmm.index.search import Result

# The shape of the JSON; grows when a name in it changes its meaning or goes away.
VERSION = 1
# Lines of a passage in the table, and columns beside it.
PASSAGE_LINES, TABLE_MARGIN = 2, 14
UNKNOWN_WIDTH = 160


class Form(Protocol):
    """How the results of a query are printed; made once for all queries of a run."""

    def __init__(self, several: bool) -> None: ...

    def write(self, query: str, model: str, results: Sequence[Result]) -> None:
        """Print the results of one query, which that model answered."""


class Json:
    """One object for a query: over several lines, or, of several queries, on one each."""

    def __init__(self, several: bool) -> None:
        self._indent = None if several else 2

    def write(self, query: str, model: str, results: Sequence[Result]) -> None:
        answer = {
            "version": VERSION,
            "query": query,
            "model": model,
            "results": [_fields(result) for result in results],
        }
        emit(json.dumps(answer, ensure_ascii=False, indent=self._indent) + "\n")


class JsonLines:
    """One object for a result, with its query, on a line."""

    def __init__(self, several: bool) -> None:
        del several

    def write(self, query: str, model: str, results: Sequence[Result]) -> None:
        del model
        for result in results:
            emit(json.dumps({"query": query, **_fields(result)}, ensure_ascii=False) + "\n")


class Csv:
    """RFC 4180 but for the line ends, which are those of every other output here."""

    COLUMNS = ("query", "rank", "score", "path", "type", "lines", "text", "width", "height")

    def __init__(self, several: bool) -> None:
        del several
        self._rows = io.StringIO()
        self._writer = csv.DictWriter(self._rows, self.COLUMNS, lineterminator="\n")
        self._writer.writeheader()

    def write(self, query: str, model: str, results: Sequence[Result]) -> None:
        del model
        for result in results:
            row = {"query": query, **_fields(result)}
            if result.lines:
                row["lines"] = "{}-{}".format(*result.lines)
            self._writer.writerow(row)
        emit(self._rows.getvalue())
        self._rows.seek(0)
        self._rows.truncate()


class Paths:
    """Absolute paths and nothing else."""

    end = "\n"

    def __init__(self, several: bool) -> None:
        del several

    def write(self, query: str, model: str, results: Sequence[Result]) -> None:
        del query, model
        emit("".join(result.path + self.end for result in results))


class NulPaths(Paths):
    """Absolute paths for `xargs -0`."""

    end = "\0"


class Table:
    """Rank, score and path, with the lines of a text and its passage, or an image's size."""

    def __init__(self, several: bool) -> None:
        from rich.console import Console

        self._several = several
        # Of a pipe or a file the width is not known, and long paths must not be broken.
        self._console = Console(
            file=io.StringIO(),
            force_terminal=sys.stdout.isatty(),
            highlight=False,
            width=shutil.get_terminal_size((UNKNOWN_WIDTH, 24)).columns,
        )

    def write(self, query: str, model: str, results: Sequence[Result]) -> None:
        del model
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("", justify="right", style="dim", no_wrap=True)
        table.add_column("score", justify="right", no_wrap=True)
        table.add_column(Text(printable(query) if self._several else "found"), overflow="fold")
        room = PASSAGE_LINES * (self._console.width - TABLE_MARGIN)
        for result in results:
            found = Text(printable(_near(result.path)), style="cyan")
            if result.lines:
                found.append("  lines {}–{}".format(*result.lines), style="dim")
                found.append("\n" + _passage(result.text or "", room), style="default")
            else:
                found.append(f"  {result.width} × {result.height}", style="dim")
            table.add_row(str(result.rank), f"{result.score:.2f}", found)
        if not results:
            table.add_row("", "", "nothing")
        with self._console.capture() as captured:
            self._console.print(table)
        # rich fills a table up with spaces to its width, which only a terminal needs.
        emit("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def _passage(text: str, room: int) -> str:
    """The beginning of a passage, without its line breaks, in that many characters."""
    return textwrap.shorten(printable(" ".join(text.split())), max(room, 40), placeholder=" …")


def _fields(result: Result) -> dict[str, Any]:
    """A result by the names of the JSON; what it does not have is left out."""
    fields: dict[str, Any] = {
        "rank": result.rank,
        "score": round(result.score, 6),
        "path": result.path,
        "type": result.type,
        "lines": result.lines,
        "text": result.text,
        "width": result.width,
        "height": result.height,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _near(path: str) -> str:
    """A path relative to the current folder, if it is in it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
