"""`--preview`: thumbnails in the terminal, by textual-image.

It asks the terminal what it can: kitty's protocol, else Sixel, which iTerm2 understands too,
else half blocks in colour.
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

COLUMNS, ROWS = 32, 8
SIDE = 640  # pixels: a column has fewer than 20
WIDE_SIDE = 1600


class Preview:
    """Draws thumbnails of results, where the terminal that is there can show them."""

    def __init__(self) -> None:
        import logging

        # It logs, with a traceback, that a terminal does not tell how large its letters are.
        logger = logging.getLogger("textual_image")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        # Looks at the terminal and talks to it while it is imported.
        from textual_image.renderable import Image, TGPImage

        self._image: Any = Image
        # In kitty's protocol the colour of a letter is the number of an image, to the bit.
        self._colours: Any = "truecolor" if Image is TGPImage else "auto"

    def draw(self, result: SearchResult, indent: int, width: int) -> str:
        """The thumbnail of an image for that many columns, with those to its left left free.

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
        columns = min(COLUMNS, round(2 * ROWS * image.width / image.height), width - indent)
        return self._drawn(image, columns, indent, width)

    def draw_file(self, file: Path, width: int) -> str:
        """A picture over that many columns.

        Empty if the file cannot be read.
        """
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
            no_color=False,  # a thumbnail was asked for, and is nothing without its colours
            width=width,
        )
        with console.capture() as captured:
            drawn = self._image(image, width=max(columns, 1), height="auto")
            console.print(Padding(drawn, (0, 0, 0, indent)))
        return captured.get()


def open_preview() -> Preview | None:
    """What draws thumbnails, or None where standard input and output are no terminal.

    Both must be one: it is asked on the one, and answers on the other. One that does not tell
    how large it is cannot tell how large a letter is either.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        return None
    return Preview() if all(os.get_terminal_size(sys.stdout.fileno())) else None
