"""What a model's definition provides: two torch modules and a tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer
    from torch import nn

    from nmm.index.encoders.base import Model


@dataclass(frozen=True)
class Towers:
    """Two towers that embed into one space, in evaluation mode, with their weights.

    Attributes:
        vision: Pixels, uint8 of shape (n, side, side, 3), to unit vectors (n, dimension).
        text: Token ids and mask, int64 of shape (n, length), to the same.
        tokenizer: The text tower's, without truncation and padding.
    """

    vision: nn.Module
    text: nn.Module
    tokenizer: Tokenizer


class Definition(Protocol):
    """A module that a row names as its definition. Only compiling imports it."""

    def towers(self, model: Model, files: list[Path]) -> Towers:
        """Build both towers and load their weights from the files that the row names."""
