"""What every family of encoders must do. A new family passes by being registered.

Each family needs a sample here: a small model of random weights in the layout of its files.
`mini` is its own sample, because its family has one model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_files import save_clip
from graph_files import save_graphs
from numpy.typing import NDArray
from pairs import write_tiny_pair

from nmm.index.encoders.backend import Device, Precision
from nmm.index.encoders.base import Model, Task
from nmm.index.encoders.export.compiler import compile_model, ensure_compiled, hash_weights
from nmm.index.encoders.families.adapters import ADAPTERS, adapter_of
from nmm.index.encoders.families.base import EncoderAdapter
from nmm.index.encoders.hub.cache_dirs import compiled_folder
from nmm.index.encoders.hub.compiled import is_compiled, read_manifest
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.registry import CLIP_VIT_B_16, JINA_CLIP_V1, MINI, MODELS
from nmm.index.encoders.resolve import find_model, model_in_folder
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import ModelError

TOLERANCE = 1e-5
TEXTS = ["two cats", "boats", "two boats on a lake with cats and boats", ""]


def in_folder(model: Model, folder: Path) -> Model:
    """Return a row whose files are in a folder instead of in the cache."""
    files = tuple(str(folder / name) for name in model.files)
    return replace(model, name=str(folder), files=files, sources=())


def tiny_nomic(folder: Path) -> Model:
    return model_in_folder(write_tiny_pair(folder))


def tiny_clip(folder: Path) -> Model:
    save_clip(folder, legacy=False)
    return in_folder(CLIP_VIT_B_16, folder)


def tiny_graphs(folder: Path) -> Model:
    save_graphs(folder)
    return in_folder(JINA_CLIP_V1, folder)


SAMPLES: Mapping[str, Callable[[Path], Model]] = {
    "nomic": tiny_nomic,
    "clip": tiny_clip,
    "mini": lambda _: MINI,
    "onnx_graph": tiny_graphs,
}


@dataclass(frozen=True)
class Sample:
    """A small model of a family, ready to use."""

    adapter: EncoderAdapter
    model: Model
    encoder: OnnxEncoder

    def with_text(self, **changes: Any) -> OnnxEncoder:
        """Return the same model with another preprocessing of texts."""
        model = replace(self.model, text=replace(self.model.text, **changes))
        return OnnxEncoder(model, self.encoder.folder)


@pytest.fixture(scope="module", params=sorted(ADAPTERS))
def sample(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mini: OnnxEncoder
) -> Sample:
    folder = tmp_path_factory.mktemp(request.param)
    model = SAMPLES[request.param](folder / "model")
    if model is MINI:
        return Sample(adapter_of(MINI), MINI, mini)
    compiled = folder / "compiled"
    compiled.mkdir()
    compile_model(model, compiled)
    return Sample(adapter_of(model), model, OnnxEncoder(model, compiled))


def some_pixels(model: Model, count: int = 3) -> NDArray[np.uint8]:
    """Return images with different colours: noise has the same mean everywhere."""
    side = model.image.side
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    for row in range(count):
        pixels[row, : side // (row + 2), :, row % 3] = 0
    return pixels


def test_every_family_has_a_sample_and_every_model_a_family() -> None:
    assert set(SAMPLES) == set(ADAPTERS) == {adapter.name for adapter in ADAPTERS.values()}
    assert {model.family for model in MODELS.values()} <= set(ADAPTERS)


def test_every_family_runs_in_fp32_on_the_cpu(sample: Sample) -> None:
    assert Device.CPU in sample.adapter.devices
    assert Device.AUTO not in sample.adapter.devices
    assert Precision.FP32 in sample.adapter.precisions
    assert Precision.AUTO not in sample.adapter.precisions


def test_vectors_have_unit_length_and_the_dimension_of_the_row(sample: Sample) -> None:
    encoder, pixels = sample.encoder, some_pixels(sample.model)
    for vectors in (encoder.embed_images(pixels), encoder.embed_texts(TEXTS, Task.QUERY)):
        assert vectors.dtype == np.float32
        assert vectors.shape[1] == sample.model.dimension
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=TOLERANCE)


def test_different_inputs_have_different_vectors(sample: Sample) -> None:
    encoder, pixels = sample.encoder, some_pixels(sample.model, 2)
    for first, second in (encoder.embed_images(pixels), encoder.embed_texts(TEXTS[:2], Task.QUERY)):
        assert np.abs(first - second).max() > 100 * TOLERANCE


def test_a_batch_embeds_each_input_as_if_it_were_alone(sample: Sample) -> None:
    encoder, pixels = sample.encoder, some_pixels(sample.model, 5)
    alone = [encoder.embed_images(pixels[row : row + 1])[0] for row in range(len(pixels))]
    np.testing.assert_allclose(encoder.embed_images(pixels), alone, atol=TOLERANCE)
    alone = [encoder.embed_texts([text], Task.QUERY)[0] for text in TEXTS]
    np.testing.assert_allclose(encoder.embed_texts(TEXTS, Task.QUERY), alone, atol=TOLERANCE)


def test_submitted_inputs_have_the_same_vectors(sample: Sample) -> None:
    encoder, pixels = sample.encoder, some_pixels(sample.model)
    images, texts = encoder.submit_images(pixels), encoder.submit_texts(TEXTS, Task.QUERY)
    np.testing.assert_array_equal(images.result(), encoder.embed_images(pixels))
    np.testing.assert_array_equal(texts.result(), encoder.embed_texts(TEXTS, Task.QUERY))


def test_a_prefix_changes_the_vector_and_its_absence_does_not(sample: Sample) -> None:
    by_task = [sample.encoder.embed_texts(["two cats"], task)[0] for task in Task]
    prefixes = {sample.model.text.prefixes.get(task, "") for task in Task}
    assert len(np.unique(np.round(by_task, 4), axis=0)) == len(prefixes)
    prefixed = sample.with_text(prefixes={Task.QUERY: "boats: "})
    np.testing.assert_array_equal(
        prefixed.embed_texts(["two cats"], Task.QUERY),
        sample.with_text(prefixes={}).embed_texts(["boats: two cats"], Task.QUERY),
    )


def test_a_text_beyond_the_context_is_truncated(sample: Sample) -> None:
    encoder = sample.with_text(context=8, prefixes={})
    texts = [" ".join(["cat"] * words) for words in range(1, 40)]
    tokens = [len(encoder.tokenizer.encode(text)) for text in texts]
    assert 8 in tokens, "a text that fills the context"
    assert tokens[-1] > 8
    shortest, full, longest = encoder.embed_texts(
        [texts[0], texts[tokens.index(8)], texts[-1]], Task.QUERY
    )
    np.testing.assert_allclose(longest, full, atol=TOLERANCE)
    assert np.abs(shortest - full).max() > TOLERANCE


def test_the_tokenizer_neither_truncates_nor_pads(sample: Sample) -> None:
    short, long = sample.encoder.tokenizer.encode_batch(["cat", "cat " * 10_000])
    assert len(short) < len(long)
    assert len(long) > 10_000


def test_the_graphs_are_files(sample: Sample) -> None:
    graphs = sample.adapter.graph_files(sample.model, sample.encoder.folder)
    assert [file.is_file() for file in graphs] == [True, True]


def test_weights_of_something_else_are_refused_with_a_reason(
    sample: Sample, tmp_path: Path
) -> None:
    names = [f"{number}-{Path(name).name}" for number, name in enumerate(sample.model.files)]
    files = [tmp_path / name for name in names]
    for file in files:
        file.write_bytes(b"{}")
    with pytest.raises(ModelError) as raised:
        sample.adapter.compile(sample.model, files, lambda _: pytest.fail("exported"))
    assert str(tmp_path) in raised.value.what
    assert raised.value.why


def test_a_folder_of_something_else_is_left_to_other_families(
    sample: Sample, tmp_path: Path
) -> None:
    tmp_path.joinpath("notes.txt").write_text("The cat sleeps on the piano.")
    assert sample.adapter.from_folder(tmp_path) is None


def test_a_folder_that_lacks_a_file_is_refused_with_a_reason(
    sample: Sample, tmp_path: Path
) -> None:
    for name in sample.adapter.folder_files:
        only = tmp_path / name.replace("/", "-")
        only.joinpath(name).parent.mkdir(parents=True)
        only.joinpath(name).write_text("{}")
        with pytest.raises(ModelError) as raised:
            sample.adapter.from_folder(only)
        assert raised.value.why


def test_a_folder_without_a_model_is_an_error_that_says_which_files_it_needs(
    tmp_path: Path,
) -> None:
    with pytest.raises(ModelError) as raised:
        find_model(str(tmp_path))
    assert str(raised.value).splitlines() == [
        f"There is no model in {tmp_path}.",
        "Its files are not those of a model that nmm reads from a folder.",
        "The folder needs a model in the layout of the hub: vision/model.safetensors, "
        "vision/config.json, vision/preprocessor_config.json, text/model.safetensors, "
        "text/config.json, text/tokenizer.json",
    ]


# Computed by the releases before families. Indexes store these hashes, and caches contain folders
# with these names: if one changed, every index would be outdated and every model compiled again.
MINI_WEIGHTS = "99a3faa150d89aafcd10da6b8c2740f5f56997491348ed496499368cd5d1e9fe"
TINY_PAIR_WEIGHTS = "01856255a66e14ed2d230a9dad8dd63d2aee40568c1060c723d95b396e39c531"


def test_stored_hashes_of_weights_stay_valid(tmp_path: Path, mini: OnnxEncoder) -> None:
    pair = write_tiny_pair(tmp_path / "pair")
    # Written by the test: the output of the tokenizers package depends on its version.
    (pair / "text" / "tokenizer.json").write_text('{"version": "1.0"}\n')
    model = model_in_folder(pair)
    assert hash_weights(weight_files(model), model.recipe) == TINY_PAIR_WEIGHTS
    assert mini.weights == hash_weights(weight_files(MINI), MINI.recipe) == MINI_WEIGHTS


def test_compiled_models_of_earlier_releases_stay_valid(mini: OnnxEncoder) -> None:
    assert compiled_folder(MINI).name == "mini-1"
    assert compiled_folder(MINI, Precision.INT8).name == "mini-1-int8"
    manifest = read_manifest(mini.folder)
    assert list(manifest) == ["model", "form", "weights", "sizes"]
    assert {**manifest, "sizes": sorted(manifest["sizes"])} == {
        "model": "mini",
        "form": 2,
        "weights": MINI_WEIGHTS,
        "sizes": [
            "text.onnx",
            "text.onnx.data",
            "tokenizer.json",
            "vision.onnx",
            "vision.onnx.data",
        ],
    }
    assert is_compiled(MINI)


def test_the_compiled_folder_of_a_pair_is_named_by_its_path_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    monkeypatch.setenv("NMM_CACHE", str(tmp_path / "cache"))
    model = model_in_folder(write_tiny_pair(tmp_path / "pair"))
    stats = [(file, Path(file).stat()) for file in model.files]
    seen = repr([(file, s.st_size, s.st_mtime_ns) for file, s in stats])
    path, files = (hashlib.sha256(t.encode()).hexdigest()[:12] for t in (model.name, seen))
    folder = tmp_path / "cache" / "models" / f"pair-{path}-{files}-1"
    assert compiled_folder(model) == folder
    folder.mkdir(parents=True)
    folder.joinpath("text.onnx").write_bytes(b"graph")
    folder.joinpath("manifest.json").write_text(
        '{"model": "pair", "form": 2, "weights": "0", "sizes": {"text.onnx": 5}}'
    )
    assert ensure_compiled(model, lambda: pytest.fail("compiled again")) == folder
