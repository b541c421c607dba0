"""`nmm dupes --gallery`: an HTML page of the groups of duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import PurePath
from typing import TYPE_CHECKING

from nmm.cli.console.text import printable
from nmm.cli.render.duplicates import describe_copy, describe_group, summarize
from nmm.cli.render.html.gallery import document, file_link, thumbnail_of

if TYPE_CHECKING:
    from nmm.index.analysis.dupes.groups import DuplicateFile, DuplicateGroup, DuplicateReport


def page(found: DuplicateReport) -> Iterator[str]:
    """Yield the page in parts."""
    heading = summarize(found) if found.groups else "No duplicates."
    return document("Duplicates", heading, _sections(found))


def _sections(found: DuplicateReport) -> Iterator[str]:
    number = 0
    for group in found.groups:
        yield (
            f"<section><h2>{group.kind.value}"
            f'<span class="facts">{escape(describe_group(group))}</span></h2>'
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
        f'<span class="facts" id="facts-{number}">{mark} · {escape(describe_copy(copy))}</span>'
        "</span></a></li>\n"
    )
