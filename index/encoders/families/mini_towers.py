"""The towers of the built-in model `mini`: ConSE (Norouzi et al., 2013) on two small networks.

The vision tower is a classifier, EfficientNet-Lite2 on ImageNet-1k. The text tower is
all-MiniLM-L6-v2. ConSE joins them without training: an image's vector is the sum over the classes
of p(class) times the text vector of the class. Both sides are centred on the mean of all class
vectors, which removes what all texts have in common. Of images the model knows a thousand nouns
and no more. It makes nmm work at once, in tests and offline.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import fields
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from nmm.index.encoders.families.base import Towers
from nmm.index.encoders.families.bert import BertConfig, MeanPooledBert
from nmm.index.encoders.families.efficientnet import CLASSES, EfficientNetLite2
from nmm.index.encoders.tokenizer import open_tokenizer
from nmm.index.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tokenizers import Tokenizer
    from torch import Tensor

    from nmm.index.encoders.base import ImagePreprocessing, Model

# The paper sums the ten most probable classes at temperature 1. Flatter probabilities over all
# classes rank better where the right noun is not the most probable: `bench/mini.py` prints both.
TEMPERATURE = 1.5


def build_towers(model: Model, files: Sequence[Path]) -> Towers:
    """Build both towers of `mini` in torch, with their weights.

    Raises:
        ModelError: The weights of the vision tower cannot be read, or are not of this network.
    """
    network_file, bert_file, config, tokenizer_file, *class_files = files
    network = _load_network(network_file, model.image.side)
    bert = _load_bert(bert_file, json.loads(config.read_text("utf-8")))
    tokenizer = open_tokenizer(tokenizer_file)
    classes = _embed_classes(bert, tokenizer, _class_texts(*class_files))
    mean = classes.mean(0)
    return Towers(
        vision=_Vision(network, classes - mean, model.image).eval(),
        text=_Text(bert, mean).eval(),
        tokenizer=tokenizer,
    )


class _Text(nn.Module):
    mean: Tensor

    def __init__(self, bert: MeanPooledBert, mean: Tensor) -> None:
        super().__init__()
        self.bert = bert
        self.register_buffer("mean", mean)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return functional.normalize(self.bert(ids, mask) - self.mean, dim=-1)


class _Vision(nn.Module):
    """Maps pixels (n, side, side, 3) in bytes to unit vectors (n, dimension)."""

    mean: Tensor
    std: Tensor
    classes: Tensor

    def __init__(
        self, network: nn.Module, centred_classes: Tensor, spec: ImagePreprocessing
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("classes", centred_classes)
        self.register_buffer("mean", 255 * torch.tensor(spec.mean).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(spec.std).view(3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        x = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        chances = (self.network(x) / TEMPERATURE).softmax(-1)
        return functional.normalize(chances @ self.classes, dim=-1)


def _load_network(file: Path, side: int) -> EfficientNetLite2:
    network = EfficientNetLite2(side)
    try:
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise ModelError(
            f"{file} cannot be read.", code="weights-unreadable", why=str(error), path=file
        ) from error
    return network


def _load_bert(file: Path, config: dict[str, object]) -> MeanPooledBert:
    from safetensors.torch import load_file

    bert = MeanPooledBert(BertConfig(**{f.name: config[f.name] for f in fields(BertConfig)}))  # type: ignore[arg-type]
    # The pooler is for next-sentence prediction and position_ids is 0, 1, 2, …: unused.
    unused = ("pooler.", "embeddings.position_ids")
    weights = {k: v for k, v in load_file(file).items() if not k.startswith(unused)}
    bert.load_state_dict(weights)
    return bert.eval()


def _class_texts(
    names_file: Path, clean_names_file: Path, descriptions_file: Path
) -> list[tuple[str, ...]]:
    """Return the names, the clean name and the description of each class, in ImageNet's order."""
    names = json.loads(names_file.read_text("utf-8"))
    clean_names = json.loads(clean_names_file.read_text("utf-8"))
    described = json.loads(descriptions_file.read_text("utf-8"))
    # A few classes have no description. Their vector is the mean of two texts.
    return [
        (
            names[str(i)],
            clean_names[i],
            *filter(None, [described.get(str(i), {}).get("description")]),
        )
        for i in range(CLASSES)
    ]


@torch.inference_mode()
def _embed_classes(
    bert: MeanPooledBert, tokenizer: Tokenizer, texts: list[tuple[str, ...]]
) -> Tensor:
    """Return the class vectors, (1000, dimension): the normalised mean of each class's texts."""
    owner = torch.tensor([i for i, of_class in enumerate(texts) for _ in of_class])
    flat = [text for of_class in texts for text in of_class]
    ids = [torch.tensor(encoding.ids) for encoding in tokenizer.encode_batch(flat)]
    sums = torch.zeros(len(texts), bert.embeddings.word_embeddings.embedding_dim)
    # Sorted by length, so that little padding is computed.
    for batch in torch.split(torch.tensor([len(i) for i in ids]).argsort(), 128):
        tokens = [ids[i] for i in batch.tolist()]
        mask = nn.utils.rnn.pad_sequence([torch.ones_like(t) for t in tokens], batch_first=True)
        vectors = bert(nn.utils.rnn.pad_sequence(tokens, batch_first=True), mask)
        sums.index_add_(0, owner[batch], vectors)
    return functional.normalize(sums, dim=-1)
