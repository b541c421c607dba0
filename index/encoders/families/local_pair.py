"""A pair of towers in a folder, as the hub lays them out: `DIR/vision` and `DIR/text`.

For weights of one's own, fine-tuned from nomic-embed-vision-v1.5 and -text-v1.5. The row
is read from the configurations beside the weights; nothing in the folder is run.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from nmm.index.encoders.base import Model
from nmm.index.encoders.preprocessor_config import read_image_preprocessing
from nmm.index.encoders.registry import CONFIG, NOMIC_V1_5, PREPROCESSOR, WEIGHTS
from nmm.index.errors import ModelError

FILES = NOMIC_V1_5.files
# What the configurations call the towers.
VISION, TEXT = "NomicVisionModel", "NomicBertModel"


def folder_model(folder: Path) -> Model:
    """The row of the pair in a folder. Its name is the folder's absolute path.

    Raises:
        ModelError: A file is missing, or says something that nmm does not do.
    """
    folder = folder.expanduser().resolve()
    vision = read_config(folder / "vision" / CONFIG, VISION)
    text = read_config(folder / "text" / CONFIG, TEXT)
    if vision["n_embd"] != text["n_embd"]:
        raise ModelError(
            f"The towers in {folder} do not belong together.",
            code="towers-mismatch",
            why=f"Vision has {vision['n_embd']} dimensions, text {text['n_embd']}.",
            path=folder,
        )
    image = read_image_preprocessing(folder / "vision" / PREPROCESSOR)
    if image.side != vision["img_size"]:
        raise ModelError(
            f"The vision tower in {folder} does not match its preprocessing.",
            code="preprocessing-mismatch",
            why=f"The tower takes {vision['img_size']} pixels, {PREPROCESSOR} makes {image.side}.",
            path=folder,
        )
    return replace(
        NOMIC_V1_5,
        name=str(folder),
        title="a pair of towers in a folder",
        dimension=vision["n_embd"],
        dimensions=(),
        licence="unknown",
        size=sum(_size(folder / name) for name in FILES if name.endswith(WEIGHTS)),
        files=tuple(str(folder / name) for name in FILES),
        image=image,
        context=min(text["n_positions"], NOMIC_V1_5.context),
        sources=(),
        published=None,
    )


def read_config(file: Path, architecture: str) -> dict[str, Any]:
    """A tower's `config.json`; `architecture` is :data:`VISION` or :data:`TEXT`.

    Raises:
        ModelError: It cannot be read, or is of a tower that nmm does not compute.
    """
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"There is no model in {file.parent.parent}.",
            code="model-folder-incomplete",
            why=f"{file} cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="The folder needs a pair in the layout of the hub: " + ", ".join(FILES),
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


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # what is missing is said when the weights are asked for


def _check(config: dict[str, Any], architecture: str, file: Path) -> None:
    """Refuse what the definition does not compute, rather than compute something else."""
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
