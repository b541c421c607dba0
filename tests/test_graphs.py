"""Models of ONNX graphs from a hub: inputs by name, checks, and results equal to numpy's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph_files import (
    CHANNELS,
    CLIP_WORDS,
    JINA_WORDS,
    SPEC,
    TOKENS,
    WORDS,
    save_graphs,
    text_graph,
    vision_graph,
)
from numpy.typing import NDArray
from onnx import TensorProto, helper, save

from nmm.cli.console.hints import hint_of
from nmm.index.encoders.backend import Backend, Precision
from nmm.index.encoders.base import Task
from nmm.index.encoders.export.compiler import compile_model, ensure_compiled
from nmm.index.encoders.families.onnx_graph import check_graphs
from nmm.index.encoders.hub.cache_dirs import compiled_folder, weights_folder
from nmm.index.encoders.hub.compiled import is_compiled
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.registry import JINA_CLIP_V1
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import ModelError

TOLERANCE = 1e-5


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of jina-clip-v1, with tiny graphs that fit its row."""
    monkeypatch.setenv("NMM_CACHE", str(tmp_path / "cache"))
    folder = weights_folder(JINA_CLIP_V1)
    save_graphs(folder)
    return folder


def compiled() -> OnnxEncoder:
    """Return the encoder of the model in the cache, compiled in this process."""
    folder = compiled_folder(JINA_CLIP_V1)
    folder.mkdir(parents=True)
    compile_model(JINA_CLIP_V1, folder)
    encoder = load_encoder(JINA_CLIP_V1)
    assert isinstance(encoder, OnnxEncoder)
    return encoder


def check() -> None:
    check_graphs(JINA_CLIP_V1, weight_files(JINA_CLIP_V1))


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    normed: NDArray[Any] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normed


def text_vectors(*texts: str) -> NDArray[Any]:
    """Return what the tiny text graph computes for texts."""
    number = {word: WORDS.index(word) for word in WORDS}
    sentences = [["[CLS]", *text.split(), "[SEP]"] for text in texts]
    return unit(np.stack([sum(TOKENS[number[w]] for w in words) for words in sentences]))  # type: ignore[misc]


def test_a_model_of_graphs_is_prepared_apart_and_embeds(weights: Path) -> None:
    folder = ensure_compiled(JINA_CLIP_V1)
    assert sorted(file.name for file in folder.iterdir()) == ["manifest.json", "tokenizer.json"]
    assert is_compiled(JINA_CLIP_V1)
    encoder = load_encoder(JINA_CLIP_V1)
    content = b"".join(file.read_bytes() for file in weight_files(JINA_CLIP_V1))
    assert encoder.weights == hashlib.sha256(b"recipe 1\n" + content).hexdigest()
    embedded = encoder.embed_texts(["two cats"], Task.QUERY)
    np.testing.assert_allclose(embedded, text_vectors("two cats"), atol=TOLERANCE)


def test_graphs_run_as_they_are_where_the_precision_is_free(weights: Path) -> None:
    encoder = load_encoder(JINA_CLIP_V1, backend=Backend(precision=Precision.AUTO))
    embedded = encoder.embed_texts(["two cats"], Task.QUERY)
    np.testing.assert_allclose(embedded, text_vectors("two cats"), atol=TOLERANCE)


@pytest.mark.parametrize("n", [1, 5])
def test_images_are_normalised_and_embedded(weights: Path, n: int) -> None:
    pixels = np.random.default_rng(n).integers(0, 256, (n, 224, 224, 3), np.uint8)
    pixels[0, 50:] = 0  # means that differ
    normalised = (pixels / 255 - np.array(SPEC.mean)) / np.array(SPEC.std)
    expected = unit(normalised.mean((1, 2)) @ CHANNELS)
    embedded = compiled().embed_images(pixels)
    assert (embedded.shape, str(embedded.dtype)) == ((n, 768), "float32")
    np.testing.assert_allclose(embedded, expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    "inputs",
    [
        ("input_ids",),
        ("input_ids", "attention_mask"),
        ("attention_mask", "token_type_ids", "input_ids"),
    ],
    ids=" ".join,
)
def test_texts_are_embedded_with_what_the_graph_asks_for(
    weights: Path, inputs: Sequence[str]
) -> None:
    text_graph(weights / "onnx" / "text_model.onnx", inputs=inputs)
    texts = ["two cats", "boats", "two boats lake cats lake"]
    embedded = compiled().embed_texts(texts, Task.DOCUMENT)
    np.testing.assert_allclose(embedded, text_vectors(*texts), atol=TOLERANCE)


def test_an_output_of_another_name_is_taken_if_it_is_the_only_one_of_vectors(
    weights: Path,
) -> None:
    text_graph(weights / "onnx" / "text_model.onnx", output="sentence_embedding")
    embedded = compiled().embed_texts(["lake"], Task.QUERY)
    np.testing.assert_allclose(embedded, text_vectors("lake"), atol=TOLERANCE)


@pytest.mark.parametrize("words", [CLIP_WORDS, JINA_WORDS], ids=["CLIP's words", "Jina's words"])
def test_the_preprocessing_may_be_written_in_both_ways(
    weights: Path, words: dict[str, Any]
) -> None:
    (weights / "preprocessor_config.json").write_text(json.dumps(words))
    check()


