"""What a family of encoders provides: an adapter that turns rows into running towers.

A family is an architecture with its files: Nomic's pairs, CLIP, ready-made ONNX graphs. Its
adapter is registered in :mod:`nmm.index.encoders.families.adapters` under the name that rows
give as their `family`. Adapters are imported by every command that uses a model, so they import
torch and other heavy modules only where they build towers.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from nmm.index.encoders.backend import Device, Precision
from nmm.index.encoders.hub.compiled import TEXT, VISION

if TYPE_CHECKING:
    from typing import TypeAlias

    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer
    from torch import nn

    from nmm.index.encoders.base import Model, Pixels, Tokens, Vectors

    # Pixels (n, side, side, 3) to unit vectors (n, dimension).
    RunVision: TypeAlias = Callable[[Pixels], Vectors]
    # Token ids and mask, both (n, length), to unit vectors (n, dimension).
    RunText: TypeAlias = Callable[[Tokens, Tokens], Vectors]


class Towers(NamedTuple):
    """Two torch modules that embed into one space, in evaluation mode, with their weights.

    Attributes:
        vision: Pixels, uint8 of shape (n, side, side, 3), to unit vectors (n, dimension).
        text: Token ids and mask, int64 of shape (n, length), to unit vectors (n, dimension).
        tokenizer: The text tower's tokenizer, without truncation and padding.
    """

    vision: nn.Module
    text: nn.Module
    tokenizer: Tokenizer


class CompileResult(NamedTuple):
    """What compiling a model gives besides the graphs.

    Attributes:
        tokenizer: The text tower's tokenizer, without truncation and padding.
        outside: Files outside the compiled folder that the model runs from. If their sizes
            change, the model is compiled again.
    """

    tokenizer: Tokenizer
    outside: Sequence[Path] = ()


class EncoderAdapter(Protocol):
    """Compiles, opens and recognises the models of one family.

    Attributes:
        name: The `family` of its rows.
        devices: The devices that its models run on.
        precisions: The precisions that its models can be compiled in.
        allows_accelerators: Whether the vision graph may run on an accelerator of ONNX Runtime.
        folder_files: The files of a model in a user's folder; empty if it reads no folders.
    """

    @property
    def name(self) -> str: ...

    @property
    def devices(self) -> frozenset[Device]: ...

    @property
    def precisions(self) -> frozenset[Precision]: ...

    @property
    def allows_accelerators(self) -> bool: ...

    @property
    def folder_files(self) -> tuple[str, ...]: ...

    def compile(
        self, model: Model, files: Sequence[Path], export: Callable[[Towers], None]
    ) -> CompileResult:
        """Check the weights of a model, and pass its towers to `export` if it has any.

        Args:
            model: The row.
            files: Its weights, in the order of `model.files`.
            export: Writes the ONNX graphs of two towers into the compiled folder.

        Raises:
            ModelError: The files do not fit the row, each other or the family.
        """

    def graph_files(self, model: Model, compiled: Path) -> tuple[Path, Path]:
        """Return the vision and the text graph of a model, given its compiled folder."""

    def bind_vision(self, model: Model, session: InferenceSession, file: Path) -> RunVision:
        """Return a function that runs the vision graph of a session.

        Args:
            model: The row.
            session: The opened graph.
            file: The file that it was opened from, for errors.

        Raises:
            ModelError: The graph is not one that the family can run.
        """

    def bind_text(self, model: Model, session: InferenceSession, file: Path) -> RunText:
        """Return a function that runs the text graph of a session; see :meth:`bind_vision`."""

    def from_folder(self, folder: Path) -> Model | None:
        """Return the row of the model in a user's folder, or None if it is of another family.

        Args:
            folder: An absolute path.

        Raises:
            ModelError: It is of this family, but a file is missing or not supported.
        """


class TowerAdapter(abc.ABC):
    """An :class:`EncoderAdapter` whose towers are torch modules, exported to ONNX.

    They run on a GPU in torch itself.
    """

    name: str
    devices = frozenset({Device.CPU, Device.CUDA, Device.MPS})
    precisions = frozenset({Precision.FP32, Precision.INT8})
    allows_accelerators = True
    folder_files: tuple[str, ...] = ()

    @abc.abstractmethod
    def build_towers(self, model: Model, files: Sequence[Path]) -> Towers:
        """Build both towers in torch and load their weights.

        Args:
            model: The row.
            files: Its weights, in the order of `model.files`.

        Raises:
            ModelError: The files do not fit the row, each other or the family.
        """

    def compile(
        self, model: Model, files: Sequence[Path], export: Callable[[Towers], None]
    ) -> CompileResult:
        """Build the towers and pass them to `export`."""
        towers = self.build_towers(model, files)
        export(towers)
        return CompileResult(towers.tokenizer)

    def graph_files(self, model: Model, compiled: Path) -> tuple[Path, Path]:
        """Return the exported graphs."""
        del model
        return compiled / VISION, compiled / TEXT

    def bind_vision(self, model: Model, session: InferenceSession, file: Path) -> RunVision:
        """Return a function that runs an exported vision graph."""
        del model, file
        return lambda pixels: cast("Vectors", session.run(None, {"pixels": pixels})[0])

    def bind_text(self, model: Model, session: InferenceSession, file: Path) -> RunText:
        """Return a function that runs an exported text graph."""
        del model, file
        return lambda ids, mask: cast("Vectors", session.run(None, {"ids": ids, "mask": mask})[0])

    def from_folder(self, folder: Path) -> Model | None:
        """Return None: most families read no folders of the user's."""
        del folder
        return None
