"""The HTML page of `nmm map`: one self-contained file that needs no network.

As in the gallery (:mod:`.gallery`), names and passages are untrusted data. They are stored in one
JSON object, in which no tag can begin or end, and the script shows them as text only. The policy
allows no other script. deck.gl, which draws the map, works without ``eval``; regl does not. The
script is built from ``web/map`` by ``scripts/bundle``.

The size of the page: 0.9 MB for the script, at most one sprite sheet
(:mod:`nmm.cli.render.html.sprites`), and the first :data:`PASSAGE_LENGTH` characters of each text,
or :data:`SHORT_PASSAGE_LENGTH` if there are more than :data:`MANY_FILES` files.
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

    from nmm.cli.render.html.sprites import SpriteSheet
    from nmm.index.analysis.projection.layout import FileMap
    from nmm.index.store.catalog.file_vectors import Item

PASSAGE_LENGTH, SHORT_PASSAGE_LENGTH, MANY_FILES = 300, 100, 20_000
# Characters that may begin or end a tag or a comment in a script element, or end a line of script.
_UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class MapPage:
    """The contents of a map page.

    Attributes:
        files: The files of the map.
        model: The model that embedded them.
        passages: The first passage of each text, by content id.
        drawn: The map.
        sprites: Thumbnails.
    """

    files: Sequence[Item]
    model: str
    passages: Mapping[int, str]
    drawn: FileMap
    sprites: SpriteSheet | None

    def write(self, file: Path) -> None:
        """Write the page atomically.

        Raises:
            UsageError: There is another file.
            OutputError: The page cannot be written.
        """
        write_parts(file, self.parts())

    def parts(self) -> Iterator[str]:
        """Yield the page in parts."""
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
        # A lone surrogate is written as an escape, which JSON can read.
        yield json.dumps(self._data(), ensure_ascii=False).translate(_UNSAFE)
        yield before
        yield script
        yield after

    def _data(self) -> dict[str, Any]:
        """Return the data for the script; numbers as base64 of little-endian arrays."""
        import numpy as np

        drawn, sprites = self.drawn, self.sprites
        folders: dict[str, int] = {}
        names, numbers = [], []
        for item in self.files:
            # Unchanged, so that the folder and the name together are the path.
            at = item.path.rfind(sep) + 1
            numbers.append(folders.setdefault(item.path[:at], len(folders)))
            names.append(item.path[at:])
        return {
            "version": 1,
            "folders": [{"path": folder, "uri": _uri(folder)} for folder in folders],
            "names": names,
            "folder": _encode_array(np.array(numbers, "<u4")),
            "points": _encode_array(drawn.points.astype("<f4")),
            "image": _encode_array(np.array([item.kind == "image" for item in self.files], "u1")),
            "cluster": _encode_array(drawn.cluster_of.astype("<i4")),
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
                "of": _encode_array(np.array(sprites.of, "<u4")),
                "sizes": _encode_array(np.array(sprites.sizes, "<u2")),
            },
        }

    def _passages(self) -> list[str | None]:
        """Return the beginning of each text on one line, and None for images."""
        length = PASSAGE_LENGTH if len(self.passages) <= MANY_FILES else SHORT_PASSAGE_LENGTH
        beginnings = {content: _beginning(text, length) for content, text in self.passages.items()}
        return [beginnings.get(item.content) for item in self.files]


def _beginning(text: str, length: int) -> str:
    """Return the beginning of a text on one line, safe to print."""
    # Long runs of white space beyond this are not searched for more text.
    line = " ".join(text[: 4 * length].split())
    if not line.isprintable():
        line = printable(line)
    return line if len(line) <= length else f"{line[: length - 2].rpartition(' ')[0]} …"


def _uri(folder: str) -> str | None:
    """Return the URI of a folder with a final slash; None for a path of another system."""
    try:
        uri = Path(fspath(folder)).as_uri()
    except ValueError:
        return None
    return uri if uri.endswith("/") else f"{uri}/"


def _encode_array(numbers: NDArray[np.generic]) -> str:
    return base64.b64encode(numbers.tobytes()).decode()
