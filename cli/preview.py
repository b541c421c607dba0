"""`--preview`: thumbnails in the terminal, by textual-image.

It asks the terminal what it can: kitty's protocol, else Sixel, which iTerm2 understands too,
else half blocks in colour.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from nmm.index.errors import MediaError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from nmm.index.search import Result

COLUMNS, ROWS = 32, 8
# Pixels; a cell is about twice as high as wide, and has fewer than 20 across.
SIDE = 640


class Preview:
    """Draws thumbnails of results, where the terminal that is there can show them."""

    def __init__(self) -> None:
        # Looks at the terminal and talks to it while it is imported.
        from textual_image.renderable import Image

        self._image: Any = Image

    def of(self, result: Result) -> RenderableType | None:
        """The thumbnail of an image; None of a text, or if its file cannot be read."""
        from pathlib import Path

        from nmm.index.media.thumbnail import thumbnail

        if result.type != "image":
            return None
        try:
            image = thumbnail(Path(result.path), SIDE)
        except MediaError:
            return None
        # In cells that are twice as high as wide.
        columns = min(COLUMNS, round(2 * ROWS * image.width / image.height)) or 1
        drawn: RenderableType = self._image(image, width=columns, height="auto")
        return drawn


def open_preview() -> Preview | None:
    """What draws thumbnails, or None where standard input and output are no terminal.

    Both must be one: it is asked on the one, and answers on the other.
    """
    import os

    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        return None
    return Preview()
