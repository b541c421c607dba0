"""Write tiny ONNX graphs that fit the row of jina-clip-v1, and the files beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, save
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from nmm.index.encoders.registry import JINA_CLIP_V1

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "two", "cats", "boats", "lake"]
RANDOM = np.random.default_rng(0)
# The tiny graphs compute a channel's mean, or a token's embedding, times these.
CHANNELS = RANDOM.normal(size=(3, 768)).astype(np.float32)
TOKENS = RANDOM.normal(size=(len(WORDS), 768)).astype(np.float32)
SPEC = JINA_CLIP_V1.image
# In the forms of transformers' CLIP and of Jina's own image processor.
CLIP_WORDS = {
    "crop_size": 224,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": SPEC.mean,
    "image_std": SPEC.std,
    "resample": 3,
    "size": 224,
}
JINA_WORDS = {
    "fill_color": 0,
    "image_processor_type": "JinaCLIPImageProcessor",
    "interpolation": "bicubic",
    "mean": SPEC.mean,
    "resize_mode": "shortest",
    "size": 224,
    "std": SPEC.std,
}

Shape = Sequence[int | str]


def graph(
    file: Path,
    nodes: Sequence[Any],
    inputs: Mapping[str, tuple[int, Shape]],
    outputs: Mapping[str, Shape],
    weights: Mapping[str, NDArray[Any]],
) -> None:
    """Write an ONNX file; an input has an element type and a shape, an output a shape."""
    content = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, *spec) for name, spec in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("elsewhere", 1)]
    save(helper.make_model(content, opset_imports=opsets, ir_version=9), file)


def vision_graph(
    file: Path,
    *,
    output: str = "image_embeds",
    pixels: tuple[str, int, Shape] = ("pixel_values", 1, ("batch", 3, 224, 224)),
    channels: NDArray[np.float32] = CHANNELS,
    pool: str = "GlobalAveragePool",
    domain: str = "",
) -> None:
    """Write a graph with two outputs: the means of the channels times a matrix, and the means."""
    name, type_, shape = pixels
    nodes = [
        helper.make_node(pool, [name], ["last_hidden_state"], domain=domain),
        helper.make_node("Flatten", ["last_hidden_state"], ["means"]),
        helper.make_node("MatMul", ["means", "channels"], [output]),
    ]
    outputs: dict[str, Shape] = {
        "last_hidden_state": ("batch", 3, 1, 1), output: ("batch", channels.shape[1])
    }  # fmt: skip
    graph(file, nodes, {name: (type_, shape)}, outputs, {"channels": channels})


def text_graph(
    file: Path,
    *,
    inputs: Sequence[str] = ("input_ids",),
    output: str = "text_embeds",
    shape: Shape = ("batch", "length"),
    sees_padding: bool = False,
) -> None:
    """Write a graph of the sum of a text's token embeddings; the mask is derived or an input."""
    masked = "attention_mask" in inputs
    nodes = [
        helper.make_node("Gather", ["tokens", "input_ids"], ["last_hidden_state"]),
        # Every token of a text has type 0 and counts 1.
        *(
            [
                helper.make_node("Cast", ["token_type_ids"], ["types"], to=1),
                helper.make_node("Sub", ["one", "types"], ["first"]),
                helper.make_node("Unsqueeze", ["first", "last"], ["kind"]),
                helper.make_node("Mul", ["last_hidden_state", "kind"], ["typed"]),
            ]
            if "token_type_ids" in inputs
            else [helper.make_node("Identity", ["last_hidden_state"], ["typed"])]
        ),
        *(
            []
            if masked
            else [
                helper.make_node("Greater", ["input_ids", "none" if sees_padding else "padding"],
                                 ["real"]),
            ]
        ),
        helper.make_node("Cast", ["attention_mask" if masked else "real"], ["mask"], to=1),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["typed", "column"], ["seen"]),
        helper.make_node("ReduceSum", ["seen", "middle"], [output], keepdims=0),
    ]  # fmt: skip
    weights = {
        "tokens": TOKENS,
        "padding": np.array(0),
        "none": np.array(-1),
        "one": np.array(1, np.float32),
        "last": np.array([2]),
        "middle": np.array([1]),
    }
    outputs: dict[str, Shape] = {"last_hidden_state": (*shape, 768), output: (shape[0], 768)}
    graph(file, nodes, dict.fromkeys(inputs, (7, shape)), outputs, weights)


def save_tokenizer(file: Path) -> None:
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(file))


def save_graphs(folder: Path) -> None:
    """Write both graphs, `tokenizer.json` and `preprocessor_config.json` in the hub's layout."""
    (folder / "onnx").mkdir(parents=True)
    vision_graph(folder / "onnx" / "vision_model.onnx")
    text_graph(folder / "onnx" / "text_model.onnx")
    save_tokenizer(folder / "tokenizer.json")
    folder.joinpath("preprocessor_config.json").write_text(json.dumps(CLIP_WORDS))
