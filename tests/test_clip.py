"""CLIP equals transformers' CLIP, in torch and compiled, from tokenizer to vector."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_files import save_clip
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, processors
from torch import Tensor

from nmm.index.encoders.backend import Backend, Device
from nmm.index.encoders.base import Task
from nmm.index.encoders.export.compiler import compile_model
from nmm.index.encoders.families import clip_towers
from nmm.index.encoders.families.base import Towers
from nmm.index.encoders.hub.cache_dirs import compiled_folder, weights_folder
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.registry import CLIP_VIT_B_16
from nmm.index.encoders.runtime.batching import BatchedEncoder
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.errors import ModelError

TOLERANCE = 1e-4
LONG = "the hot cat " * 40
TEXTS = ["The hot cat", "", "Ein schöner Föhn, 東京 🐈", LONG, "a", f"x{LONG}"]
SPECIALS = 2


@pytest.fixture(scope="module", params=[True, False], ids=["legacy", "today"])
def cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cache with the weights of a tiny clip-vit-b-16."""
    folder = tmp_path_factory.mktemp("clip")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NMM_CACHE", str(folder))
        save_clip(weights_folder(CLIP_VIT_B_16), legacy=request.param)
        yield folder


@pytest.fixture(scope="module")
def ours(cache: Path) -> Towers:
    return clip_towers.build_towers(CLIP_VIT_B_16, weight_files(CLIP_VIT_B_16))


@pytest.fixture(scope="module")
def encoder(cache: Path) -> BatchedEncoder:
    """An encoder compiled in this process; another test compiles in a separate one."""
    folder = compiled_folder(CLIP_VIT_B_16)
    folder.mkdir(parents=True)
    compile_model(CLIP_VIT_B_16, folder)
    return load_encoder(CLIP_VIT_B_16, backend=Backend(device=Device.CPU))


class Theirs:
    """The same weights and tokenizer in transformers."""

    def __init__(self, folder: Path) -> None:
        import transformers

        self.model = transformers.CLIPModel.from_pretrained(folder).eval()
        self.tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), pad_token="<|endoftext|>"
        )

    @torch.inference_mode()
    def images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        spec = CLIP_VIT_B_16.image
        normalised = (pixels / 255 - np.array(spec.mean)) / np.array(spec.std)
        values = torch.tensor(normalised, dtype=torch.float32).permute(0, 3, 1, 2)
        return self._unit(self.model.get_image_features(values))

    @torch.inference_mode()
    def tokens(self, ids: Tensor, mask: Tensor) -> NDArray[np.float32]:
        return self._unit(self.model.get_text_features(ids, mask))

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        tokens = self.tokenizer(
            list(texts), truncation=True, max_length=77, padding=True, return_tensors="pt"
        )
        return self.tokens(tokens.input_ids, tokens.attention_mask)

    @staticmethod
    def _unit(features: Any) -> NDArray[np.float32]:
        # Since transformers 5 they come with the hidden states.
        vectors = getattr(features, "pooler_output", features)
        return np.asarray(vectors / vectors.norm(dim=-1, keepdim=True))


@pytest.fixture(scope="module")
def theirs(cache: Path) -> Theirs:
    return Theirs(weights_folder(CLIP_VIT_B_16))


def random_pixels(n: int) -> NDArray[np.uint8]:
    return np.random.default_rng(n).integers(0, 256, (n, 224, 224, 3), np.uint8)


