"""Load a model's encoder for a device, and compile it first if needed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nmm.index.encoders.export.onnx_export import (
    ensure_compiled,
)
from nmm.index.encoders.runtime.backend import (
    Backend,
    Device,
    choose_device,
    choose_precision,
)
from nmm.index.encoders.runtime.batching import BatchedEncoder
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
    """The encoder of a model, compiled first if it never was; `on_compile` is told.

    Nothing is downloaded: see :mod:`nmm.index.encoders.provision`.

    Raises:
        StoppedError: `stop` was set before it was compiled.
        UsageError: The device is not there, or the model cannot run on it, or not in that
            precision.
        ModelError: The model is not on this machine or cannot be compiled.
    """
    backend = backend or Backend()
    # One query is embedded on a CPU before torch is even imported.
    device = (
        Device.CPU if workload is Workload.SINGLE_QUERY else choose_device(model, backend.device)
    )
    precision = choose_precision(model, replace(backend, device=device))
    folder = ensure_compiled(model, on_compile, stop, precision)
    if device is not Device.CPU:
        from nmm.index.encoders.runtime.torch_encoder import TorchEncoder

        return TorchEncoder(model, folder, device)
    if model.definition is None:
        from nmm.index.encoders.runtime.graph_encoder import GraphEncoder  # which is an OnnxEncoder

        return GraphEncoder(model, folder, workload=workload, threads=backend.threads)
    return OnnxEncoder(model, folder, workload=workload, threads=backend.threads)
