"""Ctrl-C and SIGTERM, turned into an event that the engine checks between its steps."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def interrupt_on_sigterm() -> None:
    """Make SIGTERM interrupt the process as Ctrl-C does, so that unfinished files are deleted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set. A second signal interrupts at once."""
    stop = threading.Event()

    def on_signal(number: int, _: object) -> None:
        signal.signal(number, signal.default_int_handler)
        stop.set()
        # Not through a stream, which may be printing at this moment.
        os.write(2, b"\nStopping after the current step. Finished work is kept.\n")

    former = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