def padded_tokens(towers: Towers, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return random tokens of these lengths, each with a start and an end, padded with 0."""
    last = towers.tokenizer.get_vocab_size() - 1
    ids = torch.randint(
        last - 1, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(1)
    )
    position = torch.arange(max(lengths))
    length = torch.tensor(lengths)[:, None]
    ids[:, 0] = last - 1
    ids[position == length - 1] = last
    mask = position < length
    return ids * mask, mask.long()


@torch.inference_mode()
def test_image_embeddings_are_those_of_transformers(ours: Towers, theirs: Theirs) -> None:
    pixels = random_pixels(3)
    expected = theirs.images(pixels)
    batch = ours.vision(torch.tensor(pixels)).numpy()
    alone = [ours.vision(torch.tensor(image[None])).numpy()[0] for image in pixels]
    np.testing.assert_allclose(batch, expected, atol=TOLERANCE)
    np.testing.assert_allclose(alone, expected, atol=TOLERANCE)


@pytest.mark.parametrize("lengths", [[9, 9, 9], [77, 12, 2], [2]], ids=str)
@torch.inference_mode()
def test_text_embeddings_are_those_of_transformers(
    ours: Towers, theirs: Theirs, lengths: list[int]
) -> None:
    ids, mask = padded_tokens(ours, lengths)
    alone = [
        ours.text(ids[i : i + 1, :n], mask[i : i + 1, :n]).numpy()[0] for i, n in enumerate(lengths)
    ]
    expected = theirs.tokens(ids, mask)
    np.testing.assert_allclose(ours.text(ids, mask), expected, atol=TOLERANCE)
    np.testing.assert_allclose(alone, expected, atol=TOLERANCE)


@pytest.mark.parametrize("n", [1, 4, 7])
def test_compiled_image_embeddings_are_those_of_transformers(
    encoder: BatchedEncoder, theirs: Theirs, n: int
) -> None:
    pixels = random_pixels(n)
    embedded = encoder.embed_images(pixels)
    assert (embedded.shape, str(embedded.dtype)) == ((n, 512), "float32")
    np.testing.assert_allclose(embedded, theirs.images(pixels), atol=TOLERANCE)


@pytest.mark.parametrize("texts", [*([text] for text in TEXTS), TEXTS], ids=range(7))
def test_compiled_text_embeddings_are_those_of_transformers(
    encoder: BatchedEncoder, theirs: Theirs, texts: list[str]
) -> None:
    embedded = encoder.embed_texts(texts, Task.QUERY)
    np.testing.assert_allclose(embedded, theirs.texts(texts), atol=TOLERANCE)


def test_a_long_text_is_truncated(encoder: BatchedEncoder) -> None:
    """LONG has one token per word, so 75 words and two special tokens are read."""
    read = " ".join(LONG.split()[: 77 - SPECIALS])
    more, all_that_is_read, less = encoder.embed_texts([LONG, read, read[:-4]], Task.DOCUMENT)
    np.testing.assert_allclose(more, all_that_is_read, atol=1e-6)
    assert less @ all_that_is_read < 0.999


Change = Callable[[Path], None]


def changed_weights(change: Callable[[dict[str, Tensor]], object]) -> Change:
    def apply(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")

    return apply


def changed_json(name: str, change: Callable[[Any], object]) -> Change:
    def apply(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return apply


def without_end(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        "<|startoftext|> $0", None, [("<|startoftext|>", tokenizer.token_to_id("<|startoftext|>"))]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def cut(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"short")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed_weights(lambda w: w.pop("logit_scale")), "logit_scale is missing"),
        (
            changed_weights(lambda w: w.update(extra=torch.ones(1))),
            "extra is not expected",
        ),
        (
            changed_weights(lambda w: w.update({"text_projection.weight": torch.ones(2, 2)})),
            r"text_projection.weight has the shape \(2, 2\), not \(512, 32\)",
        ),
        (
            changed_weights(
                lambda w: w.update(
                    {"text_model.embeddings.position_ids": torch.arange(77).flip(0)[None]}
                )
            ),
            "text_model.embeddings.position_ids is not what nmm computes",
        ),
        (cut, r"model\.safetensors cannot be read"),
        (
            changed_json("config.json", lambda c: c.update(model_type="siglip")),
            "model_type is 'siglip'",
        ),
        (
            changed_json("config.json", lambda c: c["text_config"].update(hidden_size="wide")),
            r"config\.json is not the configuration of a CLIP",
        ),
        (
            changed_json("config.json", lambda c: c.update(projection_dim=256)),
            "projection_dim is 256, not 512",
        ),
        (
            changed_json(
                "config.json", lambda c: c["text_config"].update(max_position_embeddings=32)
            ),
            "max_position_embeddings is 32, not 77",
        ),
        (
            changed_json("preprocessor_config.json", lambda c: c.update(size=336, crop_size=336)),
            "The preprocessing of .* is not the one that nmm uses",
        ),
        (without_end, r"the end of a text is \[518\], not \[519\]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_models_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change, said: str
) -> None:
    monkeypatch.setenv("NMM_CACHE", str(tmp_path))
    save_clip(weights_folder(CLIP_VIT_B_16), legacy=True)
    change(weights_folder(CLIP_VIT_B_16))
    with pytest.raises(ModelError, match=said):
        clip_towers.build_towers(CLIP_VIT_B_16, weight_files(CLIP_VIT_B_16))
