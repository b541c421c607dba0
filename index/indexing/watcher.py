"""Watch folders, and index in bursts what changes in them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.encoders.backend import Backend
from nmm.index.errors import StoppedError, UsageError
from nmm.index.events import Event, FileSkipped, MountMissing, RootMissing, Summary, WaitingForLock
from nmm.index.indexing.indexer import Indexer
from nmm.index.indexing.options import IndexOptions
from nmm.index.indexing.request import IndexRequest, LoadedModels
from nmm.index.indexing.scopes import resolve
from nmm.index.store.catalog.writer import open_for_reading

if TYPE_CHECKING:
    from typing import TypeAlias

    from watchfiles import Change

    from nmm.index.store.layout import IndexFolder

    _Watcher: TypeAlias = Generator[set[tuple[Change, str]], None, None]

# Changes that follow each other within QUIET_MS are one burst, of at most MAX_BURST_MS.
QUIET_MS = 200
MAX_BURST_MS = 2000
# A file that could not be read is tried again after it has not changed for so many seconds: it
# may still have been written.
SETTLE_SECONDS = 1.0
# Every so many seconds, check whether another folder has the name of a watched one: a folder is
# watched, not its name, and a disk may be mounted or unmounted.
ROOT_CHECK_SECONDS = 2.0


def watch(
    paths: Sequence[Path],
    folder: IndexFolder,
    *,
    model: str | None = None,
    offline: bool = False,
    backend: Backend | None = None,
    options: IndexOptions | None = None,
    on_event: Callable[[Event], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Iterator[Summary]:
    """Bring an index up to date, and keep it up to date until `stop` is set.

    Yields the summary of the first run, then one for each burst that changed the index. The model
    stays loaded. The index is locked during a burst only; another process that writes to it is
    waited for.

    A file that cannot be read may still be being written. It is tried again when it has not
    changed for a second, and is reported as skipped only then.

    Args:
        folder, on_event, stop: See :class:`.indexer.Indexer`.
        paths, model, offline, backend, options: See :class:`.request.IndexRequest`.

    Raises:
        UsageError: See :meth:`.indexer.Indexer.run`; or the folders cannot be watched.
        NoIndexError, ModelError, CatalogError: See :meth:`.indexer.Indexer.run`.
    """
    stop = stop or threading.Event()
    backend, options = backend or Backend(), options or IndexOptions()
    request = IndexRequest(
        paths, model=model, wait=True, offline=offline, backend=backend, options=options
    )
    models, events, unsettled = LoadedModels(), _EventFilter(on_event), _UnsettledFiles()
    places = [resolve(path) for path in paths] if paths else _roots(folder)
    with closing(_changes(places, folder, stop)) as changes:
        next(changes, None)  # so that changes during the first run are not missed
        try:
            first = Indexer(folder, request, models=models, on_event=on_event, stop=stop).run()
            unsettled.know(first.skipped)
            yield first
            for changed in changes:
                if not (todo := changed | unsettled.due()):
                    continue
                burst = replace(
                    request, paths=(), changed=frozenset(todo), model=None, offline=True
                )
                summary = Indexer(
                    folder, burst, models=models, on_event=events.on_event, stop=stop
                ).run()
                summary.skipped = unsettled.settled(summary.skipped)
                for skipped in summary.skipped:
                    on_event(skipped)
                if _has_changes(summary):
                    yield summary
        except StoppedError:  # while it waited for another process
            return


def _roots(folder: IndexFolder) -> list[Path]:
    with open_for_reading(folder) as catalog:
        return [root.path for root in catalog.roots()]


def _has_changes(summary: Summary) -> bool:
    return bool(
        summary.added or summary.updated or summary.moved or summary.removed or summary.skipped
    ) or bool(summary.ocr and summary.ocr.read)


class _EventFilter:
    """Passes on the events of bursts, without progress, and each missing folder once."""

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._away: set[Event] = set()

    def on_event(self, event: Event) -> None:
        if isinstance(event, WaitingForLock):
            self._on_event(event)
        elif isinstance(event, RootMissing | MountMissing) and event not in self._away:
            self._away.add(event)
            self._on_event(event)


_Signature = tuple[int, int]


class _UnsettledFiles:
    """Files that could not be read and may still be being written."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[_Signature, float]] = {}
        self._tried: dict[Path, _Signature] = {}
        self._known: dict[Path, _Signature] = {}

    def know(self, skipped: Iterable[FileSkipped]) -> None:
        """Record files as reported."""
        for path in (Path(one.path) for one in skipped):
            if signature := _signature(path):
                self._known[path] = signature

    def settled(self, skipped: Iterable[FileSkipped]) -> list[FileSkipped]:
        """Return those of the files that a burst skipped that have to be reported now."""
        reported = []
        for one in skipped:
            path = Path(one.path)
            signature = _signature(path)
            if signature is None or self._known.get(path) == signature:
                continue
            if self._tried.get(path) == signature:
                self._known[path] = signature
                reported.append(one)
            else:
                self._seen[path] = (signature, time.monotonic())
        return reported

    def due(self) -> set[Path]:
        """Return the files that have to be tried again now; each is returned once."""
        due = set()
        self._tried.clear()
        for path, (before, since) in list(self._seen.items()):
            signature = _signature(path)
            if signature is None:
                del self._seen[path]  # the file is gone, which is reported as a change
            elif signature != before:
                self._seen[path] = (signature, time.monotonic())
            elif time.monotonic() - since >= SETTLE_SECONDS:
                del self._seen[path]
                self._tried[path] = signature
                due.add(path)
        return due


