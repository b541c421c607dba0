"""CLIP (Radford et al., 2021, arXiv:2103.00020), with transformers' own layers.

Weights and `config.json` are those of a hub's repository, such as
openai/clip-vit-base-patch16. The vision tower is a ViT, of which the class token is
projected; the text tower is causal, and what it projects is the token that ends a text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn import functional

from nmm.index.encoders.families.base import Towers
from nmm.index.encoders.families.checkpoint import load_checkpoint
from nmm.index.encoders.families.normalize import NormalizedTower
from nmm.index.encoders.preprocessor_config import check_image_preprocessing
from nmm.index.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer
    from torch import Tensor
    from transformers import CLIPConfig, CLIPModel

    from nmm.index.encoders.base import Model

# What older configurations call the end of a text. It is not: in their vocabularies the
# last token is, and transformers takes the token of the highest number then.
LEGACY_END = 2


class _Vision(nn.Module):
    """Normalised pixels (n, 3, side, side) to unit vectors (n, dimension)."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.tower, self.projection = clip.vision_model, clip.visual_projection

    def forward(self, pixels: Tensor) -> Tensor:
        pooled = self.tower(pixel_values=pixels).pooler_output
        return functional.normalize(self.projection(pooled), dim=-1)


class _Text(nn.Module):
    """Token ids and mask, both (n, length), to unit vectors (n, dimension)."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.tower, self.projection = clip.text_model, clip.text_projection

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        pooled = self.tower(input_ids=ids, attention_mask=mask).pooler_output
        return functional.normalize(self.projection(pooled), dim=-1)


def towers(model: Model, files: list[Path]) -> Towers:
    """Both towers with their weights, from the files of a CLIP in hub layout.

    Raises:
        ModelError: A tensor is missing, not expected, or of the wrong shape; it is named.
            Or the configuration is not one of such a model, or not that of the row.
    """
    from tokenizers import Tokenizer
    from transformers import CLIPModel

    weights, config_file, processor, tokenizer_file = files
    check_image_preprocessing(model.image, processor)
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    config = _read_config(config_file)
    _check(config, model, tokenizer, config_file)
    clip = CLIPModel(config)
    load_checkpoint(clip, weights)
    return Towers(
        vision=NormalizedTower(_Vision(clip), model.image).eval(),
        text=_Text(clip).eval(),
        tokenizer=tokenizer,
    )


def _read_config(file: Path) -> CLIPConfig:
    from transformers import CLIPConfig

    try:
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
        config = CLIPConfig.from_dict(content)
    except Exception as error:  # what transformers raises depends on its version
        raise _not_clip(file, f"{type(error).__name__}: {error}") from error
    if content.get("model_type") != CLIPConfig.model_type:
        raise _not_clip(file, f"model_type is {content.get('model_type')!r}.")
    return config


def _not_clip(file: Path, why: str) -> ModelError:
    return ModelError(
        f"{file} is not the configuration of a CLIP model.",
        code="model-config-unsupported",
        why=why,
        path=file,
    )


def _check(config: CLIPConfig, model: Model, tokenizer: Tokenizer, file: Path) -> None:
    """Refuse a configuration that is not the row's, or not the tokenizer's."""
    text: Any = config.text_config
    vision: Any = config.vision_config
    end = text.eos_token_id if text.eos_token_id != LEGACY_END else text.vocab_size - 1
    wrong = [
        f"{name} is {found}, not {expected}"
        for name, found, expected in (
            ("projection_dim", config.projection_dim, model.dimension),
            ("image_size", vision.image_size, model.image.side),
            ("max_position_embeddings", text.max_position_embeddings, model.context),
            ("the end of a text", tokenizer.encode("").ids[-1:], [end]),
            ("vocab_size", text.vocab_size, tokenizer.get_vocab_size()),
        )
        if found != expected
    ]
    if wrong:
        raise ModelError(
            f"{file} is not the configuration of {model.name}.",
            code="model-config-mismatch",
            why="; ".join(wrong),
            path=file,
            model=model.name,
        )
