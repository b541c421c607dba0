"""Run `nmm` in forks of this process, so that a test does not wait for imports.

Each command runs in a process of its own, with its arguments, environment, current folder and
streams. Only the imports happen beforehand. A request is a message with JSON and the three streams;
the answer is the exit status, negative for a signal.

Usage: command_server.py DESCRIPTOR, the descriptor of a socket.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nmm.cli
import nmm.index
from nmm.index.common.numpy_threads import import_numpy_single_threaded
from nmm.index.common.onnx_runtime import load_onnxruntime

MAX_REQUEST = 1 << 17
# Third-party modules that most commands import.
PRELOADED = ("faiss", "filelock", "numpy", "PIL.Image", "sqlite_utils", "tokenizers")
# These read the environment or start threads when they are imported.
LEFT_OUT = ("mteb_adapter", "mteb_wrapper", "torch_encoder", "onnx_export", "families", "__main__")


def import_modules() -> None:
    """Import the modules that commands need, without starting a thread."""
    import_numpy_single_threaded()
    load_onnxruntime()
    # sqlite_utils imports pandas if it is installed; that takes a second, and pandas starts a
    # thread.
    sys.modules["pandas"] = None  # type: ignore[assignment]  # which means that it is missing
    for name in PRELOADED:
        importlib.import_module(name)
    del sys.modules["pandas"]
    for package in (nmm.cli, nmm.index):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not set(module.name.split(".")) & set(LEFT_OUT):
                importlib.import_module(module.name)
    late = {"torch", "transformers", "huggingface_hub", "rapidocr"} & sys.modules.keys()
    assert not late, f"imported too early: {late}"
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "a thread would be missing in a fork"
    gc.freeze()


def become(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Turn this fork into a process as if it had been started for a request."""
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environ"])
    time.tzset()
    sys.argv = request["arguments"]


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    import_modules()
    while True:
        message, streams, _, _ = socket.recv_fds(channel, MAX_REQUEST, 3)
        if not message:
            return
        pid = os.fork()
        if not pid:
            channel.close()
            become(json.loads(message), streams)
            nmm.cli.command()  # raises SystemExit, which ends this process as usual
        for stream in streams:
            os.close(stream)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        channel.send(str(status).encode())


if __name__ == "__main__":
    main()
