"""The groups that `nmm dupes` found, for people: in the terminal, and on a page."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import PurePath
from typing import TYPE_CHECKING

from nmm.cli.console.text import count, near_path, printable
from nmm.cli.render.html.gallery import document, file_link, thumbnail_of
from nmm.cli.render.table import LEAST_ROOM, UNKNOWN_WIDTH, uri

if TYPE_CHECKING:
    from rich.text import Text

    from nmm.index.analysis.dupes.groups import DuplicateFile, DuplicateGroup, DuplicateReport

UNITS = ("bytes", "kB", "MB", "GB", "TB")
INDENT = "      "


def table(found: DuplicateReport) -> str:
    """Each group under its kind: what to keep, then what could go, with the reasons."""
    from rich.console import Console
    from rich.text import Text

    terminal = sys.stdout.isatty()
    width = max(shutil.get_terminal_size((UNKNOWN_WIDTH, 24)).columns, LEAST_ROOM)
    console = Console(file=io.StringIO(), force_terminal=terminal, highlight=False, width=width)
    lines: list[Text] = []
    for group in found.groups:
        lines.append(Text(f"{group.kind.value}: {said(group)}", "bold"))
        for copy in group.files:
            lines += _lines(copy, console.width if terminal else None)
        lines.append(Text())
    if found.groups:
        lines.append(Text(summary(found)))
    with console.capture() as captured:
        for line in lines:
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
    return captured.get()


def _lines(copy: DuplicateFile, width: int | None) -> Iterator[Text]:
    """A file, with what is said of it beside it or, where that is too long, below."""
    from rich.style import Style
    from rich.text import Text

    mark = Text("keep  " if copy.keep else INDENT, "green" if copy.keep else "")
    style = Style(color="cyan", dim=not copy.keep, link=uri(copy.path) if width else None)
    path, note = Text(printable(near_path(copy.path)), style), Text(facts(copy), "dim")
    if width is None or len(INDENT) + path.cell_len + 2 + note.cell_len <= width:
        yield Text.assemble(mark, path, "  ", note)
        return
    room = max(width - len(INDENT), LEAST_ROOM)
    for part, start in ((path, mark), (note, Text(INDENT))):
        for line in _folded(part, room):
            yield start + line
            start = Text(INDENT)  # noqa: PLW2901


def _folded(text: Text, room: int) -> Sequence[Text]:
    from rich.console import Console

    lines = list(text.wrap(Console(file=io.StringIO()), room, overflow="fold"))
    for line in lines:
        line.rstrip()
    return lines


def said(group: DuplicateGroup) -> str:
    """What a group is, in a few words."""
    return f"{len(group.files)} files, {amount(group.bytes)} could go"


def facts(copy: DuplicateFile) -> str:
    size = [f"{copy.width} × {copy.height}"] if copy.width else []
    return ", ".join([*size, *([amount(copy.size)] if copy.size else []), copy.reason])


def summary(found: DuplicateReport) -> str:
    going = sum(not copy.keep for group in found.groups for copy in group.files)
    groups = count(len(found.groups), "group")
    return f"{groups}; {count(going, 'file')} could go, {amount(found.bytes)}."


def amount(size: float) -> str:
    """Bytes in a unit that leaves few digits."""
    step = 0
    while size >= 999.5 and step < len(UNITS) - 1:
        size, step = size / 1000, step + 1
    return f"{size:.{1 if step and size < 99.5 else 0}f} {UNITS[step]}"


def page(found: DuplicateReport) -> Iterator[str]:
    """The page, in parts."""
    said_first = summary(found) if found.groups else "Nothing could go."
    return document("Duplicates", said_first, _sections(found))


def _sections(found: DuplicateReport) -> Iterator[str]:
    number = 0
    for group in found.groups:
        yield (
            f'<section><h2>{group.kind.value}<span class="facts">{escape(said(group))}</span></h2>'
            '<ul class="copies">\n'
        )
        for copy in group.files:
            number += 1
            yield _card(copy, group, number)
        yield "</ul></section>\n"


def _card(copy: DuplicateFile, group: DuplicateGroup, number: int) -> str:
    path = PurePath(copy.path)
    name = escape(printable(path.name))
    shown = (
        thumbnail_of(copy.path, f"shown-{number}")
        if group.type == "image"
        else f'<span class="picture" id="shown-{number}">text</span>'
    )
    mark = '<strong class="keep">keep</strong>' if copy.keep else "could go"
    return (
        f'<li><a class="card{"" if copy.keep else " weak"}" {file_link(copy.path)}'
        f' aria-labelledby="name-{number}" aria-describedby="facts-{number}">{shown}'
        f'<span class="about"><bdi class="name" id="name-{number}">{name}</bdi>'
        f'<bdi class="folder">{escape(printable(str(path.parent)))}</bdi>'
        f'<span class="facts" id="facts-{number}">{mark} · {escape(facts(copy))}</span>'
        "</span></a></li>\n"
    )
