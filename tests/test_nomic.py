"""The Nomic pair: parity with the reference, and a pair in a folder at work.

`golden/nomic-tiny` contains a small random pair in hub layout and the output of the reference
implementation, see `golden/README.md`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import searching
import torch
from numpy.typing import NDArray
from pairs import write_tiny_pair
from safetensors.torch import load_file, save_file
from support import SAMPLE_DATA, Nmm
from torch import nn

from nmm.index.encoders.base import ImagePreprocessing, Task
from nmm.index.encoders.export.compiler import compile_model, ensure_compiled
from nmm.index.encoders.export.onnx_export import export_tower
from nmm.index.encoders.families.fused_ops import OPERATORS
from nmm.index.encoders.families.nomic_towers import TextTower, VisionTower, build_towers
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.resolve import find_model, model_in_folder
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import ModelError
from nmm.index.indexing.indexer import build
from nmm.index.search.engine import open_search
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.layout import IndexFolder

GOLDEN = Path(__file__).parent / "golden" / "nomic-tiny"
EXPECTED = np.load(GOLDEN / "expected.npz")
TOLERANCE = 1e-4


def tower(kind: type[nn.Module], name: str) -> Any:
    """Return a golden encoder with its weights."""
    loaded = kind(json.loads((GOLDEN / name / "config.json").read_text("utf-8")))
    loaded.load_state_dict(load_file(GOLDEN / name / "model.safetensors"))
    return loaded.eval()


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """The golden pair with a tokenizer. Tests may change it."""
    return write_tiny_pair(tmp_path / "pair")


def test_text_embeddings_are_those_of_the_reference() -> None:
    text = tower(TextTower, "text")
    ids, mask = torch.tensor(EXPECTED["input_ids"]), torch.tensor(EXPECTED["attention_mask"])
    with torch.inference_mode():
        hidden, batch = text.hidden(ids, mask).numpy(), text(ids, mask).numpy()
        alone = [
            text(ids[i : i + 1, :n], mask[i : i + 1, :n]).numpy()[0]
            for i, n in enumerate(mask.sum(1).tolist())
        ]
    real = EXPECTED["attention_mask"].astype(bool)
    np.testing.assert_allclose(
        hidden[real], EXPECTED["text_last_hidden_state"][real], atol=TOLERANCE
    )
    np.testing.assert_allclose(batch, EXPECTED["text_embedding"], atol=TOLERANCE)
    np.testing.assert_allclose(alone, EXPECTED["text_embedding"], atol=TOLERANCE)


def test_image_embeddings_are_those_of_the_reference() -> None:
    vision = tower(VisionTower, "vision")
    pixels = torch.tensor(EXPECTED["pixel_values"])
    with torch.inference_mode():
        tokens, update = vision.pooled(pixels)
        batch = vision(pixels).numpy()
        alone = [vision(image[None]).numpy()[0] for image in pixels]
    np.testing.assert_allclose(
        (tokens + update).numpy(), EXPECTED["image_last_hidden_state"], atol=TOLERANCE
    )
    np.testing.assert_allclose(batch, EXPECTED["image_embedding"], atol=TOLERANCE)
    np.testing.assert_allclose(alone, EXPECTED["image_embedding"], atol=TOLERANCE)


def test_every_parameter_matters() -> None:
    """The golden data would not verify a tensor that has no effect."""
    text, vision = tower(TextTower, "text"), tower(VisionTower, "vision")
    ids, mask = torch.tensor(EXPECTED["input_ids"]), torch.tensor(EXPECTED["attention_mask"])
    inputs = ((text, (ids, mask)), (vision, (torch.tensor(EXPECTED["pixel_values"]),)))
    for module, arguments in inputs:
        output = module(*arguments)
        (output * torch.arange(output.numel()).view_as(output)).sum().backward()
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            if name != "embeddings.token_type_embeddings.weight":  # its second row is unused
                assert parameter.grad.abs().max() > 0, name


def run(file: Path, **inputs: NDArray[Any]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    vectors: NDArray[np.float32] = session.run(None, inputs)[0]
    return vectors


def test_the_compiled_pair_is_the_reference_too(pair: Path, tmp_path: Path) -> None:
    model = model_in_folder(pair)
    compiled = tmp_path / "compiled"
    compiled.mkdir()
    compile_model(model, compiled)
    ids, mask = EXPECTED["input_ids"], EXPECTED["attention_mask"]
    batch = run(compiled / "text.onnx", ids=ids, mask=mask)
    np.testing.assert_allclose(batch, EXPECTED["text_embedding"], atol=TOLERANCE)
    # Truncated to the dimension, as every encoder does after its model.
    short = OnnxEncoder(replace(model, dimension=16), compiled)
    np.testing.assert_allclose(short._cut(batch), EXPECTED["text_embedding_16"], atol=TOLERANCE)
    for row, length in enumerate(mask.sum(1)):
        one = slice(row, row + 1)
        alone = run(compiled / "text.onnx", ids=ids[one, :length], mask=mask[one, :length])
        np.testing.assert_allclose(alone, EXPECTED["text_embedding"][one], atol=TOLERANCE)
    # The compiled encoder takes bytes: the nearest to the golden pixels, and torch's result for the
    # same.
    spec = model.image
    mean, std = (np.array(v).reshape(3, 1, 1) for v in (spec.mean, spec.std))
    levels = (EXPECTED["pixel_values"] * std + mean) * 255
    pixels = levels.round().clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    vision = build_towers(model, weight_files(model)).vision
    with torch.inference_mode():
        expected = vision(torch.from_numpy(np.ascontiguousarray(pixels))).numpy()
    for some in (pixels, pixels[:1]):
        np.testing.assert_allclose(
            run(compiled / "vision.onnx", pixels=np.ascontiguousarray(some)),
            expected[: len(some)],
            atol=TOLERANCE,
        )


def test_steps_that_onnx_runtime_does_in_one_are_one_in_the_compiled_pair(
    pair: Path, tmp_path: Path
) -> None:
    model = model_in_folder(pair)
    compile_model(model, tmp_path)
    layers = json.loads((pair / "text" / "config.json").read_text("utf-8"))["n_layer"]
    found = {}
    for tower_file in ("vision.onnx", "text.onnx"):
        graph = onnx.load(tmp_path / tower_file, load_external_data=False).graph
        found[tower_file] = Counter(n.op_type for n in graph.node if n.domain == OPERATORS)
    assert found == {
        # In each block, and where the learned query attends to all tokens.
        "vision.onnx": {"MultiHeadAttention": layers + 1, "RotaryEmbedding": 2 * layers},
        "text.onnx": {"RotaryEmbedding": 2 * layers},
    }


def test_the_exported_vision_tower_is_the_reference_on_its_pixels(tmp_path: Path) -> None:
    """The golden pixels are no image: their range exceeds that of bytes."""
    file, pixels = tmp_path / "vision.onnx", EXPECTED["pixel_values"]
    export_tower(tower(VisionTower, "vision"), (torch.tensor(pixels[:2]),), ["pixels"], file)
    batch = run(file, pixels=pixels)
    np.testing.assert_allclose(batch, EXPECTED["image_embedding"], atol=TOLERANCE)
    for row, image in enumerate(pixels):
        (alone,) = run(file, pixels=image[None])
        np.testing.assert_allclose(alone, EXPECTED["image_embedding"][row], atol=TOLERANCE)


def test_an_index_has_texts_as_documents_and_is_asked_with_queries(
    tiny_pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, folder = tmp_path / "note.txt", IndexFolder(tmp_path / "index")
    note.write_text("A cat sleeps.", "utf-8")
    build([note], folder, model=str(tiny_pair))
    prompts: list[str] = []
    real = OnnxEncoder.embed_prompts

    def watch(self: OnnxEncoder, texts: Sequence[str]) -> NDArray[np.float32]:
        prompts.extend(texts)
        return real(self, texts)

    with Catalog.open(folder.catalog) as catalog:
        ((_, vectors),) = catalog.vectors("text")
    encoder = load_encoder(model_in_folder(tiny_pair))
    document, query = encoder.embed_prompts(
        ["search_document: A cat sleeps.", "search_query: A cat sleeps."]
    )
    np.testing.assert_allclose(vectors[0], document, atol=1e-3)  # it is stored in half precision
    assert not np.allclose(vectors[0], query, atol=1e-2)
    with open_search(folder) as search:
        searching.find(search, "before", 1)  # also embeds neutral queries, once
        monkeypatch.setattr(OnnxEncoder, "embed_prompts", watch)
        searching.find(search, "a cat", 1)
    assert prompts == ["search_query: a cat"]


def test_the_row_says_what_the_configurations_say(pair: Path) -> None:
    model = find_model(str(pair))
    assert model.name == str(pair)
    assert (model.dimension, model.text.context) == (48, 2048)
    assert model.image == ImagePreprocessing(
        64, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    )
    assert model.prompt("cats", Task.QUERY) == "search_query: cats"
    assert model.prompt("cats", Task.DOCUMENT) == "search_document: cats"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("emb_ln.bias"), "emb_ln.bias is missing"),
        (lambda w: w.update(more=torch.zeros(2)), "more is not expected"),
        (
            lambda w: w.update({"emb_ln.bias": torch.zeros(4)}),
            "emb_ln.bias has the shape (4,), not (48,)",
        ),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(change: Any, said: str, pair: Path) -> None:
    file = pair / "text" / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file)
    model = model_in_folder(pair)
    with pytest.raises(ModelError) as raised:
        build_towers(model, weight_files(model))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("vision/config.json", {"norm_mlp": False}, "norm_mlp is False, not True"),
        ("text/config.json", {"prenorm": True}, "prenorm is True, not False"),
        ("text/config.json", {"architectures": ["BertModel"]}, "not NomicBertModel"),
        ("text/config.json", {"n_embd": 96}, "Vision has 48 dimensions, text 96"),
        ("text/config.json", {"rotary_emb_base": None}, "rotary_emb_base is missing"),
        ("vision/config.json", {"n_inner": None}, "n_inner is missing"),
        ("vision/preprocessor_config.json", {"rescale_factor": 0}, "must resize (bicubic)"),
        ("vision/preprocessor_config.json", {"resample": 2}, "must resize (bicubic)"),
    ],
)
def test_unsupported_configurations_are_refused(
    file: str, change: dict[str, Any], said: str, pair: Path
) -> None:
    config = json.loads((pair / file).read_text("utf-8"))
    (pair / file).write_text(json.dumps({**config, **change}), "utf-8")
    with pytest.raises(ModelError) as raised:
        model_in_folder(pair)
    assert said in str(raised.value)


def test_other_weights_in_the_folder_are_compiled_anew(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMM_CACHE", str(tmp_path / "cache"))
    other = ensure_compiled(model_in_folder(write_tiny_pair(tmp_path / "other" / "pair")))
    before = ensure_compiled(model_in_folder(pair))
    weights = load_file(pair / "text/model.safetensors")
    weights["emb_ln.bias"] += 1
    save_file(weights, pair / "text/model.safetensors")
    after = ensure_compiled(model_in_folder(pair))
    # The compiled model of the old weights in that folder is gone, that of another folder with the
    # same name is not.
    assert {f for f in after.parent.iterdir() if f.is_dir()} == {after, other} != {before, other}


def test_an_index_is_made_and_searched_with_a_pair_in_a_folder(
    nmm: Nmm, pair: Path, tmp_path: Path
) -> None:
    """Search results with random weights are meaningless, but the same in every run."""
    own_cache = {"NMM_CACHE": str(tmp_path / "cache")}
    done = nmm("index", SAMPLE_DATA, "--model", "pair", "--json", **own_cache)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == str(pair)
    answer = json.loads(nmm("search", "a cat", "--json", "-k31", **own_cache).stdout)
    assert (answer["model"], len(answer["results"])) == (str(pair), 31)
    status = json.loads(nmm("status", "--json", **own_cache).stdout)
    assert (status["model"], status["dimension"], status["images"]) == (str(pair), 48, 12)
    other = nmm("index", SAMPLE_DATA, "--model", "mini", **own_cache)
    assert other.returncode == 2
    assert "12 images and 19 texts" in other.stderr
    (pair / "vision" / "model.safetensors").unlink()
    gone = nmm("search", "a cat", **own_cache)
    assert gone.returncode == 4
    assert "model.safetensors is missing" in gone.stderr
