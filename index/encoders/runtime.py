"""A compiled model at work in ONNX Runtime."""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nmm.index.encoders.compile import MANIFEST, TEXT, TOKENIZER, VISION, ensure_compiled
from nmm.index.encoders.onnx import load_onnxruntime
from nmm.index.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from threading import Event

    import numpy as np
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

    from nmm.index.encoders.registry import Model, Task

# Images, and padded tokens, in one run of a tower. Larger runs are slower on a CPU, for
# what one layer hands to the next then does not stay in its caches; and they take more memory.
IMAGES_PER_RUN = 4
TOKENS_PER_RUN = 1024


class OnnxEncoder:
    """An :class:`~nmm.index.encoders.registry.Encoder` on the CPU.

    A tower is opened when it is first used, so that a search never opens the vision
    tower and a folder without texts never the text tower.

    Args:
        model: The row.
        folder: Its compiled form, see :mod:`nmm.index.encoders.compile`.
        once: Only a query or two will be embedded: the weights are then used as they
            lie on disk, for repacking them takes longer than it saves.
    """

    def __init__(self, model: Model, folder: Path, *, once: bool = False) -> None:
        self.model = model
        self.weights = str(json.loads((folder / MANIFEST).read_text("utf-8"))["weights"])
        self._folder = folder
        self._once = once

    @cached_property
    def tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        file = self._folder / TOKENIZER
        try:
            return Tokenizer.from_file(str(file))
        except Exception as error:  # the type that tokenizers raises
            raise self._unusable(file, error) from error

    @cached_property
    def _vision(self) -> InferenceSession:
        return self._open(VISION)

    @cached_property
    def _text(self) -> InferenceSession:
        return self._open(TEXT)

    @cached_property
    def _truncating_tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.tokenizer.to_str())
        tokenizer.enable_truncation(self.model.context)
        return tokenizer

    def embed_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed images given as RGB pixels of shape (n, side, side, 3)."""
        import numpy as np

        vectors = np.empty((len(pixels), self.model.dimension), np.float32)
        for start in range(0, len(pixels), IMAGES_PER_RUN):
            rows = slice(start, start + IMAGES_PER_RUN)
            vectors[rows] = self._run(self._vision, {"pixels": pixels[rows]})
        return vectors

    def embed_texts(self, texts: Sequence[str], task: Task) -> NDArray[np.float32]:
        """Embed texts for a task; what exceeds the model's context is cut off."""
        import numpy as np

        prompts = [self.model.prompt(text, task) for text in texts]
        ids = [encoding.ids for encoding in self._truncating_tokenizer.encode_batch(prompts)]
        lengths = np.array([len(i) for i in ids])
        vectors = np.empty((len(ids), self.model.dimension), np.float32)
        # By length, so that little padding is computed.
        order = np.argsort(lengths, kind="stable")
        while len(order):
            rows = max(1, TOKENS_PER_RUN // int(lengths[order[-1]]))
            longest, order = order[-rows:], order[:-rows]
            mask = np.arange(lengths[longest[-1]]) < lengths[longest, None]
            tokens = np.zeros(mask.shape, np.int64)
            tokens[mask] = np.concatenate([ids[i] for i in longest])
            inputs = {"ids": tokens, "mask": mask.astype(np.int64)}
            vectors[longest] = self._run(self._text, inputs)
        return vectors

    def _open(self, name: str) -> InferenceSession:
        onnxruntime = load_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = available_cpus()
        options.log_severity_level = 3  # errors; warnings would go to stderr
        # Plans memory for each shape of input: no faster, and half as much again for images.
        options.enable_mem_pattern = False
        if self._once:
            options.add_session_config_entry("session.disable_prepacking", "1")
        else:
            # Threads that wait for work in a loop take the cores from those that decode.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        file = self._folder / name
        try:
            return onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own types share no base but Exception
            raise self._unusable(file, error) from error

    def _unusable(self, file: Path, error: Exception) -> ModelError:
        return ModelError(
            f"The model {self.model.name} cannot be opened.",
            why=f"{file}: {error}",
            hint=f"Delete the folder {self._folder}; it is made again when it is needed.",
        )

    @staticmethod
    def _run(session: InferenceSession, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        return cast("NDArray[np.float32]", session.run(None, inputs)[0])


def available_cpus() -> int:
    """Cores that this process may use, which containers and taskset make fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_encoder(
    model: Model,
    *,
    once: bool = False,
    on_compile: Callable[[], None] = lambda: None,
    stop: Event | None = None,
) -> OnnxEncoder:
    """The encoder of a model, compiled first if it never was; `on_compile` is told.

    Raises:
        StoppedError: `stop` was set before it was compiled.
        ModelError: The model is not on this machine or cannot be compiled.
    """
    return OnnxEncoder(model, ensure_compiled(model, on_compile, stop), once=once)
