"""The second pass of a run: the words seen in pictures that nobody has looked at for any.

All files are indexed and can be found by then. One picture is read at a time, with all cores,
while the next ones are decoded. What was read is committed every few seconds; a picture that
cannot be read stays one that nobody has looked at, and is tried again by the next run.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nmm.index.errors import MediaError
from nmm.index.events import Event, FileSkipped, OcrFileProcessed, OcrStarted, OcrSummary, Summary
from nmm.index.indexing.ocr import SIDE, Ocr, Prepared, prepare
from nmm.index.media.image.files import decode_known
from nmm.index.store.catalog.ocr_text import Line, Picture, pictures, save_ocr_text, unread

if TYPE_CHECKING:
    from nmm.index.indexing.scopes import Scope
    from nmm.index.store.catalog.writer import CatalogWriter

# Seconds, and pictures, after which what was read is committed.
COMMIT_AFTER = 5.0
BATCH = 32
# Pictures decoded ahead.
AHEAD = 2

T = TypeVar("T")
R = TypeVar("R")


def read_words(
    writer: CatalogWriter,
    scopes: Collection[Scope],
    unseen: Collection[Scope],
    *,
    load: Callable[[], Ocr],
    max_pixels: int,
    on_event: Callable[[Event], None],
    stop: threading.Event,
    summary: Summary,
) -> None:
    """Read the words in all pictures below some scopes that have not been looked at.

    Args:
        writer: Where they go.
        scopes: Where the pictures are.
        unseen: Where they cannot be met now; those are left for later, without a word.
        load: Loads what reads them; called only if there is something to read.
        max_pixels: Pictures with more are not decoded.
        on_event: Told of progress.
        stop: Set it to end the pass: what was read is committed.
        summary: Told what was done; pictures that could not be read are among its skipped ones.

    Raises:
        ModelError: From `load`.
        CatalogError: The catalog cannot be read or written.
    """
    started = time.monotonic()
    done = summary.ocr = OcrSummary()
    ids = unread(writer, scopes, unseen)
    done.left = len(ids)
    if not ids:
        return
    ocr = load()
    on_event(OcrStarted(len(ids)))
    batch = _Batch(writer, done)
    pool = ThreadPoolExecutor(AHEAD, "nmm-ocr-read")
    try:
        waiting = _ahead(
            pool, lambda picture: _prepared(picture, max_pixels), pictures(writer, ids), AHEAD
        )
        for picture, prepared in waiting:
            if stop.is_set():
                summary.interrupted = True
                break
            reason = ""
            try:
                batch.add(picture, ocr.read(prepared.result()))
            except MediaError as error:
                reason = f"its words were not read: {error.what}"
                summary.skipped.append(FileSkipped(str(picture.files[0]), reason))
            on_event(OcrFileProcessed(str(picture.files[0]), reason))
        batch.commit()
    finally:
        pool.shutdown(cancel_futures=True)
        done.seconds = time.monotonic() - started


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterator[T], limit: int
) -> Iterator[tuple[T, Future[R]]]:
    """Yield each item with its work done or underway, in order, `limit` of them ahead."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(work, item)))
        if len(waiting) > limit:
            yield waiting.popleft()
    yield from waiting


def _prepared(picture: Picture, max_pixels: int) -> Prepared:
    """Decode a picture from the first of its files that can be read, in a thread of the pool."""
    reasons = []
    for path in picture.files:
        found = _prepared_from(path, picture.hash, max_pixels)
        if isinstance(found, Prepared):
            return found
        reasons.append(found)
    raise reasons[0]


def _prepared_from(path: Path, digest: bytes, max_pixels: int) -> Prepared | MediaError:
    try:
        return prepare(decode_known(path, digest, side=SIDE, max_pixels=max_pixels))
    except MediaError as error:
        return error


class _Batch:
    """What was read and is not committed yet."""

    def __init__(self, writer: CatalogWriter, done: OcrSummary) -> None:
        self._writer = writer
        self._done = done
        self._read: list[tuple[int, list[Line]]] = []
        self._since = time.monotonic()

    def add(self, picture: Picture, lines: list[Line]) -> None:
        self._read.append((picture.content_id, lines))
        if len(self._read) >= BATCH or time.monotonic() - self._since >= COMMIT_AFTER:
            self.commit()

    def commit(self) -> None:
        with self._writer.batch():
            for content_id, lines in self._read:
                save_ocr_text(self._writer, content_id, lines)
        self._done.read += len(self._read)
        self._done.left -= len(self._read)
        self._done.with_words += sum(1 for _, lines in self._read if lines)
        self._read.clear()
        self._since = time.monotonic()
