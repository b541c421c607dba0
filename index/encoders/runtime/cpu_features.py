"""What the processor has instructions for, found out by asking for it.

Products of 8 bits are fast, and on x86 exact, with the instructions that multiply and add four of
them at once: VNNI and AMX there, the dot product of ARM (FEAT_DotProd).
"""

from __future__ import annotations

import functools
import platform
import sys
from pathlib import Path

from nmm.index.common.int8_matmul import multiply

PROBE = 64  # rows and columns
MOST = 255, 127  # of uint8 and int8
ARM = frozenset({"arm64", "aarch64"})
CPU_INFO = Path("/proc/cpuinfo")
# PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE of winnt.h.
WINDOWS_DOT_PRODUCT = 43


@functools.cache
def multiplies_bytes() -> bool:
    """Whether products of 8 bits have instructions of their own, and so pay."""
    if platform.machine().lower() in ARM:
        return _has_dot_product()
    return not saturates()


@functools.cache
def saturates() -> bool:
    """Whether ONNX Runtime's sums of uint8 by int8 come out wrong on this machine.

    They do on x86 without VNNI, where two products are added in 16 bits: up to 65 thousand do
    not fit.
    """
    import numpy as np

    a, b = (
        np.full((PROBE, PROBE), most, kind)
        for most, kind in zip(MOST, (np.uint8, np.int8), strict=True)
    )
    return bool((multiply(a, b) != MOST[0] * MOST[1] * PROBE).any())


def _has_dot_product() -> bool:
    """Whether an ARM processor has FEAT_DotProd, as all of Apple's for computers do."""
    if sys.platform == "win32":
        import ctypes

        return bool(ctypes.windll.kernel32.IsProcessorFeaturePresent(WINDOWS_DOT_PRODUCT))
    if sys.platform == "darwin":
        return True
    return "asimddp" in CPU_INFO.read_text("utf-8", "replace").split()
