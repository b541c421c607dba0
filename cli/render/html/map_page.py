"""The page of `nmm map`: one HTML file with all that it shows, that needs no network.

As in the gallery (:mod:`.gallery`), names and passages are data: they stand in one JSON
object, in which no tag can begin or end, and the page's script shows them as text and nothing
else. Its policy lets no other script run; deck.gl, which draws, needs no ``eval``, where regl
compiles with it. The script is built from ``web/map`` by ``scripts/bundle``.

How large the page is: 0.9 MB for its script, at most one sheet of thumbnails
(:mod:`nmm.cli.render.html.sprites`), and of each text the first :data:`PASSAGE` characters, or
:data:`SHORT` where there are more than :data:`MANY`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from os import fspath, sep
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from nmm.cli.console.text import count, printable
from nmm.cli.render.html.gallery import content_hash, resource, write_parts
from nmm.cli.render.palette import palette

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.cli.render.html.sprites import Sprites
    from nmm.index.analysis.projection.layout import FileMap
    from nmm.index.store.catalog.file_vectors import Item

PASSAGE, SHORT, MANY = 300, 100, 20_000
# What could begin or end a tag or a comment in a script element, and what ends lines in scripts.
_UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class Page:
    """What a page shows.

    Attributes:
        files: Of the map.
        model: What embedded them.
        passages: The first of each content that is a text, by its id.
        drawn: Where the files are.
        sprites: Thumbnails.
    """

    files: Sequence[Item]
    model: str
    passages: Mapping[int, str]
    drawn: FileMap
    sprites: Sprites | None

    def write(self, file: Path) -> None:
        """Write the page; it appears, or is replaced, when all is there.

        Raises:
            UsageError: Something else is there.
            OutputError: It cannot be written.
        """
        write_parts(file, self.parts())

    def parts(self) -> Iterator[str]:
        """The page, piece by piece."""
        style, script = resource("map.css"), resource("map.bundle.js")
        head, rest = resource("map.html").split("$sheet")
        middle, rest = rest.split("$data")
        before, after = rest.split("$script")
        images = sum(item.kind == "image" for item in self.files)
        heading = f"Map of {count(len(self.files), 'file')}"
        values = {
            "title": escape(f"{heading} – nmm"),
            "heading": escape(heading),
            "summary": escape(
                f"{count(images, 'image')}, {count(len(self.files) - images, 'text')}, "
                f"with the model {printable(self.model)}"
            ),
            "style": style,
            "style_hash": content_hash(style),
            "script_hash": content_hash(script),
        }
        yield Template(head).substitute(values)
        if self.sprites:
            yield f'<img id="sheet" alt="" src="{self.sprites.source()}">'
        yield Template(middle).substitute(values)
        # Half a surrogate pair becomes an escape when it is written, which JSON reads.
        yield json.dumps(self._data(), ensure_ascii=False).translate(_UNSAFE)
        yield before
        yield script
        yield after

    def _data(self) -> dict[str, Any]:
        """What the page's script reads; numbers as base64 of little-endian arrays."""
        import numpy as np

        drawn, sprites = self.drawn, self.sprites
        folders: dict[str, int] = {}
        names, numbers = [], []
        for item in self.files:
            # Exactly as it is, so that folder and name put together are the path.
            at = item.path.rfind(sep) + 1
            numbers.append(folders.setdefault(item.path[:at], len(folders)))
            names.append(item.path[at:])
        return {
            "version": 1,
            "folders": [{"path": folder, "uri": _uri(folder)} for folder in folders],
            "names": names,
            "folder": _packed(np.array(numbers, "<u4")),
            "points": _packed(drawn.points.astype("<f4")),
            "image": _packed(np.array([item.kind == "image" for item in self.files], "u1")),
            "cluster": _packed(drawn.cluster_of.astype("<i4")),
            "clusters": [
                {
                    "name": printable(group.name),
                    "words": [printable(word) for word in group.words],
                    "place": [round(float(number), 5) for number in place],
                    "count": len(group.files),
                }
                for group, place in zip(drawn.clusters, drawn.label_positions, strict=True)
            ],
            "colours": {
                name: palette(len(drawn.clusters), dark=name == "dark")._asdict()
                for name in ("light", "dark")
            },
            "passages": self._passages(),
            "sprites": sprites
            and {
                "side": sprites.side,
                "columns": sprites.columns,
                "of": _packed(np.array(sprites.of, "<u4")),
                "sizes": _packed(np.array(sprites.sizes, "<u2")),
            },
        }

    def _passages(self) -> list[str | None]:
        """Of each file the beginning of its text, on one line; None of an image."""
        room = PASSAGE if len(self.passages) <= MANY else SHORT
        shown = {content: _beginning(text, room) for content, text in self.passages.items()}
        return [shown.get(item.content) for item in self.files]


def _beginning(text: str, room: int) -> str:
    """The beginning of a text, on one line, safe to show; as an excerpt, but of many texts."""
    # More is not needed, whatever of it is white space.
    line = " ".join(text[: 4 * room].split())
    if not line.isprintable():
        line = printable(line)
    return line if len(line) <= room else f"{line[: room - 2].rpartition(' ')[0]} …"


def _uri(folder: str) -> str | None:
    """The address of a folder, ended by a slash; None of a path of another system."""
    try:
        uri = Path(fspath(folder)).as_uri()
    except ValueError:
        return None
    return uri if uri.endswith("/") else f"{uri}/"


def _packed(numbers: NDArray[np.generic]) -> str:
    return base64.b64encode(numbers.tobytes()).decode()
