"""Choose the device and the precision that a model runs in on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.encoders.backend import Backend, Device, Precision
from nmm.index.encoders.families.adapters import adapter_of, check_precision
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from nmm.index.encoders.base import Model


def choose_device(model: Model, requested: Device) -> Device:
    """Return the device that a model runs on, which is never AUTO.

    Raises:
        UsageError: The requested device is not available, or the model cannot run on it.
    """
    if requested is Device.CPU:
        return requested
    supported = adapter_of(model).devices
    if requested is Device.AUTO:
        usable = (d for d in _candidate_devices() if d in supported and _is_available(d))
        return next(usable, Device.CPU)
    if requested not in supported:
        raise UsageError(
            f"The model {model.name} runs on the CPU only.",
            code="device-unsupported",
            why="It is an ONNX model, and nmm uses a GPU through PyTorch.",
            model=model.name,
            device=requested.value,
        )
    if not _is_available(requested):
        raise UsageError(
            f"PyTorch finds no {requested.value} device on this machine.",
            code="device-missing",
            why=f"It is PyTorch {_torch_version()}.",
            hint="Install the build of PyTorch that supports the device.",
            device=requested.value,
        )
    return requested


def check_backend(model: Model, backend: Backend) -> None:
    """Refuse a backend that a model cannot run on, before the model is downloaded for it.

    Raises:
        UsageError: The device is not available, or the model does not support it or the
            precision.
    """
    if backend.device is not Device.AUTO:  # AUTO is never refused, and would import torch
        choose_device(model, backend.device)
    check_precision(model, backend.precision)


def choose_precision(model: Model, backend: Backend) -> Precision:
    """Return the precision that a model is compiled in for a backend, which is never AUTO.

    Raises:
        UsageError: See :func:`check_backend`.
    """
    requested = backend.precision
    # On a GPU torch computes in half precision, from the weights.
    if requested is Precision.FP32 or choose_device(model, backend.device) is not Device.CPU:
        return Precision.FP32
    check_precision(model, requested)
    if requested is not Precision.AUTO:
        return requested
    from nmm.index.common.cpu_features import has_int8_dot_product

    is_faster = Precision.INT8 in adapter_of(model).precisions and has_int8_dot_product()
    return Precision.INT8 if is_faster else Precision.FP32


def available_cpus() -> int:
    """Return the number of cores that this process may use.

    Containers and taskset make it smaller than the machine's.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _candidate_devices() -> list[Device]:
    """Return the devices that may be there, without importing torch, which takes seconds."""
    if sys.platform == "darwin":
        return [Device.MPS] if os.uname().machine == "arm64" else []
    driver = "C:/Windows/System32/nvcuda.dll" if sys.platform == "win32" else "/dev/nvidiactl"
    return [Device.CUDA] if Path(driver).exists() and "+cpu" not in _torch_version() else []


def _is_available(device: Device) -> bool:
    import torch

    if device is Device.MPS:
        return torch.backends.mps.is_available()
    return torch.cuda.is_available()


def _torch_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("torch")
    except PackageNotFoundError:
        return "+cpu"
