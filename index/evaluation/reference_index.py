"""Indexes of the same files with other models, to compare models on a user's own data.

Each model gets its own index of the same folders. It is cached and updated the next time, which
takes as long as `nmm index`.
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
    from nmm.index.encoders.backend import Backend
    from nmm.index.events import Event, Summary


def build_reference_index(
    folder: IndexFolder,
    model: str,
    *,
    backend: Backend | None = None,
    offline: bool = False,
    on_event: Callable[[Event], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> tuple[IndexFolder, Summary | None]:
    """Build or update an index of another index's folders with a model.

    If the index has that model, it is returned itself.

    Args:
        folder: The index whose folders are indexed.
        model: The name of the model.
        backend, offline, on_event, stop: See :func:`.indexer.build`.

    Returns:
        The index, and a summary if it was built or updated.

    Raises:
        NoIndexError: There is no index, or nothing was ever indexed.
        UsageError: A folder of the index is missing.
        ModelError: The model is unknown or not available.
        IndexLockedError: Another process is updating the reference index.
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
    reference = IndexFolder(_cache_path(folder, wanted.name))
    _remove_former_roots(reference, roots)
    summary = build(
        roots,
        reference,
        model=wanted.name,
        backend=backend,
        offline=offline,
        on_event=on_event,
        stop=stop,
        wait=True,
    )
    return reference, summary


def _cache_path(folder: IndexFolder, model: str) -> Path:
    """Return where the index of a model is cached: a readable name with a unique hash."""
    source = os.path.realpath(folder.path)
    digest = hashlib.sha256(os.fsencode(f"{source}\0{model}")).hexdigest()[:12]
    return cache_folder() / "evaluated" / f"{Path(model).name}-{digest}"


def _remove_former_roots(reference: IndexFolder, roots: list[Path]) -> None:
    """Remove folders from the reference index that the source no longer has."""
    if not reference.catalog.is_file():
        return
    with open_for_reading(reference) as catalog:
        former = [root.path for root in catalog.roots()]
    if removed := [path for path in former if path not in roots]:
        remove(removed, reference, wait=Wait(threading.Event()))
