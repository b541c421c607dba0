"""Load the encoder of a model for a device, and compile it first if needed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nmm.index.encoders.backend import Backend, Device
from nmm.index.encoders.export.compiler import ensure_compiled
from nmm.index.encoders.runtime.batching import BatchedEncoder
from nmm.index.encoders.runtime.devices import choose_device, choose_precision
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder, Workload

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from nmm.index.encoders.base import Model


def load_encoder(
    model: Model,
    *,
    backend: Backend | None = None,
    workload: Workload = Workload.INDEXING,
    on_compile: Callable[[], None] = lambda: None,
    stop: Event | None = None,
) -> BatchedEncoder:
    """Return the encoder of a model, compiled first if needed.

    Nothing is downloaded: see :mod:`nmm.index.encoders.provision`.

    Args:
        model: The row.
        backend: The device, threads and precision; if not given, the defaults.
        workload: What the encoder is for.
        on_compile: Called before the model is compiled.
        stop: Set it to end compiling.

    Raises:
        StoppedError: `stop` was set before the model was compiled.
        UsageError: The device is not available, or the model does not support it or the
            precision.
        ModelError: The model is not on this machine or cannot be compiled.
    """
    backend = backend or Backend()
    is_single = workload is Workload.SINGLE_QUERY
    # A single query is embedded on the CPU before torch would even be imported.
    device = Device.CPU if is_single else choose_device(model, backend.device)
    precision = choose_precision(model, replace(backend, device=device))
    folder = ensure_compiled(model, on_compile, stop, precision)
    if device is not Device.CPU:
        from nmm.index.encoders.runtime.torch_encoder import TorchEncoder

        return TorchEncoder(model, folder, device)
    return OnnxEncoder(model, folder, workload=workload, threads=backend.threads)
