"""A model at work: compiled and in ONNX Runtime, or in torch on a GPU."""

from __future__ import annotations

import enum
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from nmm.index.common.onnx_runtime import load_onnxruntime
from nmm.index.common.tracing import span
from nmm.index.encoders.export.onnx_export import (
    TEXT,
    TOKENIZER,
    VISION,
    read_manifest,
)
from nmm.index.encoders.runtime.backend import (
    available_cpus,
)
from nmm.index.encoders.runtime.batching import BatchedEncoder
from nmm.index.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

    from nmm.index.encoders.base import Model, Pixels, Tokens, Vectors

# Images, and padded tokens, in one run of a tower. Larger runs are slower on a CPU, for
# what one layer hands to the next then does not stay in its caches; and they take more memory.
IMAGES_PER_RUN = 2
TOKENS_PER_RUN = 512
# Queries are short, and of the more lengths together, the more of a run is padding.
QUERY_TOKENS_PER_RUN = 128

CPU = "CPUExecutionProvider"
# What runs fixed shapes faster than the CPU of the same machine, where ONNX Runtime has it:
# images, then, and not texts, for which it would compile a graph for each length. It
# computes in halves, so it is used only if it embeds like the CPU.
ACCELERATORS = ("CoreMLExecutionProvider",)
MIN_COSINE = 0.99


class Workload(enum.Enum):
    """What an encoder is opened for.

    Attributes:
        SINGLE_QUERY: One or two queries. The weights are used as they lie on disk, because
            repacking them takes longer than it saves. All cores share one run.
        INTERACTIVE: Many queries, one after another. All cores share one run.
        QUERY_BATCH: Many queries, several at a time. Each core computes a run of its own:
            cores that share a run wait for each other, above all on a busy machine.
        INDEXING: Many items at once. Like QUERY_BATCH, with more items per run.
    """

    SINGLE_QUERY = enum.auto()
    INTERACTIVE = enum.auto()
    QUERY_BATCH = enum.auto()
    INDEXING = enum.auto()


# Those in which cores work at runs of their own.
PARALLEL_WORKLOADS = Workload.QUERY_BATCH, Workload.INDEXING


class OnnxEncoder(BatchedEncoder):
    """An :class:`~nmm.index.encoders.base.Encoder` in ONNX Runtime, on the CPU.

    A tower is opened when it is first used, so that a search never opens the vision
    tower and a folder without texts never the text tower.

    Args:
        model: The row.
        folder: Its compiled form, see :mod:`nmm.index.encoders.export.onnx_export`.
        workload: What it is opened for.
        threads: That compute; None for as many as there are cores.
    """

    def __init__(
        self,
        model: Model,
        folder: Path,
        *,
        workload: Workload = Workload.INDEXING,
        threads: int | None = None,
    ) -> None:
        threads = threads or available_cpus()
        super().__init__(
            model,
            folder,
            weights=read_manifest(folder)["weights"],
            images_per_run=IMAGES_PER_RUN,
            tokens_per_run=TOKENS_PER_RUN
            if workload is Workload.INDEXING
            else QUERY_TOKENS_PER_RUN,
            parallel_runs=threads if workload in PARALLEL_WORKLOADS else 1,
        )
        self._workload = workload
        self._threads_per_run = 1 if workload in PARALLEL_WORKLOADS else threads

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return self._open_tokenizer(self.folder / TOKENIZER)

    @property
    def _vision(self) -> Callable[[Pixels], Vectors]:
        session = self._vision_session
        return lambda pixels: self._run(session, {"pixels": pixels})

    @property
    def _text(self) -> Callable[[Tokens, Tokens], Vectors]:
        session = self._text_session
        return lambda ids, mask: self._run(session, {"ids": ids, "mask": mask})

    @cached_property
    def _truncating_tokenizer(self) -> Tokenizer:
        # From the file, which is as fast as to copy another one, and needs none.
        tokenizer = self._open_tokenizer(self.folder / TOKENIZER)
        tokenizer.enable_truncation(self.model.context)
        return tokenizer

    @cached_property
    def _text_session(self) -> InferenceSession:
        return self._open(self.folder / TEXT)

    @cached_property
    def _vision_session(self) -> InferenceSession:
        session = self._open(self.folder / VISION)
        for provider in () if self._workload is Workload.SINGLE_QUERY else _accelerators():
            with suppress(Exception):  # of onnxruntime's own types; the CPU can do it all
                faster = self._open(self.folder / VISION, provider)
                if self._agree(session, faster):
                    return faster
        return session

    def _open_tokenizer(self, file: Path) -> Tokenizer:
        from tokenizers import Tokenizer

        try:
            with span("tokenizer opened"):
                tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the type that tokenizers raises
            raise self._unusable(file, error) from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def _agree(self, session: InferenceSession, other: InferenceSession) -> bool:
        """Whether two sessions of the vision tower embed noise alike."""
        import numpy as np

        side = self.model.image.side
        noise = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
        ours, theirs = (self._run(one, {"pixels": noise}) for one in (session, other))
        return bool((ours * theirs).sum() >= MIN_COSINE)

    def _open(self, file: Path, provider: str = CPU) -> InferenceSession:
        onnxruntime = load_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads_per_run
        options.log_severity_level = 3  # errors; warnings would go to stderr
        # Plans memory for each shape of input: no faster, and half as much again for images.
        options.enable_mem_pattern = False
        if self._workload is Workload.SINGLE_QUERY:
            options.add_session_config_entry("session.disable_prepacking", "1")
        if self._workload in PARALLEL_WORKLOADS:
            # Threads that wait for work in a loop take the cores from those that have some.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        else:
            # For one text they are faster; but what follows its run needs the cores.
            options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            with span(f"session of {file.name} opened"):
                return onnxruntime.InferenceSession(
                    str(file),
                    options,
                    providers=list(dict.fromkeys((provider, CPU))),
                    # A sum and a norm apart are faster than its kernel for both at once.
                    disabled_optimizers=["SkipLayerNormFusion"],
                )
        except Exception as error:  # onnxruntime's own types share no base but Exception
            raise self._unusable(file, error) from error

    def _unusable(self, file: Path, error: Exception) -> ModelError:
        return ModelError(
            f"The model {self.model.name} cannot be opened.",
            code="compiled-model-unusable",
            why=f"{file}: {error}",
            hint=f"Delete the folder {self.folder}. nmm compiles the model again when needed.",
            model=self.model.name,
            path=self.folder,
        )

    @staticmethod
    def _run(session: InferenceSession, inputs: Mapping[str, NDArray[Any]]) -> Vectors:
        with span("model run"):
            return cast("Vectors", session.run(None, inputs)[0])


def _accelerators() -> list[str]:
    available = load_onnxruntime().get_available_providers()
    return [provider for provider in ACCELERATORS if provider in available]
