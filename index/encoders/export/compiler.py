"""Compile a model once, so that it then runs without torch.

Compiling runs in a process of its own: the memory that torch takes is given back, and a search
never imports torch. The compiled form (see :mod:`nmm.index.encoders.hub.compiled`) appears whole
or not at all.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.encoders.backend import COMPILED_PRECISIONS, Precision
from nmm.index.encoders.base import Model
from nmm.index.encoders.families.adapters import adapter_of, check_precision
from nmm.index.encoders.hub.cache_dirs import all_compiled_folders, compiled_folder
from nmm.index.encoders.hub.compiled import (
    TEXT,
    TOKENIZER,
    VISION,
    is_compiled,
    read_manifest,
    write_manifest,
)
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.resolve import find_model
from nmm.index.errors import ModelError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nmm.index.encoders.families.base import Towers

POLL_INTERVAL = 0.1  # seconds
READ_BLOCK = 1 << 20  # bytes


def ensure_compiled(
    model: Model,
    on_compile: Callable[[], None] = lambda: None,
    stop: threading.Event | None = None,
    precision: Precision = Precision.FP32,
) -> Path:
    """Return the folder of a model's compiled form, and compile the model first if needed.

    Args:
        model: The row.
        on_compile: Called before the work, which takes half a minute for `mini`.
        stop: Set it to end the work.
        precision: FP32 or INT8. INT8 is made from FP32, which is compiled first.

    Raises:
        UsageError: The model cannot be compiled in that precision.
        StoppedError: `stop` was set before it was compiled.
        ModelError: It cannot be compiled.
    """
    if is_compiled(model, precision):
        return compiled_folder(model, precision)
    if precision is not Precision.FP32:
        check_precision(model, precision)
        ensure_compiled(model, on_compile, stop)
    from filelock import FileLock

    folder = compiled_folder(model, precision)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # If two first runs start at once, the second waits and finds the work done.
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not is_compiled(model, precision):
                weight_files(model)  # names missing weights here, not in the other process
                on_compile()
                _delete_outdated(model, folder)
                _compile_in_subprocess(model, precision, folder, stop or threading.Event())
    except OSError as error:
        raise ModelError(
            f"The model {model.name} cannot be stored in {folder.parent}.",
            code="model-not-storable",
            why=str(error),
            hint="Set the environment variable NMM_CACHE to another folder.",
            model=model.name,
            path=folder.parent,
        ) from error
    return folder


def _delete_outdated(model: Model, folder: Path) -> None:
    """Delete forms of other weights or older recipes, and the remains of an interrupted run."""
    current = {compiled_folder(model, precision).name for precision in COMPILED_PRECISIONS}
    for form in all_compiled_folders(model):
        name, is_part, _ = form.name.partition(".part-")
        if name not in current or (is_part and name == folder.name):
            shutil.rmtree(form, ignore_errors=True)


def _compile_in_subprocess(
    model: Model, precision: Precision, folder: Path, stop: threading.Event
) -> None:
    """Compile in another process, into a temporary folder that then becomes `folder`."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.part-") as part:
        command = [sys.executable, "-m", __name__, model.name, part, precision.value]
        status, stderr = _run(command, Path(part), stop)
        if status:
            last_line = stderr.strip().rpartition("\n")[2]
            again = [*command[:-2], tempfile.gettempdir(), command[-1]]
            raise ModelError(
                f"The model {model.name} could not be compiled for ONNX Runtime.",
                code="model-compilation-failed",
                why=last_line or f"The process ended with status {status}.",
                model=model.name,
                command=" ".join(again),
            )
        shutil.rmtree(folder, ignore_errors=True)
        Path(part).chmod(0o755)
        Path(part).rename(folder)
        Path(part).mkdir()  # for TemporaryDirectory to remove


def _run(command: Sequence[str], folder: Path, stop: threading.Event) -> tuple[int, str]:
    """Run a command until it ends or `stop` is set. Return its status and its stderr.

    It runs in `folder`, which is empty: `python -m` looks for modules in the current folder
    first, and must not run what lies where the user happens to be. It has a session of its
    own, because Ctrl-C is for this process, which ends the other.
    """
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            while not stop.is_set():
                try:
                    _, stderr = process.communicate(timeout=POLL_INTERVAL)
                except subprocess.TimeoutExpired:
                    continue
                return process.returncode, stderr
        finally:
            process.kill()  # does nothing if it has ended
    raise StoppedError("Stopped before the model was compiled.", code="stopped-compiling")


def compile_model(model: Model, folder: Path) -> None:
    """Write the compiled form of a model into an empty folder.

    Raises:
        ModelError: The weights are missing or not as the family expects them, or the vectors
            of ONNX Runtime differ from those of torch.
    """
    from nmm.index.encoders.export.onnx_export import export_towers

    files = weight_files(model)

    def export(towers: Towers) -> None:
        export_towers(towers, model, folder)

    compiled = adapter_of(model).compile(model, files, export)
    compiled.tokenizer.save(str(folder / TOKENIZER))
    write_manifest(model, folder, hash_weights(files, model.recipe), compiled.outside)


def quantize_model(model: Model, folder: Path) -> None:
    """Write a model's INT8 form into an empty folder, from its compiled FP32 form."""
    from nmm.index.encoders.export.quantize import quantize

    compiled = compiled_folder(model)
    for name in (VISION, TEXT):
        quantize(compiled / name, folder / name)
    shutil.copyfile(compiled / TOKENIZER, folder / TOKENIZER)
    write_manifest(model, folder, read_manifest(compiled)["weights"])


def hash_weights(files: Sequence[Path], recipe: int) -> str:
    """Return one SHA-256 over the recipe and the weights: equal hashes, equal vectors."""
    digest = hashlib.sha256(f"recipe {recipe}\n".encode())
    for file in files:
        with file.open("rb") as opened:
            while block := opened.read(READ_BLOCK):
                digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    make = quantize_model if sys.argv[3:] == [Precision.INT8.value] else compile_model
    make(find_model(sys.argv[1]), Path(sys.argv[2]))
