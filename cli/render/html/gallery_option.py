"""The option `--gallery`: where the page is written, and what is printed about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from nmm.cli.console.stdout import STDOUT, emit
from nmm.cli.console.text import printable
from nmm.cli.render.html.gallery import check_writable, write_parts
from nmm.index.errors import UsageError


class GalleryPage:
    """A gallery page to be written.

    Args:
        where: A file, "" for the default name, or "-" for standard output.
        name: The default name.
        form: Whether a script format is printed on standard output.
        opened: Whether to open the page.

    Attributes:
        failed: Whether the page could not be opened.

    Raises:
        UsageError: There is another file, or standard output is used otherwise.
        OutputError: The existing file cannot be read.
    """

    def __init__(self, where: str, name: str, *, form: bool, opened: bool = False) -> None:
        if where == STDOUT and (form or opened):
            raise UsageError(
                "Only one output format can be chosen."
                if form
                else "A page on standard output cannot be opened.",
                hint="Name a file for the page: --gallery FILE.html",
            )
        self.failed = False
        self._file = None if where == STDOUT else Path(where or name).expanduser()
        self._form, self._opened = form, opened
        if self._file:
            check_writable(self._file)

    def write(self, parts: Iterable[str], note: Callable[[str], None]) -> None:
        """Write the page and print its path, in a note if a script format is printed.

        Raises:
            OutputError: The page cannot be written.
        """
        from nmm.cli.render.viewer import view

        if self._file is None:
            for part in parts:
                emit(part)
            return
        write_parts(self._file, parts)
        if self._form:
            note(f"The page is {printable(str(self._file))}")
        else:
            emit(f"{self._file}\n")
        if self._opened and (reason := view(self._file.absolute())):
            typer.echo(f"{printable(str(self._file))} was not opened: {reason}.", err=True)
            self.failed = True
