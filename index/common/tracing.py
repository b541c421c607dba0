"""Where the time of a process goes: named spans, nested, in whatever thread they are.

Off, which is the rule, a span is one call that does nothing. After :func:`start` spans are added
up by name and by what they are in: a stage that is entered a million times takes one row. What is
done in another thread than the first stands apart, for it is done meanwhile, and its seconds are
no part of those of the whole::

    with span("session opened"):
        ...

Nothing is printed here: :func:`rows` says what was found.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    SpanPath = tuple[str, ...]

_OFF: AbstractContextManager[None] = nullcontext()
_recorder: Recorder | None = None


class Row:
    """What is known of a span.

    Attributes:
        path: Its name, after those of the spans that it is in.
        start: Seconds from the start of the process to where it was first entered.
        seconds: How long it took, summed over all times, and over threads.
        times: How often it was left.
        is_beside: Whether it was in another thread than that which began to record.
    """

    __slots__ = ("is_beside", "path", "seconds", "start", "times")

    def __init__(self, path: SpanPath, start: float, *, is_beside: bool = False) -> None:
        self.path, self.start, self.is_beside = path, start, is_beside
        self.seconds, self.times = 0.0, 0


def start(modules: Iterable[str] = ()) -> None:
    """Record from now on, anew; and what importing these top-level modules takes, as spans."""
    global _recorder  # noqa: PLW0603
    stop()
    _recorder = Recorder()
    sys.meta_path.insert(0, _Imports(frozenset(modules)))


def stop() -> None:
    """Record no more, and forget what was."""
    global _recorder  # noqa: PLW0603
    _recorder = None
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Imports)]


def span(name: str) -> AbstractContextManager[None]:
    """A span of that name, in that which its thread is in; nothing while nothing is recorded."""
    return _OFF if _recorder is None else _Span(_recorder, name)


def rows() -> list[Row]:
    """All spans that were left, in the order in which they were first entered.

    Those of other threads come last. What is open is not in it, but what was in that is.
    """
    if _recorder is None:
        return []
    with _recorder.lock:
        found = [row for row in _recorder.rows.values() if row.times]
    return sorted(found, key=lambda row: row.is_beside)


def began() -> float:
    """Seconds from the start of the process until recording began."""
    return _recorder.began if _recorder else 0.0


def whole() -> float:
    """Seconds from the start of the process until now; 0 while nothing is recorded."""
    return _recorder.now() if _recorder else 0.0


def since_start() -> float:
    """Seconds of computing since this process began, Python's own start included.

    It began before any clock here could be read. What a process has computed says it to the
    microsecond on every system, where the kernel's time of birth is a hundredth of a second
    coarse, or not there; it leaves out only what was waited for, as for a cold disk.
    """
    return time.process_time()


class Recorder:
    """Adds spans up. `Recorder()` is made as early in a process as can be."""

    def __init__(self) -> None:
        self.began = since_start()
        self._zero = time.perf_counter() - self.began
        self._first = threading.get_ident()
        self._open = threading.local()
        self.lock = threading.Lock()
        self.rows: dict[tuple[bool, SpanPath], Row] = {}

    def now(self) -> float:
        return time.perf_counter() - self._zero

    def enter(self, name: str) -> Row:
        """Open a span in this thread."""
        open_: list[Row] = self._open.__dict__.setdefault("spans", [])
        path = (*(open_[-1].path if open_ else ()), name)
        beside = threading.get_ident() != self._first
        with self.lock:
            row = self.rows.setdefault((beside, path), Row(path, self.now(), is_beside=beside))
        open_.append(row)
        return row

    def leave(self, row: Row, seconds: float) -> None:
        """Close the span that this thread opened last."""
        self._open.spans.pop()
        with self.lock:
            row.seconds += seconds
            row.times += 1


class _Span(AbstractContextManager[None]):
    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder, self._name = recorder, name

    def __enter__(self) -> None:
        self._row = self._recorder.enter(self._name)
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._recorder.leave(self._row, time.perf_counter() - self._started)


class _Imports:
    """A finder that finds nothing itself: it has what others find timed when it is run."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._names:
            return None
        from importlib.machinery import PathFinder

        found = PathFinder.find_spec(name, path, target)
        if found is not None and found.loader is not None:
            _time(found.loader, name)
        return found


def _time(loader: Any, name: str) -> None:
    run = loader.exec_module

    def timed(module: ModuleType) -> None:
        with span(f"import {name}"):
            run(module)

    loader.exec_module = timed
