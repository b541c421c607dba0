"""What is embedded and committed together: some images, some chunks, and their files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.encoders.registry import Encoder, Task
from nmm.index.store.writer import CatalogWriter, ChunkRow, Content

if TYPE_CHECKING:
    import threading

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.media.chunk import Chunk
    from nmm.index.media.exif import Details
    from nmm.index.store.catalog import Root

# Chunks to a batch for each image to one: the text tower takes a quarter of the time, and
# more of them at once leave less padding when they are sorted by length.
CHUNKS_PER_IMAGE = 4
# Rows of files without vectors, which cost nothing but the commit.
FILES = 1024


@dataclass(frozen=True, slots=True)
class ReadyImage:
    """An image as it goes into the vision tower: `pixels` of shape (side, side, 3).

    `fingerprint` is that of :mod:`nmm.index.media.fingerprint`.
    """

    hash: bytes
    pixels: NDArray[np.uint8]
    width: int
    height: int
    details: Details
    fingerprint: bytes


class FileEntry(NamedTuple):
    """A file as the walk met it; size and time are of a regular one."""

    root: Root
    path: str
    size: int | None = None
    mtime_ns: int | None = None


class _Pending(NamedTuple):
    entry: FileEntry
    status: str
    reason: str | None
    hash: bytes | None


class Batch:
    """Collects what was read, and embeds and commits it whenever there is enough.

    Args:
        writer: Where it goes.
        encoder: What embeds it.
        size: Images to a batch.
        stop: Looked at between the batches of one long text.
        on_commit: Told after each batch how many vectors it added.
    """

    def __init__(
        self,
        writer: CatalogWriter,
        encoder: Encoder,
        size: int,
        stop: threading.Event,
        on_commit: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._writer = writer
        self._encoder = encoder
        self._size = size
        self._stop = stop
        self._on_commit = on_commit
        self._contents: dict[bytes, Content] = {}
        self._images: list[ReadyImage] = []
        self._chunks: list[tuple[bytes, Chunk]] = []
        self._files: list[_Pending] = []

    def holds(self, digest: bytes) -> bool:
        """Whether a content is in this batch or in the catalog."""
        return digest in self._contents or self._writer.content_id(digest) is not None

    def add_known(self, entry: FileEntry, digest: bytes) -> None:
        """Add a file whose content :meth:`holds`."""
        self._add_file(_Pending(entry, "indexed", None, digest))

    def add_without_content(self, entry: FileEntry, status: str, reason: str | None) -> None:
        """Add a file that was skipped or left out."""
        self._add_file(_Pending(entry, status, reason, None))

    def add_image(self, entry: FileEntry, image: ReadyImage) -> None:
        """Add a file and the image it holds."""
        self._contents[image.hash] = Content(
            image.hash,
            "image",
            image.width,
            image.height,
            **asdict(image.details),
            fingerprint=image.fingerprint,
        )
        self._images.append(image)
        self._add_file(_Pending(entry, "indexed", None, image.hash))

    def add_text(self, entry: FileEntry, digest: bytes, chunks: Iterable[Chunk]) -> bool:
        """Add a file and the text it holds, as many batches as that takes.

        The file follows its last chunk, so that a content is in use only once it is whole.
        Returns whether there was any text, and it came to its end before `stop` was set.

        Raises:
            MediaError: The chunks did not come to their end; nothing of them is kept.
        """
        added = False
        try:
            for chunk in chunks:
                self._contents.setdefault(digest, Content(digest, "text"))
                self._chunks.append((digest, chunk))
                added = True
                if self._flush_if_full() and self._stop.is_set():
                    return False
        except BaseException:
            self._discard(digest)
            raise
        if added:
            self._add_file(_Pending(entry, "indexed", None, digest))
        return added

    def flush(self) -> None:
        """Embed and commit what there is."""
        if not (self._contents or self._files):
            return
        import numpy as np

        image_vectors = text_vectors = np.empty((0, 0), np.float32)
        if self._images:
            pixels = np.stack([image.pixels for image in self._images])
            image_vectors = self._encoder.embed_images(pixels)
        if self._chunks:
            texts = [chunk.text for _, chunk in self._chunks]
            text_vectors = self._encoder.embed_texts(texts, Task.DOCUMENT)
        with self._writer.batch():
            ids = {digest: self._add_or_find(digest) for digest in self._hashes()}
            for image, vector in zip(self._images, image_vectors, strict=True):
                self._writer.add_chunk(ids[image.hash], "image", ChunkRow(), vector)
            for (digest, chunk), vector in zip(self._chunks, text_vectors, strict=True):
                row = ChunkRow(chunk.line_start, chunk.line_end, chunk.text)
                self._writer.add_chunk(ids[digest], "text", row, vector)
            for entry, status, reason, content_hash in self._files:
                content_id = ids[content_hash] if content_hash else None
                self._writer.put_file(*entry, status=status, reason=reason, content_id=content_id)
        added = len(self._images) + len(self._chunks)
        self._contents.clear()
        self._images.clear()
        self._chunks.clear()
        self._files.clear()
        self._on_commit(added)

    def _hashes(self) -> set[bytes]:
        """The contents that this batch adds, adds to, or refers to."""
        return {*self._contents, *(pending.hash for pending in self._files if pending.hash)}

    def _add_or_find(self, digest: bytes) -> int:
        content_id = self._writer.content_id(digest)
        return (
            self._writer.add_content(self._contents[digest]) if content_id is None else content_id
        )

    def _discard(self, digest: bytes) -> None:
        self._contents.pop(digest, None)
        self._chunks = [(owner, chunk) for owner, chunk in self._chunks if owner != digest]
        self._writer.drop_content(digest)

    def _add_file(self, pending: _Pending) -> None:
        self._files.append(pending)
        self._flush_if_full()

    def _flush_if_full(self) -> bool:
        full = (
            len(self._images) >= self._size
            or len(self._chunks) >= self._size * CHUNKS_PER_IMAGE
            or len(self._files) >= FILES
        )
        if full:
            self.flush()
        return full
