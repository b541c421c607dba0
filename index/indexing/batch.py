"""What is embedded and committed together: units of files, and the rows of files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.encoders.base import Encoder, Task
from nmm.index.store.catalog.writer import ChunkRow, Content

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.base import PendingEmbeddings
    from nmm.index.indexing.prepare import PreparedFile, PreparedUnit
    from nmm.index.indexing.recorder import Change
    from nmm.index.store.catalog.types import FileRow, Root


class PendingFile(NamedTuple):
    """The row of a file, before it is committed.

    Attributes:
        root, path, size, mtime_ns: See :meth:`.CatalogWriter.put_file`.
        status: "indexed", "skipped", or "left out" for a file of no medium.
        is_new: The catalog has no row of the file; None if that is not known.
        reason: Why it was skipped.
        digest: Its content.
        content_id: The row of that, if the catalog had it before.
        change: What the commit changes.
    """

    root: Root
    path: str
    size: int | None
    mtime_ns: int | None
    status: str
    is_new: bool | None
    reason: str | None = None
    digest: bytes | None = None
    content_id: int | None = None
    change: Change | None = None


@dataclass
class EmbeddingBatch:
    """Units that are embedded and committed together, and the rows of their files.

    Attributes:
        contents: The contents that begin or go on in this batch, by digest.
        images, texts: The content and the row of each unit.
        pixels: Of the images, until they are embedded.
        files: The rows to write.
        seen: The rows of files that stay as they are.
        image_vectors, text_vectors: What the encoder is computing.
        dropped: A content to be removed. Such a batch holds nothing else.
    """

    contents: dict[bytes, Content] = field(default_factory=dict)
    images: list[tuple[bytes, ChunkRow]] = field(default_factory=list)
    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    texts: list[tuple[bytes, ChunkRow]] = field(default_factory=list)
    files: list[PendingFile] = field(default_factory=list)
    seen: list[FileRow] = field(default_factory=list)
    image_vectors: PendingEmbeddings | None = None
    text_vectors: PendingEmbeddings | None = None
    dropped: bytes | None = None

    def add(self, file: PreparedFile, unit: PreparedUnit) -> None:
        """Add a unit of a file."""
        if file.digest not in self.contents:
            self.contents[file.digest] = _content(file)
        place = unit.locator
        start, end = place.lines or (None, None)
        if isinstance(unit.payload, str):
            text = ChunkRow(start, end, unit.payload, place.page, place.time_ms)
            self.texts.append((file.digest, text))
        else:
            image = ChunkRow(start, end, None, place.page, place.time_ms)
            self.images.append((file.digest, image))
            self.pixels.append(unit.payload)

    def remove(self, digest: bytes) -> None:
        """Remove the units of a content whose file was not added."""
        self.contents.pop(digest, None)
        kept = [n for n, (owner, _) in enumerate(self.images) if owner != digest]
        self.images = [self.images[n] for n in kept]
        self.pixels = [self.pixels[n] for n in kept]
        self.texts = [unit for unit in self.texts if unit[0] != digest]

    def submit(self, encoder: Encoder) -> None:
        """Have the encoder begin."""
        if self.pixels:
            self.image_vectors = encoder.submit_images(self.pixels)
            self.pixels = []  # the encoder frees each when it has been embedded
        if self.texts:
            texts = [row.text or "" for _, row in self.texts]
            self.text_vectors = encoder.submit_texts(texts, Task.DOCUMENT)

    def is_embedded(self) -> bool:
        """Return whether all vectors are there."""
        return all(one is None or one.done() for one in (self.image_vectors, self.text_vectors))

    def cancel(self) -> None:
        """Embed no more of it."""
        for one in (self.image_vectors, self.text_vectors):
            if one:
                one.cancel()

    def digests(self) -> set[bytes]:
        """Return the contents whose rows have to be added or looked up."""
        looked_up = (file.digest for file in self.files if file.digest and not file.content_id)
        return {*self.contents, *looked_up}


def _content(file: PreparedFile) -> Content:
    """Return the row of a file's content."""
    info = file.info
    return Content(
        file.digest,
        file.medium,
        info.width,
        info.height,
        **info.metadata._asdict(),
        fingerprint=file.fingerprint,
    )
