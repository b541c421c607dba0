"""A model whose hub repository holds ONNX graphs: they run as they are."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from nmm.index.encoders.hub_graph import TextGraph, VisionGraph
from nmm.index.encoders.runtime import OnnxEncoder
from nmm.index.encoders.weights import weight_files
from nmm.index.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


class GraphEncoder(OnnxEncoder):
    """An :class:`~nmm.index.encoders.registry.Encoder` on a hub's own graphs, on the CPU.

    They are opened where they were downloaded to; of its compiled form a model like this
    has the tokenizer only.
    """

    @cached_property
    def _vision_graph(self) -> VisionGraph:
        file = weight_files(self.model)[0]
        return VisionGraph(self._open(file), file)

    @cached_property
    def _text_graph(self) -> TextGraph:
        file = weight_files(self.model)[1]
        return TextGraph(self._open(file), file)

    def _run_vision(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._vision_graph.run(pixels, self.model.image)

    def _run_text(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._text_graph.run(ids, mask)

    def _unusable(self, file: Path, error: Exception) -> ModelError:
        unusable = super()._unusable(file, error)
        if file.parent == self._folder:
            return unusable
        name = self.model.name
        unusable.hint = f"Get it again with: nmm models remove {name}; nmm models pull {name}"
        return unusable
