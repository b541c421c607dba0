"""Pages of mapped files, which count as a process's memory once it has read them."""

from __future__ import annotations

import ctypes
import mmap
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def give_back(part: NDArray[np.generic]) -> None:
    """Have the system take back the pages of a part of a file that is mapped to be read.

    They stay in its cache, if it has room, and are mapped again when they are read. Of memory
    that is no file's, the contents would be lost. Nothing happens but on Linux.
    """
    if sys.platform != "linux":
        return
    page = mmap.PAGESIZE
    # Whole pages alone: the first and the last may be of something else, too.
    first = -(-part.ctypes.data // page) * page
    end = (part.ctypes.data + part.nbytes) // page * page
    if end > first:
        _advise()(first, end - first, mmap.MADV_DONTNEED)


@cache
def _advise() -> Any:
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return advise
