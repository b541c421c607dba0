"""Import ONNX Runtime without its telemetry."""

from __future__ import annotations

import os
from types import ModuleType


def load_onnxruntime() -> ModuleType:
    """Import ONNX Runtime with telemetry off.

    Its official builds collect events in the user's cache directory and send them to Microsoft,
    on Linux since 1.32, unless this variable is set when it is loaded.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    module: ModuleType = onnxruntime
    return module
