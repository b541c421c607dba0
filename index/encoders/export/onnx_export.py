"""Export torch towers to ONNX, and check that the graphs embed as the towers do."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.common.onnx_runtime import load_onnxruntime
from nmm.index.encoders.base import Model
from nmm.index.encoders.hub.compiled import TEXT, VISION
from nmm.index.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from nmm.index.encoders.families.base import Towers

MIN_COSINE = 0.9999


def export_towers(towers: Towers, model: Model, folder: Path) -> None:
    """Write `vision.onnx` and `text.onnx` of two towers into a folder.

    Raises:
        ModelError: The vectors of ONNX Runtime differ from those of torch.
    """
    import torch

    side = model.image.side
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    ids = torch.randint(0, towers.tokenizer.get_vocab_size(), (2, 12))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    export_tower(towers.vision, (pixels,), ["pixels"], folder / VISION)
    export_tower(towers.text, (ids, mask), ["ids", "mask"], folder / TEXT)


def export_tower(
    tower: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str], file: Path
) -> None:
    """Export a tower to ONNX with free batch and length, and compare the two on `inputs`.

    Raises:
        ModelError: Their vectors differ.
    """
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
