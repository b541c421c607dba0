"""The family of the built-in model `mini`, see :mod:`.mini_towers`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nmm.index.encoders.base import Model
from nmm.index.encoders.families.base import TowerAdapter, Towers


class MiniAdapter(TowerAdapter):
    """EfficientNet-Lite2 and all-MiniLM-L6-v2, joined by ConSE."""

    name = "mini"

    def build_towers(self, model: Model, files: Sequence[Path]) -> Towers:
        """Build both towers of `mini`."""
        from nmm.index.encoders.families.mini_towers import build_towers

        return build_towers(model, files)
