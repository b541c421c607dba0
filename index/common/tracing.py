"""Measure where the time of a process goes, in nested named spans of any thread.

Tracing is off by default; a span is then one call that does nothing. After :func:`start`, spans
are summed by their name and their enclosing spans: a stage that is entered a million times takes
one row. Spans of other threads than the first have rows of their own, because they run at the
same time, and their seconds are not part of the total::

    with span("session opened"):
        ...

Nothing is printed here; :func:`rows` returns the result.
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
    """The sum of all spans with one path.

    Attributes:
        path: The names of the enclosing spans, then its own.
        start: Seconds from the start of the process until it was first entered.
        seconds: Its duration, summed over all times and threads.
        times: The number of times it was left.
        is_beside: Whether it ran in another thread than the one that started recording.
    """

    __slots__ = ("is_beside", "path", "seconds", "start", "times")

    def __init__(self, path: SpanPath, start: float, *, is_beside: bool = False) -> None:
        self.path, self.start, self.is_beside = path, start, is_beside
        self.seconds, self.times = 0.0, 0


def start(modules: Iterable[str] = ()) -> None:
    """Start a new recording. Imports of these top-level modules are recorded as spans."""
    global _recorder  # noqa: PLW0603
    stop()
    _recorder = Recorder()
    sys.meta_path.insert(0, _Imports(frozenset(modules)))


def stop() -> None:
    """Stop recording, and drop the rows."""
    global _recorder  # noqa: PLW0603
    _recorder = None
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Imports)]


def span(name: str) -> AbstractContextManager[None]:
    """Return a span, nested in the open span of its thread. It does nothing if tracing is off."""
    return _OFF if _recorder is None else _Span(_recorder, name)


def rows() -> list[Row]:
    """Return the rows of all spans that were left, in the order in which they were first entered.

    Rows of other threads come last. An open span has no row yet, but the spans inside it have.
    """
    if _recorder is None:
        return []
    with _recorder.lock:
        found = [row for row in _recorder.rows.values() if row.times]
    return sorted(found, key=lambda row: row.is_beside)


def began() -> float:
    """Return the seconds from the start of the process until recording began."""
    return _recorder.began if _recorder else 0.0


def whole() -> float:
    """Return the seconds from the start of the process until now; 0 if tracing is off."""
    return _recorder.now() if _recorder else 0.0


def since_start() -> float:
    """Return the seconds of processor time since this process started, Python's start included.

    The process started before any clock here could be read. Processor time is exact to the
    microsecond on every system. The kernel's start time is exact to a hundredth of a second, or
    missing. Processor time leaves out only waiting, for example for a cold disk.
    """
    return time.process_time()


class Recorder:
    """Sums spans. Create it as early in a process as possible."""

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
        """Open a span in this thread, and return its row."""
        open_: list[Row] = self._open.__dict__.setdefault("spans", [])
        path = (*(open_[-1].path if open_ else ()), name)
        beside = threading.get_ident() != self._first
        with self.lock:
            row = self.rows.setdefault((beside, path), Row(path, self.now(), is_beside=beside))
        open_.append(row)
        return row

    def leave(self, row: Row, seconds: float) -> None:
        """Close the last span that this thread opened."""
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
    """An import finder that finds nothing itself, and times the modules that others find."""

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
