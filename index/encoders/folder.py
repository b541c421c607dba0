"""A pair of towers in a folder, as the hub lays them out: `DIR/vision` and `DIR/text`.

For weights of one's own, fine-tuned from nomic-embed-vision-v1.5 and -text-v1.5. The row
is read from the configurations beside the weights; nothing in the folder is run.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nmm.index.encoders.registry import ImageInput, Model, Task
from nmm.index.errors import ModelError

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
PREPROCESSOR = "preprocessor_config.json"
# The order in which `nmm.index.encoders.nomic` takes them.
FILES = (
    f"vision/{WEIGHTS}",
    f"vision/{CONFIG}",
    f"vision/{PREPROCESSOR}",
    f"text/{WEIGHTS}",
    f"text/{CONFIG}",
    f"text/{TOKENIZER}",
)

# The text tower was trained on so many tokens; beyond, upstream stretches its positions.
TRAINED_POSITIONS = 2048
CHUNK = 256
BICUBIC = 3  # Pillow's number for it


def folder_model(folder: Path) -> Model:
    """The row of the pair in a folder. Its name is the folder's absolute path.

    Raises:
        ModelError: A file is missing, or says something that nmm does not do.
    """
    folder = folder.expanduser().resolve()
    vision, text = (_read(folder / tower / CONFIG) for tower in ("vision", "text"))
    _check(vision, "NomicVisionModel", folder / "vision" / CONFIG)
    _check(text, "NomicBertModel", folder / "text" / CONFIG)
    if vision["n_embd"] != text["n_embd"]:
        raise ModelError(
            f"The towers in {folder} do not make a pair.",
            why=f"Vision has {vision['n_embd']} dimensions, text {text['n_embd']}.",
        )
    return Model(
        name=str(folder),
        title="a pair of towers in a folder",
        dimension=vision["n_embd"],
        licence="unknown",
        size=sum(_size(folder / name) for name in FILES if name.endswith(WEIGHTS)),
        files=tuple(str(folder / name) for name in FILES),
        image=_image_input(folder / "vision" / PREPROCESSOR, vision["img_size"]),
        context=min(text["n_positions"], TRAINED_POSITIONS),
        chunk=CHUNK,
        pooling="mean",
        definition="nmm.index.encoders.nomic",
        recipe=1,
        prefixes=MappingProxyType({task: f"{task.value}: " for task in Task}),
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"There is no model in {file.parent.parent}.",
            why=f"{file} cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="A folder needs a pair in hub layout: " + ", ".join(FILES),
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"{file} is not a configuration.", why="It holds no JSON object.")
    return content


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # what is missing is said when the weights are asked for


def _check(config: dict[str, Any], architecture: str, file: Path) -> None:
    """Refuse what the definition does not compute, rather than compute something else."""
    vision = architecture == "NomicVisionModel"
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
            f"The model of {file} is not one that nmm can run.",
            why="; ".join(wrong),
            hint="nmm runs pairs like nomic-embed-vision-v1.5 and nomic-embed-text-v1.5.",
        )


def _image_input(file: Path, side: int) -> ImageInput:
    config = _read(file)
    size, crop = config.get("size", {}), config.get("crop_size", {})
    asked = (size.get("shortest_edge"), crop.get("height"), crop.get("width"))
    mean, std = config.get("image_mean", ()), config.get("image_std", ())
    rescale = config.get("rescale_factor", 1 / 255)
    if (
        asked != (side,) * 3
        or config.get("resample") != BICUBIC
        or (len(mean), len(std)) != (3, 3)
        or not rescale
    ):
        raise ModelError(
            f"The preprocessing of {file} is not one that nmm does.",
            why=f"It must resize (bicubic) and crop to {side} pixels and normalise 3 channels.",
        )
    # Normalising is of pixels on the scale 0 to 1, whatever they are rescaled by.
    scale = 255 * rescale
    return ImageInput(side, tuple(m / scale for m in mean), tuple(s / scale for s in std))
