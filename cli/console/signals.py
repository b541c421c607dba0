"""Ctrl-C and SIGTERM, made into an event that the engine looks at between its steps."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def interrupt_on_sigterm() -> None:
    """Have SIGTERM end the process as Ctrl-C does, so that what was half written is deleted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second one interrupts whatever is going on."""
    stop = threading.Event()

    def on_signal(number: int, _: object) -> None:
        signal.signal(number, signal.default_int_handler)
        stop.set()
        # Not through a stream, which may be in the midst of printing.
        os.write(2, b"\nStopping: what is going on is finished, and what is done is kept.\n")

    former = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
