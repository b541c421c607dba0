"""`--preview`: thumbnails in the terminal, drawn by textual-image.

It queries the terminal, and uses kitty's protocol, else Sixel (also in iTerm2), else half blocks.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmm.index.errors import MediaError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from nmm.index.search.result import SearchResult

MAX_COLUMNS, MAX_ROWS = 32, 8
SIDE = 640  # pixels; a column has fewer than 20
WIDE_SIDE = 1600


class Preview:
    """Draws thumbnails of results, in the best quality that the terminal supports."""

    def __init__(self) -> None:
        import logging

        # textual_image logs a traceback if a terminal does not report the size of its characters.
        logger = logging.getLogger("textual_image")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        # Importing this queries the terminal.
        from textual_image.renderable import Image, TGPImage

        self._image: Any = Image
        # In kitty's protocol the colour of a character encodes the number of an image.
        self._colours: Any = "truecolor" if Image is TGPImage else "auto"

    def draw(self, result: SearchResult, indent: int, width: int) -> str:
        """Return the thumbnail of an image, indented, within `width` columns.

        Empty for a text, or if the file cannot be read.
        """
        from nmm.index.media.image.thumbnail import thumbnail

        if result.type != "image":
            return ""
        try:
            image = thumbnail(Path(result.path), SIDE)
        except MediaError:
            return ""
        # A column is about half as wide as a row is high.
        columns = min(MAX_COLUMNS, round(2 * MAX_ROWS * image.width / image.height), width - indent)
        return self._drawn(image, columns, indent, width)

    def draw_file(self, file: Path, width: int) -> str:
        """Return an image across `width` columns; empty if it cannot be read."""
        from nmm.index.media.image.thumbnail import thumbnail

        try:
            return self._drawn(thumbnail(file, WIDE_SIDE), width, 0, width)
        except MediaError:
            return ""

    def _drawn(self, image: PillowImage, columns: int, indent: int, width: int) -> str:
        from rich.console import Console
        from rich.padding import Padding

        console = Console(
            file=io.StringIO(),
            force_terminal=True,
            color_system=self._colours,
            no_color=False,  # a thumbnail is useless without colours
            width=width,
        )
        with console.capture() as captured:
            drawn = self._image(image, width=max(columns, 1), height="auto")
            console.print(Padding(drawn, (0, 0, 0, indent)))
        return captured.get()


def open_preview() -> Preview | None:
    """Return the preview, or None if stdin or stdout is not a terminal.

    Both are needed, because the terminal is queried on stdout and answers on stdin. A terminal
    that does not report its size does not report the size of its characters either.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        return None
    return Preview() if all(os.get_terminal_size(sys.stdout.fileno())) else None
