"""ONNX Runtime, without its telemetry."""

from __future__ import annotations

import os
from types import ModuleType


def load_onnxruntime() -> ModuleType:
    """Import ONNX Runtime so that it neither keeps nor sends anything about this machine.

    Its official builds collect events under the user's cache directory and send them to
    Microsoft, on Linux since 1.32, unless this is in the environment when it is loaded.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    module: ModuleType = onnxruntime
    return module
