"""The encoders in torch equal their sources, and classify two photos correctly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support import SAMPLE_DATA
from torch import Tensor, nn
from torch.nn import functional

from nmm.index.encoders.families.bert import BertConfig, MeanPooledBert
from nmm.index.encoders.families.efficientnet import EfficientNetLite2, _SameConv2d
from nmm.index.encoders.families.mini_towers import _load_bert, build_towers
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.tokenizer import open_tokenizer
from nmm.index.errors import ModelError

NETWORK, BERT, BERT_CONFIG, TOKENIZER = weight_files(MINI)[:4]
EAGER: dict[str, Any] = {"attn_implementation": "eager"}


def mean_pooled(bert: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    """Return what sentence-transformers computes from BERT's last hidden state."""
    hidden: Tensor = bert(input_ids=ids, attention_mask=mask).last_hidden_state
    weight = mask[:, :, None].float()
    return functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1)


@pytest.fixture(scope="module")
def tiny_berts() -> tuple[nn.Module, MeanPooledBert]:
    """Return transformers' BERT and ours with the same random weights."""
    import transformers

    shape: dict[str, Any] = {
        "vocab_size": 50,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "max_position_embeddings": 12,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-3,  # large, so that it has an effect
    }
    config = transformers.BertConfig(**shape, **EAGER)
    theirs: nn.Module = transformers.BertModel(config, add_pooling_layer=False)
    theirs.eval()
    torch.manual_seed(0)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5)
    ours = MeanPooledBert(BertConfig(**shape)).eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@pytest.mark.parametrize("lengths", [[7, 7, 7], [12, 5, 1]], ids=["unpadded", "padded"])
@torch.inference_mode()
def test_bert_is_that_of_transformers(
    tiny_berts: tuple[nn.Module, MeanPooledBert], lengths: list[int]
) -> None:
    theirs, ours = tiny_berts
    ids = torch.randint(50, (3, max(lengths)), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    torch.testing.assert_close(ours(ids, mask), mean_pooled(theirs, ids, mask), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_minilm_is_that_of_transformers() -> None:
    from transformers import BertModel

    theirs: nn.Module = BertModel.from_pretrained(BERT.parent, **EAGER)
    theirs.eval()
    ours = _load_bert(BERT, json.loads(BERT_CONFIG.read_text("utf-8")))
    tokenizer = open_tokenizer(TOKENIZER)
    tokenizer.enable_padding()
    encodings = tokenizer.encode_batch(
        ["A cup of coffee.", "Der Föhn drückt auf die Stadt, seit Tagen schon.", ""]
    )
    ids = torch.tensor([encoding.ids for encoding in encodings])
    mask = torch.tensor([encoding.attention_mask for encoding in encodings])
    torch.testing.assert_close(ours(ids, mask), mean_pooled(theirs, ids, mask), atol=1e-5, rtol=0)


def photo_pixels(names: Sequence[str]) -> Tensor:
    """Return normalised pixels (n, 3, side, side) of photos of the sample data."""
    photos = [Image.open(SAMPLE_DATA / "photos" / name) for name in names]
    pixels = torch.stack([torch.tensor(to_pixels(photo, MINI.image)) for photo in photos])
    return (pixels.permute(0, 3, 1, 2).float() - 127) / 128


def best(logits: Tensor) -> dict[int, float]:
    """Return the three likeliest classes with their logits."""
    top = logits.topk(3)
    return dict(zip(top.indices.tolist(), top.values.tolist(), strict=True))


@torch.inference_mode()
def test_efficientnet_knows_an_espresso_and_a_cat() -> None:
    network = EfficientNetLite2(MINI.image.side)
    network.load_state_dict(torch.load(NETWORK, weights_only=True), strict=True)
    logits = network.eval()(photo_pixels(["espresso.jpg", "chelsea.jpg"]))
    assert logits.shape == (2, 1000)
    assert [best(row) for row in logits] == [
        # espresso, cup, consommé
        pytest.approx({967: 9.762, 968: 5.549, 925: 5.286}, abs=0.02),
        # Egyptian cat, tiger cat, tabby
        pytest.approx({285: 8.460, 282: 7.020, 281: 6.670}, abs=0.02),
    ]


# Ones with a kernel of ones: each output counts the pixels that are not padding.
@pytest.mark.parametrize(
    ("side", "kernel", "stride", "counts"),
    [
        # One row of padding, at the bottom only; one column, at the right only.
        (4, 3, 2, [[9, 6], [6, 4]]),
        (5, 3, 2, [[4, 6, 4], [6, 9, 6], [4, 6, 4]]),
        (3, 3, 1, [[4, 6, 4], [6, 9, 6], [4, 6, 4]]),
        # One before, two after.
        (4, 5, 2, [[16, 12], [12, 9]]),
        (5, 5, 2, [[9, 15, 9], [15, 25, 15], [9, 15, 9]]),
        (3, 1, 2, [[1, 1], [1, 1]]),
        # The stride skips the last column: no padding is needed.
        (4, 1, 2, [[1, 1], [1, 1]]),
    ],
)
@torch.inference_mode()
def test_padding_is_that_of_tensorflow(
    side: int, kernel: int, stride: int, counts: list[list[int]]
) -> None:
    convolution = _SameConv2d(1, 1, kernel, stride, side)
    nn.init.ones_(convolution.weight)
    assert convolution(torch.ones(1, 1, side, side))[0, 0].tolist() == counts


class Intruder:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


def test_code_in_weights_is_refused_and_does_not_run(tmp_path: Path) -> None:
    weights, trace = tmp_path / "weights.pth", tmp_path / "trace"
    torch.save({"_fc.bias": Intruder(trace)}, weights)
    torch.load(weights, weights_only=False)
    trace.rmdir()  # this shows that it would run
    with pytest.raises(ModelError, match="Weights only load failed"):
        build_towers(MINI, [weights, *weight_files(MINI)[1:]])
    assert not trace.exists()
