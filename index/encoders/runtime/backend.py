"""Where and how a model computes: the device, the threads, the precision."""

from __future__ import annotations

import enum
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from nmm.index.encoders.base import Model


class Device(str, enum.Enum):
    """What computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Precision(str, enum.Enum):
    """What a CPU computes with."""

    FP32 = "fp32"
    INT8 = "int8"
    AUTO = "auto"


# Those that a model is compiled in.
COMPILED_PRECISIONS = Precision.FP32, Precision.INT8


@dataclass(frozen=True)
class Backend:
    """Where and how a model computes.

    Attributes:
        device: AUTO is a GPU that torch can use, else the CPU.
        threads: On the CPU; None for as many as there are cores.
        precision: On the CPU. AUTO is int8 where the processor has instructions for it and the
            model can be had in it, else fp32.
    """

    device: Device = Device.AUTO
    threads: int | None = None
    precision: Precision = Precision.FP32


def choose_device(model: Model, asked: Device) -> Device:
    """The device that a model runs on: never AUTO.

    Raises:
        UsageError: The device that was asked for is not there, or the model has no
            definition in torch, which is what runs there.
    """
    if asked is Device.CPU:
        return asked
    if asked is Device.AUTO:
        if model.definition is None:
            return Device.CPU
        return next(
            (device for device in _candidate_devices() if _is_available(device)), Device.CPU
        )
    if model.definition is None:
        raise UsageError(
            f"The model {model.name} runs on the CPU only.",
            code="device-unsupported",
            why="It is an ONNX model, and nmm uses a GPU through PyTorch.",
            model=model.name,
            device=asked.value,
        )
    if not _is_available(asked):
        raise UsageError(
            f"PyTorch finds no {asked.value} device on this machine.",
            code="device-missing",
            why=f"It is PyTorch {_torch_version()}.",
            hint="Install the build of PyTorch that supports the device.",
            device=asked.value,
        )
    return asked


def check_backend(model: Model, backend: Backend) -> None:
    """Refuse what a model cannot run on, before it is downloaded and prepared for that.

    Raises:
        UsageError: As of :func:`choose_device`, or the model has no such precision.
    """
    if backend.device is not Device.AUTO:  # which is refused nothing, and may import torch
        choose_device(model, backend.device)
    check_precision(model, backend.precision)


def choose_precision(model: Model, backend: Backend) -> Precision:
    """The precision that a model runs in on a backend, as it is compiled for that: never AUTO.

    Raises:
        UsageError: As of :func:`check_backend`.
    """
    asked = backend.precision
    # On a GPU torch computes in half precision, from the weights.
    if asked is Precision.FP32 or choose_device(model, backend.device) is not Device.CPU:
        return Precision.FP32
    if asked is Precision.AUTO:
        from nmm.index.encoders.runtime.cpu_features import has_int8_dot_product

        reduced = model.definition is not None and has_int8_dot_product()
        return Precision.INT8 if reduced else Precision.FP32
    check_precision(model, asked)
    return asked


def check_precision(model: Model, asked: Precision) -> None:
    """Refuse a precision that cannot be made of a model.

    Raises:
        UsageError: It comes as graphs, of which there is one precision.
    """
    if asked is Precision.INT8 and model.definition is None:
        raise UsageError(
            f"The model {model.name} runs in fp32 only.",
            code="precision-unsupported",
            why="It is an ONNX model, which nmm runs as it is.",
            model=model.name,
            precision=asked.value,
        )


def _candidate_devices() -> list[Device]:
    """The devices that there may be, found out without importing torch, which takes seconds."""
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


def available_cpus() -> int:
    """Cores that this process may use, which containers and taskset make fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
