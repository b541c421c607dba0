"""Present results: print, draw and open them, write a gallery, copy files to a folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nmm.cli.console.stdout import STDOUT, emit
from nmm.cli.console.text import printable
from nmm.cli.render.formats import Paths, ResultWriter
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from nmm.index.search.result import SearchResult


class ResultPresenter:
    """Shows the results of queries in the ways that the options choose.

    Args:
        writer: Prints results for scripts; None prints the table.
        several: Whether there may be several queries.
        quiet: Whether to print no notes.
        preview: Whether to draw thumbnails in the table.
        open_best: Whether to open the best result, or the gallery if there is one.
        gallery: The file of the gallery; "" makes a name from the query, "-" is standard output.
        copy_to, link_to: Folders to copy or link the files into.

    Attributes:
        failed: Whether a file could not be copied, linked or opened.

    Raises:
        UsageError: These options exclude each other.
    """

    def __init__(
        self,
        writer: ResultWriter | None,
        *,
        several: bool,
        quiet: bool = False,
        preview: bool = False,
        open_best: bool = False,
        gallery: str | None = None,
        copy_to: Path | None = None,
        link_to: Path | None = None,
    ) -> None:
        given = {
            "--open": open_best,
            "--gallery": gallery is not None,
            "--copy-to": copy_to is not None,
            "--link-to": link_to is not None,
        }
        if several and any(given.values()):
            named = next(name for name, is_given in given.items() if is_given)
            raise UsageError(
                f"{named} works with one query only.", hint="Give the query as an argument."
            )
        if gallery == STDOUT and (writer or open_best):
            raise UsageError(
                "Only one output format can be chosen."
                if writer
                else "A page on standard output cannot be opened.",
                hint="Name a file for the page: --gallery FILE.html",
            )
        if gallery and gallery != STDOUT:
            from nmm.cli.render.html.gallery import check_writable

            check_writable(Path(gallery).expanduser())
        self.failed = False
        self._writer = writer
        self._quiet = quiet
        self._open = open_best
        self._gallery = gallery
        self._copy_to = copy_to
        self._link_to = link_to
        self._is_table = writer is None and gallery is None
        if self._is_table:
            self._writer = self._table(several, preview)
        elif preview:
            self._note("Thumbnails are drawn only in the table.")

    @property
    def shows_weak(self) -> bool:
        """Whether the output shows which results are weak."""
        return self._gallery is not None or not isinstance(self._writer, Paths)

    def show(self, query: str, model: str, results: Sequence[SearchResult]) -> None:
        """Show the results of one query, which `model` ranked."""
        page = self._write_page(query, model, results)
        if self._writer:
            self._writer.write(query, model, results)
        self._note_weak(results)
        for folder, link in ((self._copy_to, False), (self._link_to, True)):
            if folder and results:
                self._put(results, folder, link=link)
        if self._open and (page or results):
            self._view(page or Path(results[0].path))

    def _table(self, several: bool, preview: bool) -> ResultWriter:
        from nmm.cli.render.preview import open_preview
        from nmm.cli.render.table import Table

        drawing = open_preview() if preview else None
        if preview and not drawing:
            self._note("Thumbnails are drawn only in a terminal that reports its size.")
        return Table(several, drawing)

    def _note(self, text: str) -> None:
        if not self._quiet:
            typer.echo(text, err=True)

    def _note_weak(self, results: Sequence[SearchResult]) -> None:
        """Say at a terminal, which shows weak results dimmed, how to omit them."""
        weak = sum(result.weak for result in results)
        if weak and self._is_table and sys.stdout.isatty():
            self._note(f"{weak} weak: --relevant omits them.")

    def _write_page(self, query: str, model: str, results: Sequence[SearchResult]) -> Path | None:
        """Write the gallery if one is wanted; return its path if it is a file."""
        if self._gallery is None:
            return None
        from nmm.cli.render.html.gallery import page, page_name, write_page

        if self._gallery == STDOUT:
            emit("".join(page(query, model, results)))
            return None
        file = Path(self._gallery or page_name(query)).expanduser()
        write_page(file, query, model, results)
        if self._writer:
            self._note(f"The page is {printable(str(file))}")
        else:
            emit(f"{file}\n")
        return file.absolute()

    def _put(self, results: Sequence[SearchResult], folder: Path, *, link: bool) -> None:
        """Copy or link the files into a folder, and report the counts."""
        from nmm.index.organize.copy_files import copy_into

        done = copy_into([result.path for result in results], folder, link=link)
        for path, reason in done.failed:
            typer.echo(f"{printable(path)}: {printable(reason)}", err=True)
        counts = [f"{len(done.created)} {'linked' if link else 'copied'}"]
        if done.fallbacks:
            counts.append(f"{done.fallbacks} of them as copies, because links cannot be made there")
        if done.existing:
            counts.append(f"{done.existing} there already")
        if done.failed:
            counts.append(f"{len(done.failed)} failed")
        self._note(f"{', '.join(counts)}: {printable(str(folder))}")
        self.failed = self.failed or bool(done.failed)

    def _view(self, file: Path) -> None:
        """Open a file in its viewer."""
        from nmm.cli.render.viewer import view

        if reason := view(file):
            typer.echo(f"{printable(str(file))} was not opened: {reason}.", err=True)
            self.failed = True
