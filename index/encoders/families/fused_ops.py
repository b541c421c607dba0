"""Fused operators of ONNX Runtime that its optimiser does not find by itself.

In torch the functions compute their steps one by one. In an exported graph they are single
operators of ONNX Runtime (com.microsoft, on the CPU since 1.17): rotary positions without slicing
and joining, and blockwise attention, which never holds all scores (Dao et al., 2022,
"FlashAttention"). `bench/backends.py` prints the time of a tower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

OPERATORS = "com.microsoft"


def rotate(x: Tensor, cos: Tensor, sin: Tensor, *, interleaved: bool) -> Tensor:
    """Rotate the pairs in each head by the angles of their position (Su et al., 2021, "RoFormer").

    Args:
        x: Shape (n, length, heads * head width).
        cos, sin: Of the angles, shape (length, head width / 2).
        interleaved: Whether neighbours form a pair. If not, element i of the first half and
            element i of the second half do.
    """
    if torch.onnx.is_in_onnx_export():
        offset = torch.zeros(1, dtype=torch.int64)
        return torch.onnx.ops.symbolic(
            f"{OPERATORS}::RotaryEmbedding",
            (x, offset, cos, sin),
            {"interleaved": interleaved},
            dtype=x.dtype,
            shape=x.shape,
            version=1,
        )
    heads = x.reshape(*x.shape[:-1], -1, 2 * cos.shape[-1])
    a, b = (heads[..., ::2], heads[..., 1::2]) if interleaved else heads.chunk(2, -1)
    cos, sin = cos[:, None], sin[:, None]
    turned = a * cos - b * sin, b * cos + a * sin
    joined = torch.stack(turned, -1) if interleaved else torch.cat(turned, -1)
    return joined.reshape(x.shape)


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """Compute multi-head attention (Vaswani et al., 2017).

    Args:
        q: Shape (n, length, width), where width is that of all heads.
        k, v: Shape (n, other length, width).
        heads: The number of heads.
        mask: Added to the scores; its shape expands to (n, heads, length, other length).

    Returns:
        The attended values, of q's shape.
    """
    # With a mask, ONNX Runtime's operator is slower than the single steps.
    if mask is None and torch.onnx.is_in_onnx_export():
        return torch.onnx.ops.symbolic(
            f"{OPERATORS}::MultiHeadAttention",
            (q, k, v),
            {"num_heads": heads},
            dtype=q.dtype,
            shape=q.shape,
            version=1,
        )
    q, k, v = (x.reshape(*x.shape[:-1], heads, -1).transpose(1, 2) for x in (q, k, v))
    attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return attended.transpose(1, 2).flatten(2)
