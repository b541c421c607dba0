"""The device, threads and precision that a model computes with."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class Device(str, enum.Enum):
    """The hardware that computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Precision(str, enum.Enum):
    """The number format that a CPU computes in."""

    FP32 = "fp32"
    INT8 = "int8"
    AUTO = "auto"


# The precisions that a model can be compiled in.
COMPILED_PRECISIONS = Precision.FP32, Precision.INT8


@dataclass(frozen=True)
class Backend:
    """The device, threads and precision that a model computes with.

    Attributes:
        device: AUTO is a GPU that torch can use, else the CPU.
        threads: On the CPU; None for as many as there are cores.
        precision: On the CPU. AUTO is int8 if the processor has instructions for it and the
            model supports it, else fp32.
    """

    device: Device = Device.AUTO
    threads: int | None = None
    precision: Precision = Precision.FP32
