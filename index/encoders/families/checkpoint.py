"""Load a hub's weights into a torch module: every tensor, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from nmm.index.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


def load_checkpoint(module: nn.Module, file: Path) -> None:
    """Load a module's weights from a safetensors file, strictly.

    Older checkpoints hold buffers that are now computed, such as position_ids. They are accepted
    if they equal the computed ones.

    Raises:
        ModelError: The file cannot be read, or a tensor is missing, unexpected, of the wrong
            shape, or a buffer of other content. The message names the tensors.
    """
    try:
        weights = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{file} cannot be read.", code="weights-unreadable", why=str(error), path=file
        ) from error
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    computed = {name: buffer for name, buffer in module.named_buffers() if name not in expected}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items() if name not in computed}
    wrong = [
        *(f"{name} is missing" for name in expected.keys() - found.keys()),
        *(f"{name} is not expected" for name in found.keys() - expected.keys()),
        *(
            f"{name} has the shape {found[name]}, not {expected[name]}"
            for name in expected.keys() & found.keys()
            if found[name] != expected[name]
        ),
        *(
            f"{name} is not what nmm computes"
            for name in computed.keys() & weights.keys()
            if not torch.equal(weights[name], computed[name])
        ),
    ]
    if wrong:
        raise ModelError(
            f"{file} does not match its config.json: {'; '.join(sorted(wrong))}",
            code="weights-mismatch",
            path=file,
        )
    module.load_state_dict({name: weights[name] for name in expected})