def _signature(path: Path) -> _Signature | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _changes(
    places: Sequence[Path], folder: IndexFolder, stop: threading.Event
) -> Generator[set[Path], None, None]:
    """Yield the changes at some places or below, at least every second, even if there are none."""
    known = {place: _identity(place) for place in places}
    watchers = _watchers(places, stop)
    looked = time.monotonic()
    try:
        while not stop.is_set():
            changed = {path for watcher in watchers for path in _next(watcher)}
            if not watchers:
                stop.wait(QUIET_MS / 1000)
            if time.monotonic() - looked >= ROOT_CHECK_SECONDS:
                now = {place: _identity(place) for place in places}
                if now != known:
                    renewed = _watchers(places, stop)
                    # The new watchers start before the old ones are read for the last time.
                    for watcher in [*renewed, *watchers]:
                        changed |= _next(watcher)
                    _close(watchers)
                    watchers = renewed
                    changed |= {place for place in places if now[place] != known[place]}
                    known = now
                looked = time.monotonic()
            yield {path for path in changed if not _is_own(path, folder)}
    finally:
        _close(watchers)


def _close(watchers: Iterable[_Watcher]) -> None:
    for watcher in watchers:
        watcher.close()


def _watchers(places: Sequence[Path], stop: threading.Event) -> list[_Watcher]:
    """Return watchers of the folders among some places, and of the parents of the files.

    A file is watched through its parent: a program that saves a file often makes a new one.
    """
    folders = {place for place in places if place.is_dir()}
    above = {place.parent for place in places if place.is_file()}
    return [
        _watcher(found, stop, recursive)
        for found, recursive in ((folders, True), (above, False))
        if found
    ]


def _watcher(folders: Iterable[Path], stop: threading.Event, recursive: bool) -> _Watcher:
    from watchfiles import watch as watch_files

    yield from watch_files(
        *folders,
        watch_filter=None,
        debounce=MAX_BURST_MS,
        step=QUIET_MS,
        stop_event=stop,
        rust_timeout=QUIET_MS * 2,
        yield_on_timeout=True,
        raise_interrupt=False,
        recursive=recursive,
        ignore_permission_denied=True,
    )


def _next(watcher: _Watcher) -> set[Path]:
    try:
        return {Path(path) for _, path in next(watcher, ())}
    except (OSError, RuntimeError) as error:
        raise UsageError(
            "The folders cannot be watched.",
            code="watch-failed",
            why=str(error),
            hint="On Linux, raise the limit fs.inotify.max_user_watches. Or set the environment "
            "variable WATCHFILES_FORCE_POLLING to 1, which takes more time.",
        ) from error


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # A file is watched through its folder, and may be another file after each change.
    return (found.st_dev, found.st_ino) if path.is_dir() else (0, 0)


def _is_own(path: Path, folder: IndexFolder) -> bool:
    """Return whether a change is to the index itself: each burst makes some."""
    own = folder.path.resolve()
    if path.is_relative_to(own / "vectors") or path.is_relative_to(folder.rebuild.path.resolve()):
        return True
    return path == own or (
        path.parent == own and path.name.startswith((folder.catalog.name, folder.lock.name))
    )
