"""The towers of Nomic Embed: two transformers in one latent space (Nussbaum et al., 2024).

`nomic-embed-text-v1.5` (arXiv:2402.01613) was frozen while `nomic-embed-vision-v1.5`
(arXiv:2406.18587) was trained to match it. Both towers are stacks of the same block. The text
tower is a BERT with rotary positions and SwiGLU, normalised after each branch. The vision tower
is a ViT with biases, normalised before each branch; one learned query pools its tokens. Module
names are those of the hub's safetensors, so the weights load strictly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from nmm.index.encoders.families.base import Towers
from nmm.index.encoders.families.checkpoint import load_checkpoint
from nmm.index.encoders.families.fused_ops import attend, rotate
from nmm.index.encoders.families.nomic_config import TEXT, VISION, read_config
from nmm.index.encoders.families.normalized_tower import NormalizedTower
from nmm.index.encoders.preprocessor_config import check_image_preprocessing
from nmm.index.encoders.tokenizer import open_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from nmm.index.encoders.base import Model

    Turn = Callable[[Tensor], Tensor]

# Widths inside the MLPs are rounded up to a multiple of this.
MULTIPLE = 256
# Rotary positions of patches, in each direction.
PATCH_BASE = 10_000.0
# The norm inside the MLP and the last norm of texts use torch's default upstream.
INNER_EPS = 1e-5


@dataclass(frozen=True)
class Shape:
    """The settings of a tower's `config.json` that shape its blocks."""

    width: int
    heads: int
    layers: int
    inner: int
    eps: float
    bias: bool
    prenorm: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """Read a hub configuration; `n_inner` is a float in the vision tower's."""
        return cls(
            width=config["n_embd"],
            heads=config["n_head"],
            layers=config["n_layer"],
            inner=MULTIPLE * math.ceil(config["n_inner"] / MULTIPLE),
            eps=config["layer_norm_epsilon"],
            bias=config["qkv_proj_bias"],
            prenorm=config["prenorm"],
        )


class _Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.Wqkv = nn.Linear(shape.width, 3 * shape.width, bias=shape.bias)
        self.out_proj = nn.Linear(shape.width, shape.width, bias=shape.bias)

    def forward(self, x: Tensor, turn: Turn, mask: Tensor | None) -> Tensor:
        q, k, v = self.Wqkv(x).chunk(3, -1)
        out: Tensor = self.out_proj(attend(turn(q), turn(k), v, self.heads, mask))
        return out


class _SwiGLU(nn.Module):
    """fc2(norm(fc11(x) * silu(fc12(x)))). Only the vision tower's blocks have the norm."""

    def __init__(self, shape: Shape, *, normed: bool) -> None:
        super().__init__()
        self.fc11 = nn.Linear(shape.width, shape.inner, bias=shape.bias)
        self.fc12 = nn.Linear(shape.width, shape.inner, bias=shape.bias)
        self.fc2 = nn.Linear(shape.inner, shape.width, bias=shape.bias)
        self.norm = nn.LayerNorm(shape.inner, eps=INNER_EPS) if normed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.norm(self.fc11(x) * functional.silu(self.fc12(x))))
        return out


class _Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.prenorm = shape.prenorm
        self.attn = _Attention(shape)
        self.mlp = _SwiGLU(shape, normed=shape.prenorm)
        self.norm1 = nn.LayerNorm(shape.width, eps=shape.eps)
        self.norm2 = nn.LayerNorm(shape.width, eps=shape.eps)

    def forward(self, x: Tensor, turn: Turn, mask: Tensor | None = None) -> Tensor:
        if self.prenorm:
            x = x + self.attn(self.norm1(x), turn, mask)
            out: Tensor = x + self.mlp(self.norm2(x))
        else:
            x = self.norm1(x + self.attn(x, turn, mask))
            out = self.norm2(x + self.mlp(x))
        return out


class _TokenEmbeddings(nn.Module):
    def __init__(self, config: Mapping[str, Any], width: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config["vocab_size"], width)
        self.token_type_embeddings = nn.Embedding(config["type_vocab_size"], width)

    def forward(self, ids: Tensor) -> Tensor:
        # Every token is of the first type, because there is one text and not a pair.
        embedded: Tensor = self.word_embeddings(ids) + self.token_type_embeddings.weight[0]
        return embedded


