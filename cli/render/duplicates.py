"""Prints groups of duplicates in the terminal."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nmm.cli.console.text import count, near_path, printable
from nmm.cli.render.table import DEFAULT_WIDTH, MIN_ROOM, uri

if TYPE_CHECKING:
    from rich.text import Text

    from nmm.index.analysis.dupes.groups import DuplicateFile, DuplicateGroup, DuplicateReport

UNITS = ("bytes", "kB", "MB", "GB", "TB")
INDENT = "      "


def table(found: DuplicateReport) -> str:
    """Return each group with its kind: the file to keep, then the redundant files, with reasons."""
    from rich.console import Console
    from rich.text import Text

    terminal = sys.stdout.isatty()
    width = max(shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns, MIN_ROOM)
    console = Console(file=io.StringIO(), force_terminal=terminal, highlight=False, width=width)
    lines: list[Text] = []
    for group in found.groups:
        lines.append(Text(f"{group.kind.value}: {describe_group(group)}", "bold"))
        for copy in group.files:
            lines += _format_copy(copy, console.width if terminal else None)
        lines.append(Text())
    if found.groups:
        lines.append(Text(summarize(found)))
    with console.capture() as captured:
        for line in lines:
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
    return captured.get()


def _format_copy(copy: DuplicateFile, width: int | None) -> Iterator[Text]:
    """Yield a file with its facts beside it, or below if the line is too long."""
    from rich.style import Style
    from rich.text import Text

    mark = Text("keep  " if copy.keep else INDENT, "green" if copy.keep else "")
    style = Style(color="cyan", dim=not copy.keep, link=uri(copy.path) if width else None)
    path, note = Text(printable(near_path(copy.path)), style), Text(describe_copy(copy), "dim")
    if width is None or len(INDENT) + path.cell_len + 2 + note.cell_len <= width:
        yield Text.assemble(mark, path, "  ", note)
        return
    width_left = max(width - len(INDENT), MIN_ROOM)
    for part, start in ((path, mark), (note, Text(INDENT))):
        for line in _fold(part, width_left):
            yield start + line
            start = Text(INDENT)  # noqa: PLW2901


def _fold(text: Text, width_left: int) -> Sequence[Text]:
    from rich.console import Console

    lines = list(text.wrap(Console(file=io.StringIO()), width_left, overflow="fold"))
    for line in lines:
        line.rstrip()
    return lines


def describe_group(group: DuplicateGroup) -> str:
    """Return the size of a group and of its redundant files."""
    return f"{len(group.files)} files, {format_bytes(group.bytes)} could go"


def describe_copy(copy: DuplicateFile) -> str:
    """Return the dimensions, the size and the reason of a file."""
    size = [f"{copy.width} × {copy.height}"] if copy.width else []
    return ", ".join([*size, *([format_bytes(copy.size)] if copy.size else []), copy.reason])


def summarize(found: DuplicateReport) -> str:
    """Return the total size of all redundant files."""
    redundant = sum(not copy.keep for group in found.groups for copy in group.files)
    groups = count(len(found.groups), "group")
    return f"{groups}; {count(redundant, 'file')} could go, {format_bytes(found.bytes)}."


def format_bytes(size: float) -> str:
    """Return a size in the unit that leaves few digits."""
    step = 0
    while size >= 999.5 and step < len(UNITS) - 1:
        size, step = size / 1000, step + 1
    return f"{size:.{1 if step and size < 99.5 else 0}f} {UNITS[step]}"
