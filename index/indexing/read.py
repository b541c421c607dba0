"""Stage 3 of a run: hash and decode the changed files, in threads, some files ahead.

Hashing and decoding are two tasks. In between, the catalog is asked about all contents that were
hashed meanwhile, and what it knows is not decoded. The tasks need no catalog and can be pickled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from typing import TypeAlias

from nmm.index.common.tracing import span
from nmm.index.errors import MediaError
from nmm.index.indexing.diff import ChangedFile, SkippedPath
from nmm.index.indexing.prepare import (
    HashResult,
    PreparedFile,
    ReadRequest,
    ReadResult,
    ReadTask,
    hash_path,
    run_task,
)
from nmm.index.media.identify import HashedFile

# While files are hashed or wait for the catalog, their bytes are in memory: so many bytes at
# most, unless a thread would have nothing to do.
MAX_BYTES_AHEAD = 256 << 20


@dataclass(frozen=True)
class KnownContent:
    """The result for a file whose content needs no reading.

    Attributes:
        digest: Its SHA-256.
        content_id: Its row in the catalog; None if it was only pending when it was asked about.
    """

    digest: bytes
    content_id: int | None


Outcome: TypeAlias = PreparedFile | KnownContent | MediaError


@dataclass(frozen=True)
class ReadFile:
    """A changed file and what came of reading it."""

    file: ChangedFile
    outcome: Outcome


@dataclass(eq=False)
class _Slot:
    """A file on its way: hashed first, then decoded unless its content is known."""

    item: ChangedFile | SkippedPath
    work: Future[HashResult | ReadResult] | None = None
    outcome: Outcome | None = None

    @property
    def size(self) -> int:
        return self.item.size if isinstance(self.item, ChangedFile) else 0


class ReadAhead:
    """Reads files ahead of their use.

    Args:
        pool: What runs the tasks: threads, or processes.
        workers: How many tasks it runs at once.
        request: What the encoder needs.
        known: Given some digests, returns those whose content needs no decoding, each with its
            row in the catalog if it has one. Called in the thread that iterates.
        limit: Files that are read ahead.
    """

    def __init__(
        self,
        pool: Executor,
        workers: int,
        request: ReadRequest,
        known: Callable[[Collection[bytes]], Mapping[bytes, int | None]],
        limit: int,
    ) -> None:
        self._pool = pool
        self._workers = workers
        self._request = request
        self._known = known
        self._limit = limit
        # All files that are ahead, in order, and those among them that are hashed or decoded now.
        self._slots: deque[_Slot] = deque()
        self._busy: list[_Slot] = []

    def read(self, items: Iterable[ChangedFile | SkippedPath]) -> Iterator[ReadFile | SkippedPath]:
        """Yield each file with its outcome, in order; a skipped path passes through."""
        remaining = iter(items)
        self._fill(remaining)
        while self._slots:
            self._collect()
            first = self._slots[0]
            if isinstance(first.item, SkippedPath):
                self._slots.popleft()
                yield first.item
            elif first.outcome is not None:
                self._slots.popleft()
                yield ReadFile(first.item, first.outcome)
            else:
                with span("waiting for files"):
                    futures = [slot.work for slot in self._busy if slot.work]
                    wait(futures, return_when=FIRST_COMPLETED)
            self._fill(remaining)

    def _fill(self, remaining: Iterator[ChangedFile | SkippedPath]) -> None:
        """Begin as many files as there is room for."""
        while len(self._slots) <= self._limit and self._has_room():
            item = next(remaining, None)
            if item is None:
                return
            slot = _Slot(item)
            self._slots.append(slot)
            if isinstance(item, ChangedFile):
                slot.work = self._pool.submit(hash_path, item.location)
                self._busy.append(slot)

    def _has_room(self) -> bool:
        return len(self._busy) < self._workers or (
            len(self._busy) < 2 * self._workers
            and sum(slot.size for slot in self._busy) < MAX_BYTES_AHEAD
        )

    def _collect(self) -> None:
        """Take what is done. Ask about the contents that were hashed, and decode the unknown."""
        done = [(slot, slot.work.result()) for slot in self._busy if slot.work and slot.work.done()]
        hashed = [(slot, found) for slot, found in done if isinstance(found, HashedFile)]
        # A text under an image's name may be known as the text that it is.
        digests = {found.digest for _, found in hashed if found.is_genuine}
        known = self._known(digests) if digests else {}
        for slot, found in done:
            slot.work = None
            if not isinstance(found, HashedFile):
                slot.outcome = found
            elif found.is_genuine and found.digest in known:
                slot.outcome = KnownContent(found.digest, known[found.digest])
            else:
                slot.work = self._pool.submit(run_task, ReadTask(found, self._request))
        if done:
            self._busy = [slot for slot in self._busy if slot.work]
