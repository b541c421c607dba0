"""A vision tower that takes pixels in bytes, and normalises them itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from nmm.index.encoders.base import ImagePreprocessing


class NormalizedTower(nn.Module):
    """A tower that takes pixels in bytes, (n, side, side, 3).

    Args:
        tower: Takes normalised pixels, float32 of shape (n, 3, side, side).
        spec: How to normalise.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, tower: nn.Module, spec: ImagePreprocessing) -> None:
        super().__init__()
        self.tower = tower
        self.register_buffer("mean", 255 * torch.tensor(spec.mean).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(spec.std).view(3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.tower((pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std)
        return vectors
