"""A model on this machine: downloaded and compiled, if it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nmm.index.encoders.compile import ensure_compiled, is_compiled
from nmm.index.encoders.registry import DEFAULT, FALLBACK, Model
from nmm.index.encoders.weights import is_on_this_machine
from nmm.index.errors import HubError, UnreachableError
from nmm.index.events import Downloaded, Downloading, Event, FellBack, Prepared, Preparing

if TYPE_CHECKING:
    import threading


def obtain(
    model: Model,
    *,
    offline: bool = False,
    on_event: Callable[[Event], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> None:
    """Download a model, unless it is here.

    Args:
        model: Its row.
        offline: Do not use the network.
        on_event: Told of the size before, and of progress.
        stop: Set it to end the download; what is here then stays.

    Raises:
        StoppedError: `stop` was set before it was here.
        HubError: It cannot be had.
    """
    if is_here(model):
        return
    if offline:
        raise UnreachableError(
            f"The model {model.name} is not on this machine.",
            why="The network was not to be used: --offline was given.",
            hint=f"Download it with: nmm models pull {model.name}",
        )
    from nmm.index.encoders.hub import download, look_up

    found = look_up(model)
    on_event(Downloading(model.name, found.size, found.missing()))

    def on_progress(here: int) -> None:
        on_event(Downloaded(model.name, here, found.size))

    download(found, on_progress=on_progress, stop=stop)


def obtain_default(
    *,
    offline: bool = False,
    on_event: Callable[[Event], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Model:
    """The default model, or the built-in one where the hub cannot be asked for the other.

    A download that broke off is an error and no reason to fall back: it goes on from there.

    Raises:
        StoppedError, HubError: As of :func:`obtain`.
    """
    begun = False

    def watch(event: Event) -> None:
        nonlocal begun
        begun = True
        on_event(event)

    try:
        obtain(DEFAULT, offline=offline, on_event=watch, stop=stop)
    except HubError as error:
        if begun:
            raise
        on_event(FellBack(FALLBACK.name, DEFAULT.name, error.why or error.what))
        return FALLBACK
    return DEFAULT


def prepare(
    model: Model,
    *,
    offline: bool = False,
    on_event: Callable[[Event], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> None:
    """Download a model, unless it is here, and compile it, unless it is.

    Raises:
        StoppedError, HubError: As of :func:`obtain`.
        ModelError: It cannot be compiled.
    """
    obtain(model, offline=offline, on_event=on_event, stop=stop)
    if not is_compiled(model):
        ensure_compiled(model, lambda: on_event(Preparing(model.name)), stop)
        on_event(Prepared(model.name))


def is_here(model: Model) -> bool:
    """Whether a model can be used without the network."""
    return is_compiled(model) or not model.sources or is_on_this_machine(model)
