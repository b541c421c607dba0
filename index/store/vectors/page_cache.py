"""Releases pages of mapped files, which count as memory of the process once it has read them."""

from __future__ import annotations

import ctypes
import mmap
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def release_pages(part: NDArray[np.generic]) -> None:
    """Release the pages of a part of a file that is mapped for reading.

    The pages stay in the system's cache if it has room, and are mapped again when they are read.
    Memory that is not mapped from a file would lose its contents. Only Linux does this; elsewhere
    nothing happens.
    """
    if sys.platform != "linux":
        return
    page = mmap.PAGESIZE
    # Only whole pages: the first and the last may hold other data too.
    first = -(-part.ctypes.data // page) * page
    end = (part.ctypes.data + part.nbytes) // page * page
    if end > first:
        _advise()(first, end - first, mmap.MADV_DONTNEED)


@cache
def _advise() -> Any:
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return advise
