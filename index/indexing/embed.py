"""Stage 4 of a run: collect prepared files into batches, and have the encoder embed them.

While one batch is embedded, the next is collected, and the one before is committed: collecting
waits for the encoder, and the encoder for nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING

from nmm.index.encoders.base import Encoder
from nmm.index.errors import MediaError, NotMediaError, UnreadableError
from nmm.index.indexing.batch import EmbeddingBatch, PendingFile
from nmm.index.indexing.diff import ChangedFile, SkippedPath
from nmm.index.indexing.read import KnownContent, ReadFile

if TYPE_CHECKING:
    import threading

    from nmm.index.indexing.prepare import PreparedFile
    from nmm.index.indexing.recorder import Change, RunRecorder

# Batches that are embedded or wait for it: when the first is done, the second has begun already.
MAX_PENDING = 2
# Texts in a batch for each image in one: the text tower takes a quarter of the time, and
# more texts at once leave less padding when they are sorted by length.
TEXTS_PER_IMAGE = 4
# Files in a batch; a file without vectors costs no more than its row.
MAX_FILES = 1024


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

    def batches(
        self, items: Iterable[ReadFile | SkippedPath]
    ) -> Generator[EmbeddingBatch, None, None]:
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
                    raise NotMediaError("no text in it", code="text-empty")
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
    return PendingFile(file.root, file.path, file.size, file.mtime_ns, status, is_new, reason)
