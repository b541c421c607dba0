"""Weights become ONNX once; afterwards a model runs without torch.

A compiled model is a folder in the cache: `vision.onnx` and `text.onnx`, their weights in
files beside them, `tokenizer.json` and `manifest.json`. It is made in a process of its own,
so that the memory that torch takes is given back and a search never imports it, and it
appears whole or not at all. Of a model that comes as ONNX it holds no graph: that one is
checked, and used where it is.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nmm.index.common.onnx_runtime import load_onnxruntime
from nmm.index.encoders.base import Model
from nmm.index.encoders.hub.cache_dirs import all_compiled_folders, compiled_folder
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.resolve import find_model
from nmm.index.encoders.runtime.backend import COMPILED_PRECISIONS, Precision, check_precision
from nmm.index.encoders.runtime.graph_io import check_graphs
from nmm.index.errors import ModelError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer
    from torch import Tensor, nn

    from nmm.index.encoders.families.base import Definition, Towers

VISION, TEXT, TOKENIZER, MANIFEST = "vision.onnx", "text.onnx", "tokenizer.json", "manifest.json"
# Counts changes of how graphs are made that leave vectors as they are, but for rounding: what was
# made before is made again.
FORMAT_VERSION = 2
MIN_COSINE = 0.9999
POLL_INTERVAL = 0.1  # seconds


def is_compiled(model: Model, precision: Precision = Precision.FP32) -> bool:
    """Whether the model's compiled form is in the cache, up to date and every file of full size."""
    folder = compiled_folder(model, precision)
    try:
        manifest = read_manifest(folder)
        sizes = manifest["sizes"]
        return manifest["form"] == FORMAT_VERSION and all(
            (folder / name).stat().st_size == size for name, size in sizes.items()
        )
    except (OSError, ValueError, KeyError):
        return False


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a compiled form says of itself."""
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
    return manifest


def ensure_compiled(
    model: Model,
    on_compile: Callable[[], None] = lambda: None,
    stop: threading.Event | None = None,
    precision: Precision = Precision.FP32,
) -> Path:
    """The folder of the model's compiled form, made first if it is not there.

    `on_compile` is called before the work, which takes half a minute for `mini`.

    Raises:
        UsageError: There is no such precision of the model.
        StoppedError: `stop` was set before it was made.
        ModelError: It cannot be made.
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
        # Two first runs at once: the second waits, and finds the work done.
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not is_compiled(model, precision):
                weight_files(model)  # what is missing is said here, not by another process
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
    """Delete forms of other weights or older recipes, and what was left of making this one."""
    current = {compiled_folder(model, precision).name for precision in COMPILED_PRECISIONS}
    for form in all_compiled_folders(model):
        whole, is_part, _ = form.name.partition(".part-")
        if whole not in current or (is_part and whole == folder.name):
            shutil.rmtree(form, ignore_errors=True)


def _compile_in_subprocess(
    model: Model, precision: Precision, folder: Path, stop: threading.Event
) -> None:
    """Compile in another process, into a temporary folder that then takes its place."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.part-") as part:
        command = [sys.executable, "-m", __name__, model.name, part, precision.value]
        status, said = _run(command, Path(part), stop)
        if status:
            last_line = said.strip().rpartition("\n")[2]
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
    """Run a command until it ends or `stop` is set; its status, and what it said on stderr.

    It runs in `folder`, which is empty: `python -m` looks for modules in the current folder
    first, and what lies where a user happens to be must not be run. It has a session of its
    own, for Ctrl-C is for this process, which ends the other.
    """
    with subprocess.Popen(  # noqa: S603
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
                    _, said = process.communicate(timeout=POLL_INTERVAL)
                except subprocess.TimeoutExpired:
                    continue
                return process.returncode, said
        finally:
            process.kill()  # nothing, if it has ended
    raise StoppedError("Stopped before the model was compiled.", code="stopped-compiling")


def compile_model(model: Model, folder: Path) -> None:
    """Write the compiled form of a model into a folder.

    Raises:
        ModelError: The weights are missing, or ONNX Runtime's vectors are not torch's; or
            graphs that run as they are cannot.
    """
    files = weight_files(model)
    if model.definition is None:
        # Without them, wherever they are, what is made here is of no use.
        tokenizer, used = check_graphs(model, files), files
    else:
        definition = cast("Definition", importlib.import_module(model.definition))
        tokenizer, used = _export_towers(definition.towers(model, files), model, folder), []
    tokenizer.save(str(folder / TOKENIZER))
    manifest = {
        "model": model.name,
        "form": FORMAT_VERSION,
        "weights": _hash(files, model.recipe),
        "sizes": {
            **{file.name: file.stat().st_size for file in sorted(folder.iterdir())},
            **{str(file): file.stat().st_size for file in used},
        },
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")


def quantize_model(model: Model, folder: Path) -> None:
    """Write a model's form in int8 into a folder, from its compiled one."""
    from nmm.index.encoders.export.quantize import quantize

    compiled = compiled_folder(model)
    for name in (VISION, TEXT):
        quantize(compiled / name, folder / name)
    shutil.copyfile(compiled / TOKENIZER, folder / TOKENIZER)
    sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    manifest = {**read_manifest(compiled), "sizes": sizes}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")


def _export_towers(towers: Towers, model: Model, folder: Path) -> Tokenizer:
    import torch

    side = model.image.side
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    ids = torch.randint(0, towers.tokenizer.get_vocab_size(), (2, 12))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    _export(towers.vision, (pixels,), ["pixels"], folder / VISION)
    _export(towers.text, (ids, mask), ["ids", "mask"], folder / TEXT)
    return towers.tokenizer


def _export(tower: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str], file: Path) -> None:
    """Export a tower to ONNX, batch and length free, and compare the two on `inputs`."""
    import torch

    onnxruntime = load_onnxruntime()

    dimensions = [{0: "batch"} if x.ndim != 2 else {0: "batch", 1: "length"} for x in inputs]
    with warnings.catch_warnings():
        # torch's exporter warns about its own use of its own functions.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            tower,
            inputs,
            file,
            input_names=names,
            output_names=["vectors"],
            dynamic_shapes=dimensions,
            dynamo=True,
            # Beside the graph, weights stay mapped into memory: `bench/models.py` prints what
            # that saves when a session is opened.
            external_data=True,
            verbose=False,
        )
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (ours,) = session.run(None, {n: x.numpy() for n, x in zip(names, inputs, strict=True)})
    with torch.inference_mode():
        theirs = tower(*inputs)
    cosine = float(torch.cosine_similarity(torch.from_numpy(ours), theirs).min())
    if not cosine >= MIN_COSINE:
        raise ModelError(
            f"{file.name}: the cosine of ONNX Runtime's vectors and torch's is only "
            f"{cosine:.5f}, and must be at least {MIN_COSINE}.",
            code="model-compiled-wrong",
            cosine=cosine,
        )


def _hash(files: Sequence[Path], recipe: int) -> str:
    """One hash over weights and recipe: what decides the vectors."""
    digest = hashlib.sha256(f"recipe {recipe}\n".encode())
    for file in files:
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    make = quantize_model if sys.argv[3:] == [Precision.INT8.value] else compile_model
    make(find_model(sys.argv[1]), Path(sys.argv[2]))
