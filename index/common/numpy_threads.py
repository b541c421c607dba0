"""numpy without threads of its own, for a process that computes little and ends soon.

The OpenBLAS in numpy's wheels starts a thread for each core when it is loaded, and these wait for
work in a loop, on cores that the model needs at that moment. How many there are it reads from the
environment, once.
"""

from __future__ import annotations

import os
import sys

VARIABLE = "OPENBLAS_NUM_THREADS"


def import_numpy_single_threaded() -> None:
    """Import numpy so, unless it is imported already or the user has said how many threads."""
    if "numpy" in sys.modules or VARIABLE in os.environ:
        return
    os.environ[VARIABLE] = "1"
    try:
        import numpy as np

        del np
    finally:
        # FAISS has an OpenBLAS of its own, and other processes are started from here.
        del os.environ[VARIABLE]
