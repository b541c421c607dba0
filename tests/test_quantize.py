"""8-bit quantization: accuracy relative to fp32, and properties that must be preserved.

`bench/models.py` prints the accuracy and the speed-up of full-size models.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from support import SAMPLE_DATA
from tokenizers import Tokenizer

from nmm.index.encoders.backend import Precision
from nmm.index.encoders.base import Model
from nmm.index.encoders.export import quantize as quantize_module
from nmm.index.encoders.export.compiler import compile_model, ensure_compiled
from nmm.index.encoders.export.quantize import quantize
from nmm.index.encoders.hub.cache_dirs import compiled_folder
from nmm.index.encoders.hub.compiled import TEXT, TOKENIZER, VISION
from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.resolve import model_in_folder
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder

BENCH = Path(__file__).parent.parent / "bench"
WIDTH, OUTLIER = 64, 100.0

Floats = NDArray[np.float32]
Inputs = Mapping[str, NDArray[Any]]


def run(file: Path, inputs: Inputs) -> Floats:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return cast("Floats", session.run(None, inputs)[0])


def photos(model: Model) -> Inputs:
    files = sorted((SAMPLE_DATA / "photos").glob("*.jpg"))
    images = (Image.open(file).convert("RGB") for file in files)
    return {"pixels": np.stack([to_pixels(image, model.image) for image in images])}


def paragraphs(tokenizer_file: Path, longest: int = 64) -> Inputs:
    """Return the sample notes as padded tokens."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(longest)
    files = sorted((SAMPLE_DATA / "notes").glob("*.md"))
    texts = chain.from_iterable(file.read_text("utf-8").split("\n\n") for file in files)
    encoded = tokenizer.encode_batch(list(texts))
    return {
        "ids": np.array([one.ids for one in encoded]),
        "mask": np.array([one.attention_mask for one in encoded]),
    }


def inputs_of(tower: str, model: Model, folder: Path) -> Inputs:
    return photos(model) if tower == VISION else paragraphs(folder / TOKENIZER)


def quantized_mini() -> Path:
    """The folder of the built-in model in int8, made once for all tests."""
    return ensure_compiled(MINI, precision=Precision.INT8)


@pytest.fixture(scope="session")
def thin_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """A random pair as wide as Nomic's, with one layer, and its compiled form."""
    pair, compiled = tmp_path_factory.mktemp("pair"), tmp_path_factory.mktemp("compiled")
    subprocess.run(
        [sys.executable, BENCH / "random_pair.py", pair, "--layers", "1"],
        check=True,
        capture_output=True,
    )
    model = model_in_folder(pair)
    compile_model(model, compiled)
    return model, compiled


@pytest.mark.parametrize("tower", [VISION, TEXT])
def test_vectors_of_mini_stay_near(mini: OnnxEncoder, tower: str) -> None:
    compiled, quantized = compiled_folder(MINI), quantized_mini()
    inputs = inputs_of(tower, MINI, compiled)
    cosines = (run(compiled / tower, inputs) * run(quantized / tower, inputs)).sum(1)
    assert cosines.mean() >= 0.99
    assert cosines.min() >= 0.96


@pytest.mark.parametrize("tower", [VISION, TEXT])
def test_vectors_of_a_nomic_pair_stay_near(
    thin_pair: tuple[Model, Path], tower: str, tmp_path: Path
) -> None:
    model, compiled = thin_pair
    quantize(compiled / tower, tmp_path / tower)
    inputs = inputs_of(tower, model, compiled)
    cosines = (run(compiled / tower, inputs) * run(tmp_path / tower, inputs)).sum(1)
    assert cosines.min() >= 0.99


def test_a_vector_does_not_depend_on_its_batch(mini: OnnxEncoder) -> None:
    compiled, quantized = compiled_folder(MINI), quantized_mini()
    inputs = paragraphs(compiled / TOKENIZER)
    short = int(inputs["mask"].sum(1).argmin())
    length = int(inputs["mask"][short].sum())
    alone = {name: values[short : short + 1, :length] for name, values in inputs.items()}
    assert length < inputs["mask"].shape[1]
    np.testing.assert_allclose(
        run(quantized / TEXT, alone)[0], run(quantized / TEXT, inputs)[short], atol=1e-6
    )


@pytest.fixture
def norm_and_product(tmp_path: Path) -> Callable[[Floats], Path]:
    """A function that writes a layer norm with the given weights and a matrix after it, as ONNX."""

    def write(weight: Floats) -> Path:
        chance = np.random.default_rng(0)
        # The weights for a large channel are small, as in trained networks.
        matrix = chance.standard_normal((WIDTH, WIDTH), np.float32) / weight[:, None]
        constants = {"weight": weight, "bias": np.zeros(WIDTH, np.float32), "matrix": matrix}
        graph = helper.make_graph(
            [
                helper.make_node("LayerNormalization", ["x", "weight", "bias"], ["normed"]),
                helper.make_node("MatMul", ["normed", "matrix"], ["y"]),
            ],
            "tower",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", WIDTH))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", WIDTH))],
            [numpy_helper.from_array(values, name) for name, values in constants.items()],
        )
        opsets = [helper.make_opsetid("", 20)]
        file = tmp_path / "fp32.onnx"
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), file)
        return file

    return write


@pytest.mark.parametrize("as_uint8", [True, False])
def test_a_large_channel_does_not_cost_the_others_their_precision(
    norm_and_product: Callable[[Floats], Path],
    as_uint8: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not as_uint8 and quantize_module.int8_sums_saturate():
        pytest.skip("on this machine, sums of products of int8 do not fit")
    monkeypatch.setattr(quantize_module, "int8_sums_saturate", lambda: as_uint8)
    weight = np.ones(WIDTH, np.float32)
    weight[3] = OUTLIER
    file = norm_and_product(weight)
    quantize(file, tmp_path / "int8.onnx")
    x = {"x": np.random.default_rng(1).standard_normal((20, WIDTH), np.float32)}
    expected, found = run(file, x), run(tmp_path / "int8.onnx", x)
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error < 0.02


def test_a_token_of_zeros_stays_one(
    norm_and_product: Callable[[Floats], Path], tmp_path: Path
) -> None:
    quantize(norm_and_product(np.ones(WIDTH, np.float32)), tmp_path / "int8.onnx")
    zeros = np.zeros((2, WIDTH), np.float32)
    assert (run(tmp_path / "int8.onnx", {"x": zeros}) == zeros).all()


def test_quantizing_again_replaces_the_files(
    norm_and_product: Callable[[Floats], Path], tmp_path: Path
) -> None:
    file, target = norm_and_product(np.ones(WIDTH, np.float32)), tmp_path / "int8.onnx"
    sizes = []
    for _ in range(2):
        quantize(file, target)
        sizes.append([path.stat().st_size for path in sorted(tmp_path.glob("int8.onnx*"))])
    assert len(sizes[0]) == 2
    assert sizes[0] == sizes[1]
