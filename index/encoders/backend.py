"""The device, threads and precision that a model computes with."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


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
