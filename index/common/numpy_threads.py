"""Import numpy without its threads, for a process that computes little and ends soon.

The OpenBLAS in numpy's wheels starts a thread for each core when it is loaded. These threads spin
while they wait, on cores that the model needs at that moment. OpenBLAS reads their number from
the environment once.
"""

from __future__ import annotations

import os
import sys

VARIABLE = "OPENBLAS_NUM_THREADS"


def import_numpy_single_threaded() -> None:
    """Import numpy with one thread, unless it is imported or the user has set a number."""
    if "numpy" in sys.modules or VARIABLE in os.environ:
        return
    os.environ[VARIABLE] = "1"
    try:
        import numpy as np

        del np
    finally:
        # FAISS has its own OpenBLAS, and child processes inherit the environment.
        del os.environ[VARIABLE]
