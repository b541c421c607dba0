"""A model on this machine: downloaded and compiled, if it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nmm.index.encoders.base import Model
from nmm.index.encoders.export.onnx_export import ensure_compiled, is_compiled
from nmm.index.encoders.hub.weights import is_on_this_machine
from nmm.index.encoders.registry import DEFAULT, FALLBACK
from nmm.index.encoders.runtime.backend import Backend, choose_precision
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
    """Download a model's weights, unless they are here.

    Args:
        model: Its row.
        offline: Do not use the network.
        on_event: Told of the size before, and of progress.
        stop: Set it to end the download; what is here then stays.

    Raises:
        StoppedError: `stop` was set before it was here.
        HubError: It cannot be had.
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
    """The default model, or the built-in one where the hub cannot be asked for the other.

    A download that broke off is an error and no reason to fall back: it goes on from there.
    Nor is a hub that answers and refuses.

    Raises:
        StoppedError, HubError: As of :func:`ensure_downloaded`.
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
    """Compile a model, unless it is, from weights that are downloaded, unless they are here.

    Raises:
        StoppedError, HubError: As of :func:`ensure_downloaded`.
        UsageError: It cannot run on that backend.
        ModelError: It cannot be compiled.
    """
    if not is_compiled(model):
        ensure_downloaded(model, offline=offline, on_event=on_event, stop=stop)
    precision = choose_precision(model, backend or Backend())
    if not is_compiled(model, precision):
        ensure_compiled(model, lambda: on_event(CompileStarted(model.name)), stop, precision)
        on_event(CompileFinished(model.name))
