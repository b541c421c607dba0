"""What is embedded and committed together: some images, some chunks, and their files.

While one batch is embedded the next is collected, and what was embedded before is committed:
whoever collects waits for the encoder, and the encoder for nobody.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from nmm.index.common.tracing import span
from nmm.index.encoders.base import Encoder, Task
from nmm.index.store.catalog.writer import CatalogWriter, ChunkRow, Content

if TYPE_CHECKING:
    import threading

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.base import PendingEmbeddings
    from nmm.index.indexing.prepare import PreparedFile, PreparedUnit
    from nmm.index.store.catalog.types import Root

# Batches that are embedded or wait for it: when the first is done, the second is begun already.
UNDERWAY = 2
# Chunks to a batch for each image to one: the text tower takes a quarter of the time, and
# more of them at once leave less padding when they are sorted by length.
CHUNKS_PER_IMAGE = 4
# Rows of files without vectors, which cost nothing but the commit.
FILES = 1024

# What a commit changes for a file whose content is in the index then.
Change: TypeAlias = Literal["added", "updated", "unchanged"]


class FileEntry(NamedTuple):
    """A file as the walk met it; size and time are of a regular one."""

    root: Root
    path: str
    size: int | None = None
    mtime_ns: int | None = None


class _Pending(NamedTuple):
    entry: FileEntry
    status: str
    reason: str | None = None
    hash: bytes | None = None
    change: Change | None = None


@dataclass
class _Part:
    """A batch while it is collected, and then while it is embedded."""

    contents: dict[bytes, Content] = field(default_factory=dict)
    images: list[tuple[bytes, ChunkRow]] = field(default_factory=list)
    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    texts: list[tuple[bytes, ChunkRow]] = field(default_factory=list)
    files: list[_Pending] = field(default_factory=list)
    image_vectors: PendingEmbeddings | None = None
    text_vectors: PendingEmbeddings | None = None

    def add(self, digest: bytes, unit: PreparedUnit) -> None:
        start, end = unit.locator.lines or (None, None)
        if isinstance(unit.payload, str):
            self.texts.append((digest, ChunkRow(start, end, unit.payload)))
        else:
            self.images.append((digest, ChunkRow(start, end)))
            self.pixels.append(unit.payload)

    def begin(self, encoder: Encoder) -> None:
        if self.pixels:
            self.image_vectors = encoder.submit_images(self.pixels)
            self.pixels = []  # each is let go of when it has been embedded
        if self.texts:
            texts = [row.text or "" for _, row in self.texts]
            self.text_vectors = encoder.submit_texts(texts, Task.DOCUMENT)

    def is_embedded(self) -> bool:
        return all(one is None or one.done() for one in (self.image_vectors, self.text_vectors))

    def cancel(self) -> None:
        for one in (self.image_vectors, self.text_vectors):
            if one:
                one.cancel()

    def hashes(self) -> set[bytes]:
        """The contents that this batch adds, adds to, or refers to."""
        return {*self.contents, *(pending.hash for pending in self.files if pending.hash)}


class Batch:
    """Collects what was read, and embeds and commits it whenever there is enough.

    Args:
        writer: Where it goes.
        encoder: What embeds it.
        size: Images to a batch.
        stop: Looked at between the batches of one long text.
        on_commit: Told after each batch how many vectors it added, and what changed for how many
            files.
    """

    def __init__(
        self,
        writer: CatalogWriter,
        encoder: Encoder,
        size: int,
        stop: threading.Event,
        on_commit: Callable[[int, Counter[Change]], None] = lambda _vectors, _changes: None,
    ) -> None:
        self._writer = writer
        self._encoder = encoder
        self._size = size
        self._stop = stop
        self._on_commit = on_commit
        self._part = _Part()
        self._underway: deque[_Part] = deque()

    def holds(self, digest: bytes) -> bool:
        """Whether a content is in the catalog, or on its way there."""
        parts = (self._part, *self._underway)
        return (
            any(digest in part.contents for part in parts)
            or self._writer.content_id(digest) is not None
        )

    def add_known(self, entry: FileEntry, digest: bytes, change: Change) -> None:
        """Add a file whose content :meth:`holds`."""
        self._add_file(_Pending(entry, "indexed", None, digest, change))

    def add_without_content(self, entry: FileEntry, status: str, reason: str | None) -> None:
        """Add a file that was skipped or left out."""
        self._add_file(_Pending(entry, status, reason))

    def add(self, entry: FileEntry, file: PreparedFile, change: Change) -> bool:
        """Add a file and its units, in as many batches as they take.

        The file follows its last unit, so that a content is in use only once it is whole. A
        single image and its file are always in one batch.
        Returns whether the file had any unit, and all were added before `stop` was set.

        Raises:
            MediaError: The units could not all be read; none of them is kept.
        """
        added = False
        try:
            for unit in file.units:
                self._part.contents.setdefault(file.digest, _content(file, unit))
                self._part.add(file.digest, unit)
                added = True
                if file.fingerprint is None and self._begin_if_full() and self._stop.is_set():
                    return False
        except BaseException:
            self._discard(file.digest)
            raise
        if added:
            self._add_file(_Pending(entry, "indexed", None, file.digest, change))
        return added

    def flush(self) -> None:
        """Embed and commit what there is."""
        self._begin()
        while self._underway:
            self._commit()

    def finish_first(self) -> None:
        """Embed and commit the batch that is first in turn; of the others, what is embedded."""
        if not self._underway:
            self._begin()
        for part in list(self._underway)[1:]:
            part.cancel()
        if self._underway:
            self._commit()
        while self._underway and self._underway[0].is_embedded():
            self._commit()
        self.abandon()
        self._part = _Part()

    def abandon(self) -> None:
        """Embed no more of what is not committed yet."""
        for part in self._underway:
            part.cancel()
        self._underway.clear()

    def _begin(self) -> None:
        if self._part.contents or self._part.files:
            self._part.begin(self._encoder)
            self._underway.append(self._part)
            self._part = _Part()

    def _commit(self) -> None:
        """Commit the first batch that is underway, once it is embedded."""
        part = self._underway[0]
        with span("waiting for the encoder"):
            image_vectors = part.image_vectors.result() if part.image_vectors else ()
            text_vectors = part.text_vectors.result() if part.text_vectors else ()
        with span("batches committed"), self._writer.batch():
            ids = {digest: self._add_or_find(part, digest) for digest in part.hashes()}
            for (digest, row), vector in zip(part.images, image_vectors, strict=True):
                self._writer.add_chunk(ids[digest], "image", row, vector)
            for (digest, row), vector in zip(part.texts, text_vectors, strict=True):
                self._writer.add_chunk(ids[digest], "text", row, vector)
            for entry, status, reason, content_hash, _ in part.files:
                content_id = ids[content_hash] if content_hash else None
                self._writer.put_file(*entry, status=status, reason=reason, content_id=content_id)
        self._underway.popleft()
        changes = Counter(pending.change for pending in part.files if pending.change)
        self._on_commit(len(part.images) + len(part.texts), changes)

    def _add_or_find(self, part: _Part, digest: bytes) -> int:
        content_id = self._writer.content_id(digest)
        return self._writer.add_content(part.contents[digest]) if content_id is None else content_id

    def _discard(self, digest: bytes) -> None:
        while self._underway:
            self._commit()
        self._part.contents.pop(digest, None)
        self._part.texts = [one for one in self._part.texts if one[0] != digest]
        self._writer.drop_content(digest)

    def _add_file(self, pending: _Pending) -> None:
        self._part.files.append(pending)
        self._begin_if_full()

    def _begin_if_full(self) -> bool:
        """Begin the batch if it is full, and commit what is embedded."""
        part = self._part
        full = (
            len(part.images) >= self._size
            or len(part.texts) >= self._size * CHUNKS_PER_IMAGE
            or len(part.files) >= FILES
        )
        if full:
            self._begin()
        while self._underway and (
            len(self._underway) > UNDERWAY or self._underway[0].is_embedded()
        ):
            self._commit()
        return full


def _content(file: PreparedFile, unit: PreparedUnit) -> Content:
    """Return the row of a file's content; its kind is the modality of its first unit."""
    info = file.info
    return Content(
        file.digest,
        unit.modality,
        info.width,
        info.height,
        **asdict(info.metadata),
        fingerprint=file.fingerprint,
    )
