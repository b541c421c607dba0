"""`nmm cluster --gallery`: a page with a section for each group, of its central files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.cli.cluster_forms import counts
from nmm.cli.gallery import cards, check_place, document, page_name, write_parts
from nmm.cli.output import emit
from nmm.cli.showing import STDOUT
from nmm.cli.text import printable
from nmm.index.errors import UsageError
from nmm.index.result import Result

if TYPE_CHECKING:
    from nmm.index.cluster import Cluster
    from nmm.index.items import Items


class GroupPage:
    """Where a page of groups goes.

    Args:
        where: A file; "" is one of a fixed name, "-" standard output.
        alone: Whether nothing else is printed on standard output.

    Attributes:
        note: Where the page is, to be said on stderr.

    Raises:
        UsageError: Something else is there, or on standard output.
        OutputError: What is there cannot be read.
    """

    def __init__(self, where: str, *, alone: bool) -> None:
        if where == STDOUT and not alone:
            raise UsageError(
                "Only one form of output can be printed.",
                hint="Name a file for the page: --gallery FILE.html",
            )
        self.note: str | None = None
        self._alone = alone
        self._file = None if where == STDOUT else Path(where or page_name("clusters")).expanduser()
        if self._file:
            check_place(self._file)

    def write(self, items: Items, clusters: Sequence[Cluster]) -> None:
        """Write the page, and say where it is if nothing else is printed.

        Raises:
            OutputError: It cannot be written.
        """
        parts = page(items, clusters)
        if self._file is None:
            for part in parts:
                emit(part)
            return
        write_parts(self._file, parts)
        if self._alone:
            emit(f"{self._file}\n")
        else:
            self.note = f"The page is {printable(str(self._file))}"


def page(items: Items, clusters: Sequence[Cluster]) -> Iterator[str]:
    """The page, in parts."""
    files = sum(len(one.files) for one in clusters)
    summary = f"{_many(files, 'file')} in {_many(len(clusters), 'group')}" if files else "No groups"
    yield from document(
        "Groups", f"{summary}, with the model {items.model}", _sections(items, clusters)
    )


def _sections(items: Items, clusters: Sequence[Cluster]) -> Iterator[str]:
    from nmm.index.store.items import first_passages

    shown = [items.files[file].content for one in clusters for file in one.central]
    texts = dict(first_passages(items.catalog, shown))
    numbers = itertools.count(1)
    for one in clusters:
        of_kinds = counts(items, one)
        said = ", ".join(_many(number, kind[:-1]) for kind, number in of_kinds.items() if number)
        if len(one.central) < len(one.files):
            said += f"; the {len(one.central)} most like it" if len(one.central) > 1 else ""
        results = (
            Result(
                next(numbers),
                0.0,
                file.path,
                file.kind,
                text=texts.get(file.content, "") if file.kind == "text" else None,
                width=file.width,
                height=file.height,
            )
            for file in (items.files[position] for position in one.central)
        )
        yield f'<section><h2 dir="auto">{escape(printable(one.name))}</h2>\n'
        yield f'<p class="facts">{escape(said)}</p>\n'
        yield from cards(results, one.name, scored=False)
        yield "</section>\n"


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
