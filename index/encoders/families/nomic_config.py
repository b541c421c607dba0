"""Read the configurations of Nomic's towers, and refuse those that nmm does not support."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nmm.index.encoders.registry import NOMIC_V1_5
from nmm.index.errors import ModelError

# The architectures that the configurations name.
VISION = "NomicVisionModel"
TEXT = "NomicBertModel"


def read_config(file: Path, architecture: str) -> dict[str, Any]:
    """Read a tower's `config.json`; `architecture` is :data:`VISION` or :data:`TEXT`.

    Raises:
        ModelError: It cannot be read, or is of a tower that nmm does not support.
    """
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"There is no model in {file.parent.parent}.",
            code="model-folder-incomplete",
            why=f"{file} cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="The folder needs a pair in the layout of the hub: " + ", ".join(NOMIC_V1_5.files),
            path=file.parent.parent,
        ) from error
    if not isinstance(content, dict):
        raise ModelError(
            f"{file} is not a configuration.",
            code="model-config-invalid",
            why="It holds no JSON object.",
            path=file,
        )
    _check(content, architecture, file)
    return content


def _check(config: dict[str, Any], architecture: str, file: Path) -> None:
    """Refuse settings that the towers do not implement, rather than ignore them."""
    vision = architecture == VISION
    expected = {
        "activation_function": "swiglu",
        "prenorm": vision,
        "qkv_proj_bias": vision,
        "parallel_block": False,
        "use_rms_norm": False,
        "causal": False,
        "rotary_emb_interleaved": False,
        "rotary_emb_fraction": 0 if vision else 1,
        **(
            {"norm_mlp": True, "no_cls_token": False, "register_tokens": 0, "layer_scale": False}
            if vision
            else {"rotary_emb_scale_base": None}
        ),
    }
    wrong = [
        f"{name} is {config.get(name)!r}, not {value!r}"
        for name, value in expected.items()
        if config.get(name, value) != value
    ]
    if architecture not in config.get("architectures", [architecture]):
        wrong.insert(0, f"architectures is {config['architectures']}, not {architecture}")
    shape = ("n_embd", "n_head", "n_layer", "n_inner", "layer_norm_epsilon", "n_positions")
    own = ("img_size", "patch_size", "num_channels", "ref_feat_shape")
    names = (
        (*shape[:-1], *own)
        if vision
        else (*shape, "vocab_size", "type_vocab_size", "rotary_emb_base")
    )
    wrong += [f"{name} is missing" for name in names if config.get(name) is None]
    if wrong:
        raise ModelError(
            f"nmm cannot run the model of {file}.",
            code="model-architecture-unsupported",
            why="; ".join(wrong),
            hint="nmm runs pairs such as nomic-embed-vision-v1.5 and nomic-embed-text-v1.5.",
            path=file,
        )
