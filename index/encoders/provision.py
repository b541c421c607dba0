"""Provide a model on this machine: download and compile it if needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nmm.index.encoders.backend import Backend
from nmm.index.encoders.base import Model
from nmm.index.encoders.export.compiler import ensure_compiled
from nmm.index.encoders.hub.compiled import is_compiled
from nmm.index.encoders.hub.weights import is_on_this_machine
from nmm.index.encoders.registry import DEFAULT, FALLBACK
from nmm.index.encoders.runtime.devices import choose_precision
from nmm.index.errors import UnreachableError
from nmm.index.events import (
    CompileFinished,
    CompileStarted,
    DownloadProgress,
    DownloadStarted,
    Event,
    FallbackModelUsed,
)

if TYPE_CHECKING:
    import threading


def ensure_downloaded(
    model: Model,
    *,
    offline: bool = False,
    on_event: Callable[[Event], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> None:
    """Download a model's weights, unless they are on this machine.

    Args:
        model: The row.
        offline: Do not use the network.
        on_event: Called with the size before the download, and with its progress.
        stop: Set it to end the download. Downloaded bytes stay.

    Raises:
        StoppedError: `stop` was set before the download was complete.
        HubError: The hub does not provide the weights.
    """
    if not model.sources or is_on_this_machine(model):
        return
    if offline:
        raise UnreachableError(
            f"The model {model.name} is not on this machine.",
            code="model-not-downloaded-offline",
            why="Network access is switched off.",
            model=model.name,
        )
    from nmm.index.encoders.hub.repository import download_model, query_hub

    found = query_hub(model)
    on_event(DownloadStarted(model.name, found.size, found.missing()))

    def on_progress(here: int) -> None:
        on_event(DownloadProgress(model.name, here, found.size))

    download_model(found, on_progress=on_progress, stop=stop)


def ensure_default_downloaded(
    *,
    offline: bool = False,
    on_event: Callable[[Event], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Model:
    """Return the default model, or the built-in one if the hub cannot be reached.

    An interrupted download is an error, not a reason to fall back: the next run resumes it. A
    hub that answers and refuses is an error too.

    Raises:
        StoppedError, HubError: See :func:`ensure_downloaded`.
    """
    begun = False

    def watch(event: Event) -> None:
        nonlocal begun
        begun = True
        on_event(event)

    try:
        if not is_compiled(DEFAULT):
            ensure_downloaded(DEFAULT, offline=offline, on_event=watch, stop=stop)
    except UnreachableError as error:
        if begun:
            raise
        # Offline, "is not on this machine" is no news: the reason says enough.
        why = error.why if offline else f"{error.what} {error.why}"
        on_event(FallbackModelUsed(FALLBACK.name, DEFAULT.name, why))
        return FALLBACK
    return DEFAULT


def prepare(
    model: Model,
    *,
    backend: Backend | None = None,
    offline: bool = False,
    on_event: Callable[[Event], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> None:
    """Download a model and compile it for a backend, where that was not done before.

    Raises:
        StoppedError, HubError: See :func:`ensure_downloaded`.
        UsageError: The model cannot run on that backend.
        ModelError: It cannot be compiled.
    """
    if not is_compiled(model):
        ensure_downloaded(model, offline=offline, on_event=on_event, stop=stop)
    precision = choose_precision(model, backend or Backend())
    if not is_compiled(model, precision):
        ensure_compiled(model, lambda: on_event(CompileStarted(model.name)), stop, precision)
        on_event(CompileFinished(model.name))
