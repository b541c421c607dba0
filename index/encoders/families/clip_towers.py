"""The towers of CLIP (Radford et al., 2021, arXiv:2103.00020), with transformers' own layers.

Weights and `config.json` come from a hub's repository, such as openai/clip-vit-base-patch16. The
vision tower is a ViT and projects its class token. The text tower is causal and projects the
token that ends a text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn import functional

from nmm.index.encoders.families.base import Towers
from nmm.index.encoders.families.checkpoint import load_checkpoint
from nmm.index.encoders.families.normalized_tower import NormalizedTower
from nmm.index.encoders.preprocessor_config import check_image_preprocessing
from nmm.index.encoders.tokenizer import open_tokenizer
from nmm.index.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tokenizers import Tokenizer
    from torch import Tensor
    from transformers import CLIPConfig, CLIPModel

    from nmm.index.encoders.base import Model

# Older configurations give this id for the end of a text, wrongly: the last token of their
# vocabularies ends a text. transformers takes the token with the highest id then.
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


def build_towers(model: Model, files: Sequence[Path]) -> Towers:
    """Build both towers with their weights, from the files of a CLIP in hub layout.

    Raises:
        ModelError: A tensor is missing, unexpected or of the wrong shape, or the configuration
            is not that of a CLIP, of the row or of the tokenizer.
    """
    from transformers import CLIPModel

    weights, config_file, processor, tokenizer_file = files
    check_image_preprocessing(model.image, processor)
    tokenizer = open_tokenizer(tokenizer_file)
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
    """Refuse a configuration that does not match the row or the tokenizer."""
    text: Any = config.text_config
    vision: Any = config.vision_config
    end = text.eos_token_id if text.eos_token_id != LEGACY_END else text.vocab_size - 1
    wrong = [
        f"{name} is {found}, not {expected}"
        for name, found, expected in (
            ("projection_dim", config.projection_dim, model.dimension),
            ("image_size", vision.image_size, model.image.side),
            ("max_position_embeddings", text.max_position_embeddings, model.text.context),
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
