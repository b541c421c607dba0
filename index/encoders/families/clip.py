"""The family of OpenAI's CLIP, see :mod:`.clip_towers`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nmm.index.encoders.base import Model
from nmm.index.encoders.families.base import TowerAdapter, Towers


class ClipAdapter(TowerAdapter):
    """A CLIP in hub layout: weights, configuration, preprocessing and tokenizer."""

    name = "clip"

    def build_towers(self, model: Model, files: Sequence[Path]) -> Towers:
        """Build both towers; see :func:`.clip_towers.build_towers`."""
        from nmm.index.encoders.families.clip_towers import build_towers

        return build_towers(model, files)
