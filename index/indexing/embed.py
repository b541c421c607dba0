"""Stage 4 of a run: collect prepared files into batches, and have the encoder embed them.

While one batch is embedded, the next is collected, and the one before is committed: collecting
waits for the encoder, and the encoder for nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from nmm.index.encoders.base import Encoder, Task
from nmm.index.errors import MediaError, NotMediaError, UnreadableError
from nmm.index.indexing.diff import ChangedFile, SkippedPath
from nmm.index.indexing.read import KnownContent, ReadFile
from nmm.index.store.catalog.writer import ChunkRow, Content

if TYPE_CHECKING:
    import threading

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.base import PendingEmbeddings
    from nmm.index.indexing.prepare import PreparedFile, PreparedUnit
    from nmm.index.indexing.recorder import RunRecorder
    from nmm.index.store.catalog.types import FileRow, Root

# Batches that are embedded or wait for it: when the first is done, the second has begun already.
MAX_PENDING = 2
# Texts in a batch for each image in one: the text tower takes a quarter of the time, and
# more texts at once leave less padding when they are sorted by length.
TEXTS_PER_IMAGE = 4
# Files in a batch; a file without vectors costs no more than its row.
MAX_FILES = 1024

# What a commit changes for a file that has a content afterwards.
Change: TypeAlias = Literal["added", "updated", "unchanged"]


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
            self.contents[file.digest] = _content(file, unit)
        start, end = unit.locator.lines or (None, None)
        if isinstance(unit.payload, str):
            self.texts.append((file.digest, ChunkRow(start, end, unit.payload)))
        else:
            self.images.append((file.digest, ChunkRow(start, end)))
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


class Embedder:
    """Turns files that were read into batches that are being embedded.

    Whoever iterates commits each batch before asking for the next.

    Args:
        encoder: What embeds.
        size: Images in a batch.
        content_id: Returns the id of a content in the catalog, or None.
        recorder: Told about each file.
        stop: Ends the run when it is set, between files and between batches of a long text.
    """

    def __init__(
        self,
        encoder: Encoder,
        size: int,
        content_id: Callable[[bytes], int | None],
        recorder: RunRecorder,
        stop: threading.Event,
    ) -> None:
        self._encoder = encoder
        self._size = size
        self._content_id = content_id
        self._recorder = recorder
        self._stop = stop
        self._batch = EmbeddingBatch()
        self._pending: deque[EmbeddingBatch] = deque()

    def is_pending(self, digest: bytes) -> bool:
        """Return whether a content is in a batch that is not committed."""
        return any(digest in batch.contents for batch in (self._batch, *self._pending))

    def batches(self, items: Iterable[ReadFile | SkippedPath]) -> Iterator[EmbeddingBatch]:
        """Yield the batches in order, each when it is needed in the catalog or embedded.

        When `stop` is set, the first batch in turn is still embedded and yielded; of the others,
        those that are embedded already.
        """
        try:
            for item in items:
                if isinstance(item, SkippedPath):
                    yield from self._skip(item)
                else:
                    yield from self._take(item)
                if self._stop.is_set():
                    break
            yield from self._finish_first() if self._stop.is_set() else self._flush()
        finally:
            self._cancel()

    def _skip(self, item: SkippedPath) -> Iterator[EmbeddingBatch]:
        pending = PendingFile(item.root, item.path, None, None, "skipped", None, item.reason)
        yield from self._add_row(pending)
        self._recorder.skipped(item.root, item.path, item.reason)

    def _take(self, item: ReadFile) -> Iterator[EmbeddingBatch]:
        """Add a file to the batch, and report it."""
        file, outcome = item.file, item.outcome
        try:
            if isinstance(outcome, MediaError):
                raise outcome
            added = yield from self._add(file, outcome)
        except NotMediaError:
            yield from self._add_row(_row(file, "left out"))
            self._recorder.processed(file.root, file.path)
        except UnreadableError as error:
            if file.row and file.row.content_id is not None:
                # What it held when it was last read stays until it can be read again.
                self._batch.seen.append(file.row)
            else:
                yield from self._add_row(_row(file, "skipped", error.what))
            self._recorder.skipped(file.root, file.path, error.what)
        except MediaError as error:
            yield from self._add_row(_row(file, "skipped", error.what))
            self._recorder.skipped(file.root, file.path, error.what)
        else:
            if added:
                self._recorder.processed(file.root, file.path)

    def _add(
        self, file: ChangedFile, outcome: PreparedFile | KnownContent
    ) -> Generator[EmbeddingBatch, None, bool]:
        """Add a file and its content; return False if the run was stopped in the middle.

        Raises:
            NotMediaError: There is nothing in it.
            MediaError: Its units could not all be read; none of them is kept.
        """
        if isinstance(outcome, KnownContent):
            content_id = outcome.content_id
        else:
            # A copy may have been added since this file was hashed.
            content_id = self._content_id(outcome.digest)
            if content_id is None and not self.is_pending(outcome.digest):
                added = yield from self._add_units(outcome)
                if not added and self._stop.is_set():
                    return False
                if not added:
                    raise NotMediaError("no text in it")
        change: Change = "updated"
        if file.row is None or file.row.content_id is None:
            change = "added"
        elif file.row.content_id == content_id:
            change = "unchanged"
        row = _row(file, "indexed")._replace(
            digest=outcome.digest, content_id=content_id, change=change
        )
        yield from self._add_row(row)
        return True

    def _add_units(self, file: PreparedFile) -> Generator[EmbeddingBatch, None, bool]:
        """Add the units of a file, in as many batches as they take; return whether all were.

        Its row follows its last unit, so that a content is in use only once it is whole. A
        single image and its row are always in one batch.
        """
        added = False
        try:
            for unit in file.units:
                self._batch.add(file, unit)
                added = True
                if file.fingerprint is None:
                    was_full = yield from self._advance()
                    if was_full and self._stop.is_set():
                        return False
        except Exception:
            yield from self._drop(file.digest)
            raise
        return added

    def _drop(self, digest: bytes) -> Iterator[EmbeddingBatch]:
        """Remove a content that could not be read to its end."""
        while self._pending:
            yield from self._yield_first()
        self._batch.remove(digest)
        yield EmbeddingBatch(dropped=digest)

    def _add_row(self, row: PendingFile) -> Iterator[EmbeddingBatch]:
        self._batch.files.append(row)
        yield from self._advance()

    def _advance(self) -> Generator[EmbeddingBatch, None, bool]:
        """Submit the batch if it is full, and yield what is embedded; return whether it was."""
        batch = self._batch
        is_full = (
            len(batch.images) >= self._size
            or len(batch.texts) >= self._size * TEXTS_PER_IMAGE
            or len(batch.files) + len(batch.seen) >= MAX_FILES
        )
        if is_full:
            self._submit()
        while self._pending and (
            len(self._pending) > MAX_PENDING or self._pending[0].is_embedded()
        ):
            yield from self._yield_first()
        return is_full

    def _submit(self) -> None:
        if self._batch.contents or self._batch.files or self._batch.seen:
            self._batch.submit(self._encoder)
            self._pending.append(self._batch)
            self._batch = EmbeddingBatch()

    def _yield_first(self) -> Iterator[EmbeddingBatch]:
        yield self._pending[0]  # it is pending until it is committed
        self._pending.popleft()

    def _flush(self) -> Iterator[EmbeddingBatch]:
        self._submit()
        while self._pending:
            yield from self._yield_first()

    def _finish_first(self) -> Iterator[EmbeddingBatch]:
        if not self._pending:
            self._submit()
        for batch in list(self._pending)[1:]:
            batch.cancel()
        if self._pending:
            yield from self._yield_first()
        while self._pending and self._pending[0].is_embedded():
            yield from self._yield_first()

    def _cancel(self) -> None:
        for batch in self._pending:
            batch.cancel()
        self._pending.clear()
        self._batch = EmbeddingBatch()


def _row(file: ChangedFile, status: str, reason: str | None = None) -> PendingFile:
    is_new = file.row is None
    return PendingFile(
        file.root, file.path, file.size, file.mtime_ns, status, is_new, reason
    )


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
