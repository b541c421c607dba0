"""A run as a pipeline: walk, diff, read, embed, commit.

Each stage is an iterator over the one before it:

- :mod:`.scan` walks the scopes and yields what they hold.
- :mod:`.diff` asks the catalog which files have changed.
- :mod:`.read` hashes and decodes those in threads, some files ahead.
- :mod:`.embed` collects batches and submits them to the encoder.
- :mod:`.commit` writes embedded batches to the catalog.

All stages run in this thread, and report to a :class:`.recorder.RunRecorder`. Whatever stops a
run, what was committed stays, and the next run goes on from there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from nmm.index.encoders.runtime.devices import available_cpus
from nmm.index.events import Event, FilesCounted
from nmm.index.indexing.commit import commit_batches
from nmm.index.indexing.diff import find_changed
from nmm.index.indexing.embed import Embedder
from nmm.index.indexing.options import IndexOptions
from nmm.index.indexing.prepare import ReadRequest
from nmm.index.indexing.read import ReadAhead
from nmm.index.indexing.recorder import RunRecorder
from nmm.index.indexing.scan import walk_scopes
from nmm.index.indexing.scopes import Scope
from nmm.index.store.catalog.removal import delete_unseen, drop_orphans
from nmm.index.store.catalog.roots import add_mount
from nmm.index.store.layout import IndexFolder

if TYPE_CHECKING:
    from nmm.index.encoders.base import Encoder
    from nmm.index.store.catalog.writer import CatalogWriter

# Batches of files that are read ahead: while one is embedded the next is read, and one slow file
# does not make the encoder wait.
BATCHES_AHEAD = 2


class Pipeline:
    """One run over some scopes.

    Args:
        writer: The catalog that is filled.
        own: The index, whose own files are not indexed.
        encoder: What embeds.
        options: How to run.
        on_event: Called with progress; `FilesCounted` comes from another thread.
        stop: Ends the run when it is set.
        on_vectors: Called between batches with the number of vectors that were added.

    Attributes:
        recorder: What the run has done so far.
    """

    def __init__(
        self,
        writer: CatalogWriter,
        own: IndexFolder,
        encoder: Encoder,
        options: IndexOptions,
        on_event: Callable[[Event], None],
        stop: threading.Event,
        on_vectors: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.recorder = RunRecorder(encoder.model.name, on_event)
        self._writer = writer
        self._own = own
        self._options = options
        self._on_event = on_event
        self._stop = stop
        self._on_vectors = on_vectors
        self._batch_size = options.batch_size or encoder.batch_size
        self._request = ReadRequest.for_model(encoder.model, encoder.tokenizer, options.max_pixels)
        self._embedder = Embedder(encoder, self._batch_size, writer.content_id, self.recorder, stop)

    def run(
        self,
        scopes: Sequence[Scope],
        *,
        unseen: Sequence[Scope] = (),
        gone: Sequence[Scope] = (),
    ) -> None:
        """Bring the files below `scopes` up to date.

        Files at `gone` or below leave the index; files below `unseen` stay.
        """
        recorder = self.recorder
        recorder.unseen.update(unseen)
        # Contents that a killed run left without a file must not be taken for known.
        drop_orphans(self._writer)
        workers = available_cpus()
        pool = ThreadPoolExecutor(workers + self._options.count, "nmm-read")
        try:
            if self._options.count:
                pool.submit(self._count, scopes)
            self._run(scopes, pool, workers)
        finally:
            pool.shutdown(cancel_futures=True)
        recorder.summary.interrupted = self._stop.is_set()
        if not recorder.summary.interrupted:
            changes = delete_unseen(self._writer, [*scopes, *gone], recorder.unseen)
            recorder.summary.moved = changes.moved
            recorder.summary.added -= changes.moved
            recorder.summary.removed = changes.removed

    def _run(self, scopes: Sequence[Scope], pool: ThreadPoolExecutor, workers: int) -> None:
        """Connect the stages, and pull all files through them."""
        # A mount point is recorded before any file on it.
        found = walk_scopes(
            scopes, self._own, self._options, self._stop, partial(add_mount, self._writer)
        )
        changed = find_changed(found, self._writer, self.recorder)
        limit = BATCHES_AHEAD * self._batch_size
        read = ReadAhead(pool, workers, self._request, self._known, limit).read(changed)
        with closing(self._embedder.batches(read)) as batches:
            for committed in commit_batches(batches, self._writer):
                self.recorder.committed(committed.changes)
                self._on_vectors(committed.vectors)

    def _count(self, scopes: Sequence[Scope]) -> None:
        found = walk_scopes(scopes, self._own, self._options, self._stop)
        self._on_event(FilesCounted(sum(1 for _ in found)))

    def _known(self, digests: Collection[bytes]) -> Mapping[bytes, int | None]:
        """Return the contents among some digests that are in the catalog or on their way there."""
        pending = {digest: None for digest in digests if self._embedder.is_pending(digest)}
        return {**pending, **self._writer.content_ids(digests)}
