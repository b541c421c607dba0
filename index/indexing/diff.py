"""Stage 2 of a run: find the files that have changed since they were indexed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.indexing.entries import FoundFile, SkippedEntry
from nmm.index.store.catalog.types import FileRow, Root, locate

if TYPE_CHECKING:
    from nmm.index.indexing.recorder import RunRecorder
    from nmm.index.store.catalog.writer import CatalogWriter

# Files that the catalog is asked about at once.
LOOKUP_SIZE = 1000


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file that has to be read.

    Attributes:
        root, path: Its place in the catalog.
        size, mtime_ns: As the walk found them.
        row: What the catalog knows about the file; None if it is new.
    """

    root: Root
    path: str
    size: int
    mtime_ns: int
    row: FileRow | None = None

    @property
    def location(self) -> Path:
        """Its absolute path."""
        return Path(locate(str(self.root.path), self.path))


@dataclass(frozen=True, slots=True)
class SkippedPath:
    """A file or a folder that the walk could not read."""

    root: Root
    path: str
    reason: str


def find_changed(
    found: Iterable[tuple[Root, FoundFile | SkippedEntry]],
    writer: CatalogWriter,
    recorder: RunRecorder,
) -> Iterator[ChangedFile | SkippedPath]:
    """Yield the files to be read and the paths to be reported, in the order of the walk.

    Unchanged files are marked as seen, and end here. A file that was skipped before is tried
    again: permissions and options change no time stamp.
    """
    for root, entries in _groups(found, LOOKUP_SIZE):
        known = writer.file_rows(
            root, [entry.path for entry in entries if isinstance(entry, FoundFile)]
        )
        unchanged: list[FileRow] = []
        for entry in entries:
            if isinstance(entry, SkippedEntry):
                if entry.is_dir:
                    recorder.unseen.add((root, entry.path))
                yield SkippedPath(root, entry.path, entry.reason)
                continue
            row = known.get(entry.path)
            if (
                row is None
                or row.status == "skipped"
                or (row.size, row.mtime_ns) != (entry.size, entry.mtime_ns)
            ):
                yield ChangedFile(root, entry.path, entry.size, entry.mtime_ns, row)
            else:
                unchanged.append(row)
                recorder.unchanged(root, entry.path, is_indexed=row.status == "indexed")
        writer.mark_seen(unchanged)


def _groups(
    found: Iterable[tuple[Root, FoundFile | SkippedEntry]], size: int
) -> Iterator[tuple[Root, list[FoundFile | SkippedEntry]]]:
    """Yield consecutive entries of one root, at most `size` together."""
    for root, pairs in groupby(found, itemgetter(0)):
        while group := [entry for _, entry in islice(pairs, size)]:
            yield root, group
