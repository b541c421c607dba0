"""What images say of themselves, read later: of an index that an older nmm has filled.

Headers are read and nothing is embedded. It goes on where it was when it was stopped.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.errors import MediaError, UnreadableError
from nmm.index.events import MetadataBackfillStarted
from nmm.index.media.base import NO_METADATA, Metadata
from nmm.index.media.image.files import read_metadata
from nmm.index.store.catalog.missing_metadata import (
    FileCopy,
    count_without_metadata,
    images_without_metadata,
    save_metadata,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from nmm.index.events import Event
    from nmm.index.store.catalog.writer import CatalogWriter

# Images whose details are committed together.
BATCH = 256
# Threads: what a header takes is mostly waiting for the disk.
THREADS = 4


def read_missing_metadata(
    writer: CatalogWriter, on_event: Callable[[Event], None], stop: threading.Event
) -> bool:
    """Read what images say that the run has met, as far as an older nmm did not.

    Of files that are unchanged since they were indexed; what cannot be read now, the next run
    reads. Returns whether it came to its end before `stop` was set.

    Raises:
        CatalogError: SQLite cannot read or write the catalog.
    """
    if not (count := count_without_metadata(writer)):
        return True
    on_event(MetadataBackfillStarted(count))
    last = 0
    with ThreadPoolExecutor(THREADS, "nmm-metadata") as pool:
        while contents := images_without_metadata(writer, last, BATCH):
            if stop.is_set():
                return False
            last = max(contents)
            found = zip(contents, pool.map(_metadata, contents.values()), strict=True)
            save_metadata(
                writer,
                {
                    content: (said.latitude, said.longitude, said.camera, said.caption)
                    for content, said in found
                    if said is not None
                },
            )
    return True


def _metadata(copies: list[FileCopy]) -> Metadata | None:
    """Those of one content, which several files may hold; None if none of them can be read."""
    return next(filter(None, map(_read, copies)), None)


def _read(copy: FileCopy) -> Metadata | None:
    try:
        return read_metadata(Path(copy.path), copy.size, copy.mtime_ns)
    except UnreadableError:
        return None
    except MediaError:
        return NO_METADATA
