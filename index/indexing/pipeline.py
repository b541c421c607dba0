"""One walk over some scopes: walk, read, embed, store.

Reading, hashing and decoding happen in threads, a bounded number of files ahead; this
thread hands what they deliver to the encoder, batch by batch, and commits what comes of it
while the next batch is embedded. Whatever stops a run, what was committed stays, and the next
run goes on from there.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from nmm.index.common.tracing import span
from nmm.index.encoders.runtime.devices import available_cpus
from nmm.index.errors import MediaError, NotMediaError, UnreadableError, UsageError
from nmm.index.events import Event, FileProcessed, FilesCounted, FileSkipped, Summary
from nmm.index.indexing.batching import Batch, Change, FileEntry
from nmm.index.indexing.prepare import PreparedFile, ReadRequest, hash_for_index, prepare_file
from nmm.index.indexing.scopes import Scope, is_there
from nmm.index.indexing.walk import FoundFile, SkippedEntry, walk
from nmm.index.media.image.decode import MAX_PIXELS
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.removal import delete_unseen, drop_orphans
from nmm.index.store.catalog.roots import add_mount
from nmm.index.store.catalog.types import FileRow, Root, locate
from nmm.index.store.layout import IndexFolder

if TYPE_CHECKING:
    from nmm.index.encoders.base import Encoder
    from nmm.index.store.catalog.writer import CatalogWriter

# Batches of files being read or waiting to be embedded: while one is embedded the next is
# read, and one slow file does not make the encoder wait.
AHEAD = 2
# Files that the catalog is asked about at once.
LOOKED_UP = 1000


@dataclass(frozen=True)
class KnownFile:
    """A file whose content is in the catalog."""

    digest: bytes


Read: TypeAlias = KnownFile | PreparedFile
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Options:
    """How a run is done.

    Attributes:
        exclude, hidden, follow_symlinks: See :func:`nmm.index.indexing.walk.walk`.
        max_pixels: Images with more are skipped.
        batch_size: Images that are embedded and committed together; None for as many as suit
            the encoder.
        count: Walk ahead in a thread, to tell by `Counted` how much there is to do.
        ocr: Read the words in pictures in this run and from now on; or do so no more. None: as
            before.
    """

    exclude: Sequence[str] = ()
    hidden: bool = False
    follow_symlinks: bool = False
    max_pixels: int = MAX_PIXELS
    batch_size: int | None = None
    count: bool = False
    ocr: bool | None = None


class Run:
    """One walk over some scopes, with what it has counted."""

    def __init__(
        self,
        writer: CatalogWriter,
        committed: Catalog,
        own: IndexFolder,
        encoder: Encoder,
        options: Options,
        on_event: Callable[[Event], None],
        stop: threading.Event,
        on_commit: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.summary = Summary(encoder.model.name)
        self._writer = writer
        self._committed = committed
        # The index may lie in a folder that is indexed, and changes while it is written.
        self._own = IndexFolder(own.path.resolve())
        self._own_prefix = str(self._own.path)
        self._committed_lock = threading.Lock()
        self._request = ReadRequest.for_model(encoder.model, encoder.tokenizer, options.max_pixels)
        self._options = options
        self._on_event = on_event
        self._stop = stop
        self._on_vectors = on_commit
        self._batch_size = options.batch_size or encoder.batch_size
        self._batch = Batch(writer, encoder, self._batch_size, stop, self._committed_some)
        self._unseen: set[tuple[Root, str]] = set()

    @property
    def unseen(self) -> set[Scope]:
        """Where there may be files that were not met, so far."""
        return self._unseen

    def index(
        self,
        scopes: Sequence[Scope],
        *,
        unseen: Sequence[Scope] = (),
        gone: Sequence[Scope] = (),
    ) -> None:
        """Bring what is below scopes up to date.

        What the index holds at `gone` or below leaves it; what it holds below `unseen` stays.
        """
        self._unseen.update(unseen)
        # What a killed run left without a file must not be taken for known.
        drop_orphans(self._writer)
        threads = available_cpus()
        pool = ThreadPoolExecutor(threads + self._options.count, "nmm-read")
        try:
            if self._options.count:
                pool.submit(self._count, scopes)
            changed = self._changed(scopes)
            for entry, media in ahead(pool, self._read, changed, AHEAD * self._batch_size):
                self._take(entry, media)
                if self._stop.is_set():
                    break
            if self._stop.is_set():
                self._batch.finish_first()
            else:
                self._batch.flush()
        finally:
            self._batch.abandon()
            pool.shutdown(cancel_futures=True)
        self.summary.interrupted = self._stop.is_set()
        if not self.summary.interrupted:
            changes = delete_unseen(self._writer, [*scopes, *gone], self._unseen)
            self.summary.moved = changes.moved
            self.summary.added -= changes.moved
            self.summary.removed = changes.removed

    def _walk(
        self,
        scopes: Iterable[Scope],
        on_mount: Callable[[Root, str], None] = lambda _root, _path: None,
    ) -> Iterator[tuple[Root, FoundFile | SkippedEntry]]:
        for root, start in scopes:
            try:
                entries = walk(
                    root.path,
                    start,
                    exclude=self._options.exclude,
                    hidden=self._options.hidden,
                    follow_symlinks=self._options.follow_symlinks,
                    on_mount=partial(on_mount, root),
                )
            except UsageError:
                if is_there(Path(locate(str(root.path), start))):
                    raise  # what is wrong is an option
                # It went away after the run had begun.
                entries = iter([SkippedEntry(start, "no longer there", is_dir=True)])
            for entry in entries:
                if self._stop.is_set():
                    return
                path = locate(str(root.path), entry.path)
                # The first is for speed: most of what a walk meets lies elsewhere.
                if not (path.startswith(self._own_prefix) and self._own.owns(Path(path))):
                    yield root, entry

    def _count(self, scopes: Iterable[Scope]) -> None:
        self._on_event(FilesCounted(sum(1 for _ in self._walk(scopes))))

    def _changed(self, scopes: Iterable[Scope]) -> Iterator[FileEntry]:
        """The files that have to be read; the others are dealt with on the way."""
        for root, files in _groups(self._found(scopes), LOOKED_UP):
            known = self._writer.file_rows(root, [file.path for file in files])
            unchanged: list[FileRow] = []
            for file in files:
                row = known.get(file.path)
                # What was skipped is tried again: rights and options change no time stamp.
                if (
                    row is None
                    or row.status == "skipped"
                    or (row.size, row.mtime_ns) != (file.size, file.mtime_ns)
                ):
                    yield FileEntry(root, file.path, file.size, file.mtime_ns)
                else:
                    unchanged.append(row)
                    self.summary.unchanged += row.status == "indexed"
                    self._passed(root, file.path)
            self._writer.mark_seen(unchanged)

    def _found(self, scopes: Iterable[Scope]) -> Iterator[tuple[Root, FoundFile]]:
        """The files of a walk; what it skips is told and kept on the way."""
        # What is mounted is kept before any file on it.
        for root, entry in self._walk(scopes, partial(add_mount, self._writer)):
            if isinstance(entry, FoundFile):
                yield root, entry
                continue
            if entry.is_dir:
                self._unseen.add((root, entry.path))
            self._skip(FileEntry(root, entry.path), entry.reason)

    def _read(self, entry: FileEntry) -> Read:
        """Read a file, in a thread of the pool."""
        with span("files read"):
            hashed = hash_for_index(_location(entry))
            # A text under an image's name may be known as the text that it is.
            if hashed.is_genuine and self._is_known(hashed.digest):
                return KnownFile(hashed.digest)
            return prepare_file(hashed, self._request)

    def _is_known(self, digest: bytes) -> bool:
        with self._committed_lock:
            return self._committed.content_id(digest) is not None

    def _take(self, entry: FileEntry, media: Future[Read]) -> None:
        """Put what was read of a file into the batch, and count it."""
        try:
            with span("waiting for files"):
                read = media.result()
            added = self._add(entry, read)
        except NotMediaError:
            self._batch.add_without_content(entry, "left out", None)
            self._passed(entry.root, entry.path)
        except UnreadableError as error:
            known = self._writer.file_row(entry.root, entry.path)
            if known and known.content_id is not None:
                # What it held when it was last read stays in the index until it is read again.
                self._writer.mark_seen([known])
                self._tell_skipped(entry, error.what)
            else:
                self._skip(entry, error.what)
        except MediaError as error:
            self._skip(entry, error.what)
        else:
            if added:
                self._passed(entry.root, entry.path)

    def _add(self, entry: FileEntry, media: Read) -> bool:
        """Add a file to the batch; False if the run was stopped in its midst."""
        if isinstance(media, KnownFile) and not self._batch.holds(media.digest):
            # A copy that was being embedded when this one was read, and then failed.
            media = self._read(entry)
        change = self._change(entry, media.digest)
        if self._batch.holds(media.digest):
            self._batch.add_known(entry, media.digest, change)
        elif isinstance(media, PreparedFile) and not self._batch.add(entry, media, change):
            if self._stop.is_set():
                return False
            raise NotMediaError("no text in it", code="text-empty")
        return True

    def _change(self, entry: FileEntry, digest: bytes) -> Change:
        """What becomes of a file in the index that has this content now."""
        known = self._writer.file_row(entry.root, entry.path)
        if known is None or known.content_id is None:
            return "added"
        return "unchanged" if known.content_id == self._writer.content_id(digest) else "updated"

    def _committed_some(self, vectors: int, changes: Counter[Change]) -> None:
        """Count what a batch has changed."""
        self.summary.added += changes["added"]
        self.summary.updated += changes["updated"]
        self.summary.unchanged += changes["unchanged"]
        self._on_vectors(vectors)

    def _skip(self, entry: FileEntry, reason: str) -> None:
        self._batch.add_without_content(entry, "skipped", reason)
        self._tell_skipped(entry, reason)

    def _tell_skipped(self, entry: FileEntry, reason: str) -> None:
        skipped = FileSkipped(locate(str(entry.root.path), entry.path), reason)
        self.summary.skipped.append(skipped)
        self._on_event(skipped)

    def _passed(self, root: Root, path: str) -> None:
        self._on_event(FileProcessed(locate(str(root.path), path)))


def _groups(
    found: Iterable[tuple[Root, FoundFile]], size: int
) -> Iterator[tuple[Root, list[FoundFile]]]:
    """Files that follow each other in one root, `size` at most."""
    for root, pairs in groupby(found, itemgetter(0)):
        while group := [file for _, file in islice(pairs, size)]:
            yield root, group


def _location(entry: FileEntry) -> Path:
    return Path(locate(str(entry.root.path), entry.path))


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterator[T], limit: int
) -> Iterator[tuple[T, Future[R]]]:
    """Yield each item with its work done or under way, in order, `limit` of them ahead."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(work, item)))
        if len(waiting) > limit:
            yield waiting.popleft()
    yield from waiting
