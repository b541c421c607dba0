"""Tags of an index: assigned by a classification, listed and removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import nmm.index.store.catalog.tags as stored
from nmm.index.errors import UsageError
from nmm.index.store.catalog.writer import open_for_reading, open_for_writing

if TYPE_CHECKING:
    from nmm.index.store.catalog.file_vectors import Item
    from nmm.index.store.catalog.tags import Tag
    from nmm.index.store.layout import IndexFolder
    from nmm.index.store.lock import Wait


def list_tags(folder: IndexFolder) -> list[Tag]:
    """Return the tags of an index, the most frequent first.

    Raises:
        NoIndexError: There is no index.
        CatalogError: The catalog cannot be read.
    """
    with open_for_reading(folder) as catalog:
        return stored.tags(catalog)


def assign_tags(
    assignments: Sequence[tuple[Item, str | None]],
    labels: Sequence[str],
    folder: IndexFolder,
    *,
    wait: Wait | None = None,
) -> None:
    """Replace the tags of files, in one transaction.

    Args:
        assignments: Files, each with its new tag, or None for no tag.
        labels: The tags that are replaced. Other tags of the files stay.
        folder: The index.
        wait: Wait for another process that writes to the index.

    Raises:
        NoIndexError: There is no index.
        IndexLockedError: Another process is writing to the index, and `wait` is not given.
        StoppedError: The wait was stopped.
        CatalogError: The catalog cannot be read or written.
    """
    with open_for_writing(folder.existing(), wait) as writer:
        stored.give(writer, labels, [(item.hash, label) for item, label in assignments])


def remove_tags(labels: Sequence[str], folder: IndexFolder, *, wait: Wait | None = None) -> int:
    """Remove tags from all files; return the number of files that had one.

    Raises:
        NoIndexError: There is no index.
        UsageError: No file has one of the tags. Nothing is changed then.
        IndexLockedError, StoppedError, CatalogError: See :func:`assign_tags`.
    """
    with open_for_writing(folder.existing(), wait) as writer:
        # SQLite ignores the case of A to Z only.
        known = {tag.label.encode().lower() for tag in stored.tags(writer)}
        for label in labels:
            if label.encode().lower() not in known:
                raise UsageError(f"No file has the tag {label!r}.", code="tag-unknown", tag=label)
        return stored.take_away(writer, labels)
