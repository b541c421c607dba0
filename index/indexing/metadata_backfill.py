"""Read the metadata of images that an older nmm indexed without it.

Only headers are read, and nothing is embedded. An interrupted backfill is continued.
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

# Images whose metadata is committed together.
COMMIT_SIZE = 256
# Reading a header is mostly waiting for the disk.
READ_THREADS = 4


def read_missing_metadata(
    writer: CatalogWriter, on_event: Callable[[Event], None], stop: threading.Event
) -> bool:
    """Read the missing metadata of the images that the run has seen.

    Only files that have not changed since they were indexed are read. The next run tries again to
    read what cannot be read now.

    Returns:
        Whether all were tried before `stop` was set.

    Raises:
        CatalogError: SQLite cannot read or write the catalog.
    """
    if not (count := count_without_metadata(writer)):
        return True
    on_event(MetadataBackfillStarted(count))
    last = 0
    with ThreadPoolExecutor(READ_THREADS, "nmm-metadata") as pool:
        while contents := images_without_metadata(writer, last, COMMIT_SIZE):
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
    """Return the metadata of a content from any of its files; None if none can be read."""
    return next(filter(None, map(_read, copies)), None)


def _read(copy: FileCopy) -> Metadata | None:
    try:
        return read_metadata(Path(copy.path), copy.size, copy.mtime_ns)
    except UnreadableError:
        return None
    except MediaError:
        return NO_METADATA
