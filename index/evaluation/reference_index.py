"""The files of an index embedded with other models, to compare these on one's own data.

Each model has an index of its own, of the same folders, which is kept in the cache for the next
time and then brought up to date: what it takes is what `nmm index` would.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.encoders.hub.cache_dirs import cache_folder
from nmm.index.encoders.resolve import find_model
from nmm.index.errors import NoIndexError
from nmm.index.indexing.indexer import build
from nmm.index.maintenance.remove import remove
from nmm.index.store.catalog.writer import open_for_reading
from nmm.index.store.layout import IndexFolder
from nmm.index.store.lock import Wait

if TYPE_CHECKING:
    from nmm.index.encoders.runtime.backend import Backend
    from nmm.index.events import Event, Summary


def index_with(
    folder: IndexFolder,
    model: str,
    *,
    backend: Backend | None = None,
    offline: bool = False,
    on_event: Callable[[Event], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> tuple[IndexFolder, Summary | None]:
    """An index of what is in another one, with a model; that one itself, if it has the model.

    Args:
        folder: The index whose folders are taken.
        model: A model's name.
        backend, offline, on_event, stop: As of :func:`.build.build`.

    Returns:
        The index, and what was done to make it or to bring it up to date, if anything was.

    Raises:
        NoIndexError: There is no index, or nothing was ever indexed.
        UsageError: A folder of it is not there.
        ModelError: The model is unknown, or cannot be had.
        IndexLockedError: Another process brings it up to date.
        CatalogError: A catalog cannot be read or written.
    """
    wanted = find_model(model)
    with open_for_reading(folder) as catalog:
        settings = catalog.settings()
        roots = [root.path for root in catalog.roots()]
    if settings is None or not roots:
        raise NoIndexError(
            f"The index in {folder.path} is empty.", code="index-empty", path=folder.path
        )
    if settings.model == wanted.name:
        return folder, None
    kept = IndexFolder(_place(folder, wanted.name))
    _forget_others(kept, roots)
    summary = build(
        roots,
        kept,
        model=wanted.name,
        backend=backend,
        offline=offline,
        on_event=on_event,
        stop=stop,
        wait=True,
    )
    return kept, summary


def _place(folder: IndexFolder, model: str) -> Path:
    """Where the index of a model is kept: named for people, and told apart by a hash."""
    of = os.path.realpath(folder.path)
    digest = hashlib.sha256(os.fsencode(f"{of}\0{model}")).hexdigest()[:12]
    return cache_folder() / "evaluated" / f"{Path(model).name}-{digest}"


def _forget_others(kept: IndexFolder, roots: list[Path]) -> None:
    """Take out of a kept index what the other one does not have any more."""
    if not kept.catalog.is_file():
        return
    with open_for_reading(kept) as catalog:
        former = [root.path for root in catalog.roots()]
    if gone := [path for path in former if path not in roots]:
        remove(gone, kept, wait=Wait(threading.Event()))
