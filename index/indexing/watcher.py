"""Keeping an index current: the folders are watched, and what changes is indexed in bursts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.encoders.backend import Backend
from nmm.index.errors import StoppedError, UsageError
from nmm.index.events import Event, FileSkipped, MountMissing, RootMissing, Summary, WaitingForLock
from nmm.index.indexing.indexer import Kept, build, build_changed
from nmm.index.indexing.options import IndexOptions
from nmm.index.indexing.scopes import resolve
from nmm.index.store.catalog.writer import open_for_reading

if TYPE_CHECKING:
    from typing import TypeAlias

    from watchfiles import Change

    from nmm.index.store.layout import IndexFolder

    _Watcher: TypeAlias = Generator[set[tuple[Change, str]], None, None]

# Changes that follow each other within QUIET are one burst, up to LONGEST. In milliseconds.
QUIET = 200
LONGEST = 2000
# Seconds for which a file that could not be read has to stay as it is, to be no file that
# is still being written.
SETTLED = 1.0
# Seconds after which is looked whether a place is another folder now: what is watched is
# the folder, not its name, and a disk may be mounted, or be gone.
LOOK_AGAIN = 2.0


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
    """Bring an index up to date, then keep it so until `stop` is set.

    Yields the summary of the first run, then one for each burst of changes that changed
    the index. The model stays loaded. The index is locked during a burst only; one that
    another process writes to is waited for.

    A file that cannot be read may be one that is still being written: it is looked at again
    once it has stayed the same for a second, and is told as skipped only then.

    Args:
        paths: Files and folders; if empty, all roots that the index has.
        folder, model, offline, backend, options, on_event, stop: As of :func:`.build.build`.

    Raises:
        UsageError: As of :func:`.build.build`; or the folders cannot be watched.
        NoIndexError, ModelError, CatalogError: As of :func:`.build.build`.
    """
    stop = stop or threading.Event()
    backend, options = backend or Backend(), options or IndexOptions()
    kept, told, unsettled = Kept(), _Told(on_event), _Unsettled()
    places = [resolve(path) for path in paths] if paths else _roots(folder)
    with closing(_changes(places, folder, stop)) as changes:
        next(changes, None)  # what changes during the first run is not missed
        try:
            first = build(
                paths,
                folder,
                model=model,
                offline=offline,
                backend=backend,
                options=options,
                on_event=on_event,
                stop=stop,
                wait=True,
                kept=kept,
            )
            unsettled.know(first.skipped)
            yield first
            for changed in changes:
                if not (todo := changed | unsettled.due()):
                    continue
                summary = build_changed(
                    todo,
                    folder,
                    kept=kept,
                    backend=backend,
                    options=options,
                    on_event=told.on_event,
                    stop=stop,
                )
                summary.skipped = unsettled.settled(summary.skipped)
                for skipped in summary.skipped:
                    on_event(skipped)
                if _says_something(summary):
                    yield summary
        except StoppedError:  # while it waited for another process
            return


def _roots(folder: IndexFolder) -> list[Path]:
    with open_for_reading(folder) as catalog:
        return [root.path for root in catalog.roots()]


def _says_something(summary: Summary) -> bool:
    return bool(
        summary.added or summary.updated or summary.moved or summary.removed or summary.skipped
    ) or bool(summary.ocr and summary.ocr.read)


class _Told:
    """Passes on what a burst tells, but nothing twice, and no progress."""

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


class _Unsettled:
    """Files that could not be read, until they have stayed the same and were tried once more."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[_Signature, float]] = {}
        self._tried: dict[Path, _Signature] = {}
        self._known: dict[Path, _Signature] = {}

    def know(self, skipped: Iterable[FileSkipped]) -> None:
        """Take files as told."""
        for path in (Path(one.path) for one in skipped):
            if signature := _signature(path):
                self._known[path] = signature

    def settled(self, skipped: Iterable[FileSkipped]) -> list[FileSkipped]:
        """Those of the files that a burst skipped that are to be told; of others, wait and see."""
        told = []
        for one in skipped:
            path = Path(one.path)
            signature = _signature(path)
            if signature is None or self._known.get(path) == signature:
                continue
            if self._tried.get(path) == signature:
                self._known[path] = signature
                told.append(one)
            else:
                self._seen[path] = (signature, time.monotonic())
        return told

    def due(self) -> set[Path]:
        """The files that are to be tried now; each is returned once."""
        due = set()
        self._tried.clear()
        for path, (before, since) in list(self._seen.items()):
            signature = _signature(path)
            if signature is None:
                del self._seen[path]  # it is gone, which is a change of its own
            elif signature != before:
                self._seen[path] = (signature, time.monotonic())
            elif time.monotonic() - since >= SETTLED:
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
    """Yield what changed at some places or below, at least every second, also if nothing did."""
    known = {place: _identity(place) for place in places}
    watchers = _watchers(places, stop)
    looked = time.monotonic()
    try:
        while not stop.is_set():
            changed = {path for watcher in watchers for path in _next(watcher)}
            if not watchers:
                stop.wait(QUIET / 1000)
            if time.monotonic() - looked >= LOOK_AGAIN:
                now = {place: _identity(place) for place in places}
                if now != known:
                    renewed = _watchers(places, stop)
                    # The new ones begin before the old ones have told all that they saw.
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
    """What watches the folders among some places, and those that the single files are in.

    A file that is written anew is often another file with its name.
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
        debounce=LONGEST,
        step=QUIET,
        stop_event=stop,
        rust_timeout=QUIET * 2,
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
    # A file is watched through its folder, and may be another at every change.
    return (found.st_dev, found.st_ino) if path.is_dir() else (0, 0)


def _is_own(path: Path, folder: IndexFolder) -> bool:
    """Whether a change is one of the index itself, which each burst makes."""
    own = folder.path.resolve()
    if path.is_relative_to(own / "vectors") or path.is_relative_to(folder.rebuild.path.resolve()):
        return True
    return path == own or (
        path.parent == own and path.name.startswith((folder.catalog.name, folder.lock.name))
    )
