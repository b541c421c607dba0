"""The medium of texts, HTML among them: a unit is a chunk of some lines.

Decoders are imported where they are used: a search imports this module for its suffixes.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, BinaryIO

from nmm.index.errors import NotMediaError
from nmm.index.media.base import HEAD_BYTES, FileContent, Locator, MediaInfo, Modality, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

    from nmm.index.media.base import Chunking, UnitRequest
    from nmm.index.media.source import Source

# A text of at most this many bytes is read once and cut into chunks by the thread that read it.
# A longer one is read again while its chunks are embedded, so that it is never all in memory.
SMALL_TEXT = 1 << 20
# Lines at the beginning of a text that tell whether it is HTML.
_HTML_LINES = 20


class TextReader:
    """Reads texts in any encoding; see :class:`nmm.index.media.base.MediaReader`.

    Any name may be that of a text. The suffixes are those that viewers, browsers and editors
    open everywhere.
    """

    kind: str = "text"
    modalities: frozenset[Modality] = frozenset({"text"})
    suffixes: frozenset[str] = frozenset(
        {".csv", ".htm", ".html", ".json", ".log", ".markdown", ".md", ".rst", ".text", ".txt"}
    )
    max_bytes: int | None = None
    buffered_bytes: int = SMALL_TEXT

    def sniff(self, head: bytes) -> bool:
        """Return whether a file may be a text. Only :meth:`inspect` is sure."""
        from nmm.index.media.text.decode import may_be_text

        return may_be_text(head, is_whole=len(head) < HEAD_BYTES)

    def inspect(self, file: BinaryIO) -> str:
        """Return the encoding; refuse binary content and pages that nmm wrote."""
        from nmm.index.media.text.decode import detect_encoding
        from nmm.index.media.text.html import OWN_PAGE

        file.seek(0)
        if OWN_PAGE in file.read(HEAD_BYTES):
            raise NotMediaError("a page of results that nmm wrote", code="own-results-page")
        return detect_encoding(file)

    def describe(self, source: Source) -> MediaInfo:  # noqa: ARG002 - of the protocol
        """Return nothing: a text has no header."""
        return MediaInfo()

    def read(self, source: Source, request: UnitRequest) -> FileContent:
        """Cut the text into chunks, while the file is read if it is a long one."""
        return FileContent(MediaInfo(), _units(source, request.chunking))

    def thumbnail(self, source: Source, side: int) -> Image.Image | None:  # noqa: ARG002 - as above
        """Return None: there is nothing to look at."""
        return None


TEXTS = TextReader()


def _units(source: Source, chunking: Chunking) -> Iterator[Unit]:
    from nmm.index.media.text.chunking import chunk_lines
    from nmm.index.media.text.decode import read_lines
    from nmm.index.media.text.html import html_lines, looks_like_html

    with source.open() as file:
        lines = read_lines(file, source.form)
        first = list(itertools.islice(lines, _HTML_LINES))
        lines = itertools.chain(first, lines)
        if looks_like_html("\n".join(line.text for line in first), source.path.suffix):
            lines = html_lines(lines)
        for chunk in chunk_lines(
            lines, chunking.tokenizer, size=chunking.size, overlap=chunking.overlap
        ):
            yield Unit("text", chunk.text, Locator(lines=(chunk.line_start, chunk.line_end)))