class TextTower(nn.Module):
    """Token ids and mask, both (n, length), to unit vectors (n, width).

    Mean over the tokens, layer norm without weights, L2.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        shape = Shape.of(config)
        self.embeddings = _TokenEmbeddings(config, shape.width)
        self.emb_ln = nn.LayerNorm(shape.width, eps=shape.eps)
        self.blocks = [_Block(shape) for _ in range(shape.layers)]
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(self.blocks)})
        half = shape.width // shape.heads // 2
        # Checkpoints do not hold this buffer.
        bands = config["rotary_emb_base"] ** -(torch.arange(half) / half)
        self.register_buffer("bands", bands, persistent=False)

    bands: Tensor

    def hidden(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the last hidden state, (n, length, width). Rows of padding have no meaning."""
        x: Tensor = self.emb_ln(self.embeddings(ids))
        angles = torch.arange(ids.shape[1], device=ids.device)[:, None] * self.bands
        turn = partial(rotate, cos=angles.cos(), sin=angles.sin(), interleaved=False)
        padding = (1.0 - mask[:, None, None, :].to(x.dtype)) * torch.finfo(x.dtype).min
        for block in self.blocks:
            x = block(x, turn, padding)
        return x

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.hidden(ids, mask)
        weight = mask[:, :, None].to(x.dtype)
        mean = (x * weight).sum(1) / weight.sum(1)
        normed = functional.layer_norm(mean, mean.shape[-1:], eps=INNER_EPS)
        return functional.normalize(normed, dim=-1)


class _PatchEmbeddings(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, self.patch = config["n_embd"], config["patch_size"]
        tokens = (config["img_size"] // self.patch) ** 2 + 1
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))
        self.proj = nn.Linear(config["num_channels"] * self.patch**2, width)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map normalised pixels (n, channels, side, side) to tokens (n, 1 + patches, width)."""
        p = self.patch
        n, channels, height, width = pixels.shape
        grid = pixels.reshape(n, channels, height // p, p, width // p, p)
        patches = grid.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        first = self.cls_token.expand(pixels.shape[0], -1, -1)
        tokens: Tensor = torch.cat((first, self.proj(patches)), 1) + self.pos_embed
        return tokens


class _Selector(nn.Module):
    """Attention pooling: a learned query attends to all tokens, without a residual."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attn = _LatentAttention(shape)
        self.norm1 = nn.LayerNorm(shape.width, eps=shape.eps)
        self.mlp = _SwiGLU(shape, normed=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (n, length, width) to (n, 1, width)."""
        attended = self.attn(x)
        out: Tensor = self.mlp(self.norm1(attended))
        return out


class _LatentAttention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.latent = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.Wq = nn.Linear(shape.width, shape.width)
        self.Wkv = nn.Linear(shape.width, 2 * shape.width)
        self.out_proj = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        q = self.Wq(self.latent.expand(x.shape[0], -1, -1))
        k, v = self.Wkv(x).chunk(2, -1)
        out: Tensor = self.out_proj(attend(q, k, v, self.heads))
        return out


class VisionTower(nn.Module):
    """Normalised pixels (n, 3, side, side) to unit vectors (n, width)."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        shape = Shape.of(config)
        self.embeddings = _PatchEmbeddings(config)
        self.layers = nn.ModuleList(_Block(shape) for _ in range(shape.layers))
        self.selector = _Selector(shape)
        side = config["img_size"] // config["patch_size"]
        angles = _patch_angles(side, config["ref_feat_shape"], shape.width // shape.heads)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def pooled(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens, (n, length, width), and the selector's update, (n, 1, width)."""
        x = self.embeddings(pixels)
        turn = partial(rotate, cos=self.cos, sin=self.sin, interleaved=True)
        for layer in self.layers:
            x = layer(x, turn)
        return x, self.selector(x)

    def forward(self, pixels: Tensor) -> Tensor:
        x, update = self.pooled(pixels)
        return functional.normalize(x[:, 0] + update[:, 0], dim=-1)


def _patch_angles(side: int, reference: tuple[int, int], head: int) -> Tensor:
    """Return the rotation angles of the class token and of a square grid of patches.

    The class token has no position, so its angles are 0. Positions are scaled to the grid that
    the bands were made for.

    Returns:
        Shape (1 + side * side, head / 2): angles by row, then by column.
    """
    bands = PATCH_BASE ** -(torch.arange(head // 4) / (head // 4))
    rows, columns = (torch.arange(side) / side * length for length in reference)
    by_row, by_column = rows[:, None] * bands, columns[:, None] * bands
    halves = by_row[:, None].expand(-1, side, -1), by_column[None].expand(side, -1, -1)
    return functional.pad(torch.cat(halves, -1).flatten(0, 1), (0, 0, 1, 0))


def build_towers(model: Model, files: Sequence[Path]) -> Towers:
    """Build both towers with their weights, from the files of a pair in hub layout.

    Raises:
        ModelError: A tensor is missing, unexpected or of the wrong shape, or a configuration is
            not that of such a tower.
    """
    vision_weights, vision_config, processor, text_weights, text_config, tokenizer_file = files
    check_image_preprocessing(model.image, processor)
    vision = VisionTower(read_config(vision_config, VISION))
    text = TextTower(read_config(text_config, TEXT))
    load_checkpoint(vision, vision_weights)
    load_checkpoint(text, text_weights)
    tokenizer = open_tokenizer(tokenizer_file)
    return Towers(
        vision=NormalizedTower(vision, model.image).eval(), text=text.eval(), tokenizer=tokenizer
    )
