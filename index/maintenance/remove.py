"""Removes files from an index; they stay on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.errors import UsageError
from nmm.index.store.catalog.removal import drop_orphans, forget, holds
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.vectors.factory import open_vector_index

if TYPE_CHECKING:
    from nmm.index.store.layout import IndexFolder
    from nmm.index.store.lock import Wait


def remove(paths: Sequence[Path], folder: IndexFolder, *, wait: Wait | None = None) -> int:
    """Remove files, and all files below folders, from an index.

    A path need not exist on disk. Roots at or below a path are removed too.

    Returns:
        The number of files that were removed.

    Raises:
        NoIndexError: There is no index.
        UsageError: The index holds nothing at one of the paths; nothing is removed.
        IndexLockedError: Another process is writing to the index, and `wait` is not given.
        StoppedError: The wait was stopped.
        CatalogError: The catalog cannot be read or written.
    """
    removed = 0
    with open_for_writing(folder.existing(), wait) as writer:
        resolved = []
        for path in paths:
            # As a search prints it, which may contain links; otherwise with links resolved.
            given = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100
            resolved.append(given if holds(writer, given) else path.expanduser().resolve())
            if not holds(writer, resolved[-1]):
                raise UsageError(
                    f"The index holds nothing at {resolved[-1]}.",
                    code="path-not-indexed",
                    path=resolved[-1],
                )
        for path in resolved:
            removed += forget(writer, path)
        drop_orphans(writer)
        open_vector_index(folder, writer).sync(writer)
    return removed
