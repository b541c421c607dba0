"""Run index jobs in processes that can be killed, each a fork of this one with the encoder open.

Usage: child.py ENCODER FOLDER, the name of the encoder and a folder of its own. A job is a line of
JSON on stdin, see :class:`crash.runner.Job`; its exit status, negative for a signal, is a line on
stdout. No threads exist here before a fork.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from command_server import import_modules
from crash.runner import HASH
from fakes import HashEncoder

from nmm.index.encoders.backend import Backend
from nmm.index.encoders.base import Encoder, Task
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.indexing import indexer as build_module
from nmm.index.indexing.options import IndexOptions
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors import segments


def open_encoder(name: str, folder: Path) -> Encoder:
    """Return the encoder of a name, without other threads, after one use."""
    encoder: Encoder
    if name == HASH:
        encoder = HashEncoder(folder)
    else:
        encoder = load_encoder(MINI, backend=Backend(threads=1))
        assert isinstance(encoder, OnnxEncoder)
        # One by one, so that a vector does not depend on the rest of its batch.
        encoder._images_per_run = encoder._tokens_per_run = 1
    encoder.embed_texts(["warm"], Task.QUERY)
    side = MINI.image.side
    encoder.embed_images(np.zeros((1, side, side, 3), np.uint8))
    return encoder


def watch_labels(kill_at: tuple[str, int] | None, log: str | None) -> None:
    """Log the store's labels as they are passed, and kill this process at one of them."""
    passed = 0
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if log else None

    def on_audit(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal passed
        if event != "nmm.store":
            return
        label = arguments[0]
        if file is not None:
            os.write(file, f"L\t{label}\n".encode())
        if kill_at and label == kill_at[0]:
            passed += 1
            if passed == kill_at[1]:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_audit)


def begin_faults(job: dict[str, Any]) -> None:
    """Let writes fail from here on, or trace them; needs the library of `faults.c`."""
    trace = job["trace"]
    ctypes.CDLL(None).faults_begin(
        job["folder"].encode(),
        ctypes.c_long(job["fail_at"]),
        job["error"],
        int(job["lasting"]),
        trace.encode() if trace else None,
    )


def do(job: dict[str, Any]) -> None:
    """Run a job in this process."""
    segments.MIN_SEGMENT_SIZE = job["tail"]
    watch_labels(job["kill_at"], job["labels"])
    if job["fail_at"] or job["trace"]:
        begin_faults(job)
    if job["said"]:
        command(job)
        return
    folder = IndexFolder(Path(job["folder"]))
    build_module.build(
        [Path(path) for path in job["paths"]],
        folder,
        model="mini",
        rebuild=job["rebuild"],
        options=IndexOptions(batch_size=2),
    )


def command(job: dict[str, Any]) -> None:
    """Run a job with the command line, and keep its stderr."""
    from nmm.cli.app import run as run_command

    said = os.open(job["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(said, 2)
    options = ["--index", job["folder"], "--model", "mini", "--batch-size", "2"]
    sys.argv = ["nmm", "index", *job["paths"], *options, *["--rebuild"] * job["rebuild"]]
    run_command()


def run(job: dict[str, Any]) -> int:
    """Run a job in a process of its own, and kill it after some seconds if requested."""
    alive, ended = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(alive)
        try:
            do(job)
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
        except BaseException as error:  # noqa: BLE001  whatever it is, only the child ends
            traceback.print_exception(error)
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    os.close(ended)
    # The end of the pipe is open as long as the child lives.
    if not select.select([alive], [], [], job["kill_after"])[0]:
        os.kill(pid, signal.SIGKILL)
    os.close(alive)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    import_modules()
    encoder = open_encoder(sys.argv[1], Path(sys.argv[2]))
    build_module.load_encoder = lambda *_, **__: encoder
    build_module.prepare = lambda *_, **__: None
    for line in sys.stdin:
        print(run(json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
