"""The tags of an index: given by a classification, listed and taken away."""

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
    """The labels that files of an index have, the commonest first.

    Raises:
        NoIndexError: There is no index.
        CatalogError: The catalog cannot be read.
    """
    with open_for_reading(folder) as catalog:
        return stored.tags(catalog)


def give_tags(
    given: Sequence[tuple[Item, str | None]],
    labels: Sequence[str],
    folder: IndexFolder,
    *,
    wait: Wait | None = None,
) -> None:
    """Give files one of some labels each, in the place of another of these; all, or none.

    Args:
        given: Files, each with its label, or None for one that gets none.
        labels: Those that there were to choose from.
        folder: Of the index.
        wait: Wait for another process that writes to the index.

    Raises:
        NoIndexError: There is no index.
        IndexLockedError: Another process is writing to the index, and `wait` is not given.
        StoppedError: The wait was stopped.
        CatalogError: The catalog cannot be read or written.
    """
    with open_for_writing(folder.existing(), wait) as writer:
        stored.give(writer, labels, [(item.hash, label) for item, label in given])


def remove_tags(labels: Sequence[str], folder: IndexFolder, *, wait: Wait | None = None) -> int:
    """Take labels from all files that have them; returns how many files that were.

    Raises:
        NoIndexError: There is no index.
        UsageError: No file has one of the labels; then nothing is changed.
        IndexLockedError, StoppedError, CatalogError: As of :func:`give_tags`.
    """
    with open_for_writing(folder.existing(), wait) as writer:
        # As SQLite compares them: of bytes, A to Z are made small and nothing else.
        known = {tag.label.encode().lower() for tag in stored.tags(writer)}
        for label in labels:
            if label.encode().lower() not in known:
                raise UsageError(f"No file has the tag {label!r}.", code="tag-unknown", tag=label)
        return stored.take_away(writer, labels)