@pytest.mark.parametrize(
    "words",
    [
        {**JINA_WORDS, "resize_mode": "squash"},
        {**JINA_WORDS, "interpolation": "bilinear"},
        {**JINA_WORDS, "size": 512},
        {**JINA_WORDS, "size": [224, 224]},
        {**JINA_WORDS, "mean": None},
        {**JINA_WORDS, "std": [0.5, 0.5, 0.5]},
        {**CLIP_WORDS, "do_resize": False},
        {**CLIP_WORDS, "image_mean": None},
        [],
    ],
    ids=str,
)
def test_another_preprocessing_is_refused(weights: Path, words: Any) -> None:
    (weights / "preprocessor_config.json").write_text(json.dumps(words))
    with pytest.raises(ModelError, match=r"The preprocessing of .* is not"):
        check()


VISION, TEXT = "vision_model.onnx", "text_model.onnx"
Write = Callable[[Path], None]


def writes(write: Callable[..., None], **options: Any) -> Write:
    return lambda file: write(file, **options)


def external(location: str) -> Write:
    """Return a graph whose weights are in another file, outside its folder."""

    def write(file: Path) -> None:
        import onnx

        vision_graph(file)
        content = onnx.load(file)
        (tensor,) = content.graph.initializer
        (file.parent.parent / "weights.bin").write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location.format(file.parent.parent))
        save(content, file)

    return write


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        (
            VISION,
            writes(vision_graph, pixels=("image", 1, ("batch", 3, 224, 224))),
            r"It takes image: tensor\(float\); nmm has pixel_values: tensor\(float\)",
        ),
        (
            VISION,
            writes(vision_graph, pixels=("pixel_values", 10, ("batch", 3, 224, 224))),
            r"It takes pixel_values: tensor\(float16\)|cannot be opened",
        ),
        (
            TEXT,
            writes(text_graph, inputs=("input_ids", "position_ids")),
            r"It takes input_ids: tensor\(int64\), position_ids: tensor\(int64\)",
        ),
        (
            VISION,
            writes(vision_graph, output="last", channels=np.ones((3, 4), np.float32)),
            r"returns vectors of shape \(2, 4\), not \(2, 768\)",
        ),
        (
            VISION,
            writes(vision_graph, channels=np.zeros((3, 768), np.float32)),
            "in a padded batch is only nan",
        ),
        (
            VISION,
            writes(vision_graph, pixels=("pixel_values", 1, (2, 3, 224, 224))),
            r"vision_model\.onnx cannot be run",
        ),
        (TEXT, writes(text_graph, shape=("batch", 9)), r"text_model\.onnx cannot be run"),
        (TEXT, writes(text_graph, sees_padding=True), "does not embed each input independently"),
        (VISION, writes(vision_graph, pool="Pool", domain="elsewhere"), "elsewhere:Pool"),
        (VISION, external("../weights.bin"), "escapes model directory"),
        (VISION, external("{}/weights.bin"), "[Aa]bsolute path"),
        (VISION, external("missing.bin"), r"missing\.bin"),
        (TEXT, lambda file: file.write_bytes(b"no ONNX"), r"text_model\.onnx cannot be opened"),
    ],
)
def test_a_graph_that_cannot_be_used_is_refused(
    weights: Path, name: str, write: Write, said: str
) -> None:
    write(weights / "onnx" / name)
    with pytest.raises(ModelError, match=said) as raised:
        check()
    assert str(weights / "onnx" / name) in str(raised.value)


def test_a_graph_with_several_outputs_of_vectors_and_none_of_the_name_is_refused(
    weights: Path,
) -> None:
    import onnx

    file = weights / "onnx" / VISION
    vision_graph(file, output="one")
    content = onnx.load(file)
    content.graph.output.append(helper.make_tensor_value_info("means", 1, ("batch", 3)))
    save(content, file)
    with pytest.raises(ModelError, match="It returns last_hidden_state, one, means, and no image"):
        check()


def remove(file: Path) -> None:
    file.unlink()


def shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [remove, shorten])
def test_without_its_graphs_a_model_is_not_compiled(
    weights: Path, damage: Callable[[Path], None]
) -> None:
    compiled()
    assert is_compiled(JINA_CLIP_V1)
    damage(weights / "onnx" / TEXT)
    assert not is_compiled(JINA_CLIP_V1)


def test_a_graph_that_cannot_be_opened_later_is_an_error_that_says_what_to_do(
    weights: Path,
) -> None:
    encoder = compiled()
    file = weights / "onnx" / TEXT
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(ModelError, match="The model jina-clip-v1 cannot be opened") as raised:
        encoder.embed_texts(["lake"], Task.QUERY)
    assert str(file) in raised.value.why
    assert hint_of(raised.value).endswith("nmm models pull jina-clip-v1")


def test_vectors_of_another_dimension_than_the_rows_are_refused(weights: Path) -> None:
    model = replace(JINA_CLIP_V1, dimension=512)
    with pytest.raises(ModelError, match=r"shape \(2, 768\), not \(2, 512\)"):
        check_graphs(model, weight_files(JINA_CLIP_V1))
