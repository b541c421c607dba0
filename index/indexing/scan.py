"""Stage 1 of a run: walk the scopes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.errors import UsageError
from nmm.index.indexing.entries import FoundFile, SkippedEntry
from nmm.index.indexing.scopes import Scope, is_there
from nmm.index.indexing.walk import walk
from nmm.index.store.catalog.types import Root, locate
from nmm.index.store.layout import IndexFolder

if TYPE_CHECKING:
    from nmm.index.indexing.options import IndexOptions


def walk_scopes(
    scopes: Iterable[Scope],
    own: IndexFolder,
    options: IndexOptions,
    stop: threading.Event,
    on_mount: Callable[[Root, str], None] = lambda _root, _path: None,
) -> Iterator[tuple[Root, FoundFile | SkippedEntry]]:
    """Yield what the walks of some scopes meet, in order, without the index itself.

    Args:
        scopes: Where to walk.
        own: The index. It may lie in a folder that is indexed, and changes while it is written.
        options: How to walk.
        stop: Ends the walk when it is set.
        on_mount: Called with each folder on another disk than its parent, before the files in it.

    Raises:
        UsageError: An option is wrong.
    """
    own = IndexFolder(own.path.resolve())
    own_prefix = str(own.path)
    for root, start in scopes:
        try:
            entries = walk(
                root.path,
                start,
                exclude=options.exclude,
                hidden=options.hidden,
                follow_symlinks=options.follow_symlinks,
                on_mount=partial(on_mount, root),
            )
        except UsageError:
            if is_there(Path(locate(str(root.path), start))):
                raise
            # It was removed after the run had begun.
            entries = iter([SkippedEntry(start, "no longer there", is_dir=True)])
        for entry in entries:
            if stop.is_set():
                return
            path = locate(str(root.path), entry.path)
            # The prefix is tested first for speed: most files lie elsewhere.
            if not (path.startswith(own_prefix) and own.owns(Path(path))):
                yield root, entry
