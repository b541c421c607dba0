"""A model whose hub repository holds ONNX graphs: they run as they are."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.runtime.graph_io import TextGraph, VisionGraph
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nmm.index.encoders.base import Pixels, Tokens, Vectors


class GraphEncoder(OnnxEncoder):
    """An :class:`~nmm.index.encoders.base.Encoder` on a hub's own graphs, on the CPU.

    They are opened where they were downloaded to; of its compiled form a model like this
    has the tokenizer only.
    """

    @cached_property
    def _vision(self) -> Callable[[Pixels], Vectors]:
        file = weight_files(self.model)[0]
        graph = VisionGraph(self._open(file), file)
        return lambda pixels: graph.run(pixels, self.model.image)

    @cached_property
    def _text(self) -> Callable[[Tokens, Tokens], Vectors]:
        file = weight_files(self.model)[1]
        return TextGraph(self._open(file), file).run

    def _unusable(self, file: Path, error: Exception) -> ModelError:
        unusable = super()._unusable(file, error)
        if file.parent == self.folder:
            return unusable
        return ModelError(
            unusable.what, code="downloaded-model-unusable", why=unusable.why, model=self.model.name
        )
