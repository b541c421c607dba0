"""Detect whether the processor has fast instructions for 8-bit products.

They multiply and add four products at once: VNNI and AMX on x86, where the sums are exact only
with them, and the dot product of ARM (FEAT_DotProd).
"""

from __future__ import annotations

import functools
import platform
import sys
from pathlib import Path

from nmm.index.common.int8_matmul import multiply_int8

PROBE_SIZE = 64  # rows and columns
OPERAND_MAXIMA = 255, 127  # of uint8 and int8
ARM_MACHINES = frozenset({"arm64", "aarch64"})
CPU_INFO = Path("/proc/cpuinfo")
# PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE of winnt.h.
WINDOWS_DOT_PRODUCT = 43


@functools.cache
def has_int8_dot_product() -> bool:
    """Return whether the processor has instructions for 8-bit products, which make int8 pay."""
    if platform.machine().lower() in ARM_MACHINES:
        return _has_dot_product()
    return not int8_sums_saturate()


@functools.cache
def int8_sums_saturate() -> bool:
    """Return whether ONNX Runtime's sums of uint8 by int8 products overflow on this machine.

    They do on x86 without VNNI. Two products are added in 16 bits there, and may reach 65
    thousand, which does not fit.
    """
    import numpy as np

    a, b = (
        np.full((PROBE_SIZE, PROBE_SIZE), most, kind)
        for most, kind in zip(OPERAND_MAXIMA, (np.uint8, np.int8), strict=True)
    )
    return bool((multiply_int8(a, b) != OPERAND_MAXIMA[0] * OPERAND_MAXIMA[1] * PROBE_SIZE).any())


def _has_dot_product() -> bool:
    """Return whether an ARM processor has FEAT_DotProd. All of Apple's for computers do."""
    if sys.platform == "win32":
        import ctypes

        return bool(ctypes.windll.kernel32.IsProcessorFeaturePresent(WINDOWS_DOT_PRODUCT))
    if sys.platform == "darwin":
        return True
    return "asimddp" in CPU_INFO.read_text("utf-8", "replace").split()
