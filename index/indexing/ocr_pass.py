"""The second pass of a run: read the words in images that OCR has not read yet.

All files are indexed and can be found by then. One image is read at a time, with all cores, while
the next ones are decoded. Results are committed every few seconds. An image that cannot be read
is tried again by the next run.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nmm.index.errors import MediaError
from nmm.index.events import Event, FileSkipped, OcrFileProcessed, OcrStarted, OcrSummary, Summary
from nmm.index.indexing.ocr import Ocr
from nmm.index.indexing.ocr_tiles import DECODE_SIDE, Prepared, prepare
from nmm.index.media.image.files import decode_known
from nmm.index.store.catalog.ocr_text import Line, Picture, pictures, save_ocr_text, unread

if TYPE_CHECKING:
    from nmm.index.indexing.scopes import Scope
    from nmm.index.store.catalog.writer import CatalogWriter

# Results are committed after so many seconds, or so many images.
COMMIT_SECONDS = 5.0
COMMIT_SIZE = 32
# Images that are decoded ahead.
DECODE_AHEAD = 2

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
    """Read the words in all images below some scopes that have not been read.

    Args:
        writer: The catalog that the words are written to.
        scopes: Where to read.
        unseen: Scopes that could not be walked. Their images are left for later, silently.
        load: Loads the OCR engine; called only if there is something to read.
        max_pixels: Images with more pixels are refused.
        on_event: Called with progress.
        stop: Ends the pass when it is set; what was read is committed.
        summary: Filled with what was done. Images that could not be read are added to the skipped.

    Raises:
        ModelError: `load` raised it.
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
    pool = ThreadPoolExecutor(DECODE_AHEAD, "nmm-ocr-read")
    try:
        decode = partial(_prepare, max_pixels=max_pixels)
        waiting = _submit_ahead(pool, decode, pictures(writer, ids), DECODE_AHEAD)
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


def _submit_ahead(
    pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterator[T], limit: int
) -> Iterator[tuple[T, Future[R]]]:
    """Yield each item with its future, in order; `limit` items are submitted ahead."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(work, item)))
        if len(waiting) > limit:
            yield waiting.popleft()
    yield from waiting


def _prepare(picture: Picture, max_pixels: int) -> Prepared:
    """Decode an image from the first of its files that can be read."""
    reasons = []
    for path in picture.files:
        found = _try_to_prepare(path, picture.hash, max_pixels)
        if isinstance(found, Prepared):
            return found
        reasons.append(found)
    raise reasons[0]


def _try_to_prepare(path: Path, digest: bytes, max_pixels: int) -> Prepared | MediaError:
    try:
        return prepare(decode_known(path, digest, side=DECODE_SIDE, max_pixels=max_pixels))
    except MediaError as error:
        return error


class _Batch:
    """Results that are not committed yet."""

    def __init__(self, writer: CatalogWriter, done: OcrSummary) -> None:
        self._writer = writer
        self._done = done
        self._read: list[tuple[int, list[Line]]] = []
        self._since = time.monotonic()

    def add(self, picture: Picture, lines: list[Line]) -> None:
        self._read.append((picture.content_id, lines))
        if len(self._read) >= COMMIT_SIZE or time.monotonic() - self._since >= COMMIT_SECONDS:
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
