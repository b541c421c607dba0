"""A model in ONNX Runtime."""

from __future__ import annotations

import enum
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from nmm.index.common.onnx_runtime import load_onnxruntime
from nmm.index.common.tracing import span
from nmm.index.encoders.families.adapters import adapter_of
from nmm.index.encoders.hub.compiled import TOKENIZER, read_manifest
from nmm.index.encoders.runtime.batching import BatchedEncoder
from nmm.index.encoders.runtime.devices import available_cpus
from nmm.index.encoders.tokenizer import open_tokenizer
from nmm.index.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

    from nmm.index.encoders.base import Model, Pixels, Tokens, Vectors

# Images, and padded tokens, in one run of a tower. Larger runs are slower on a CPU, because
# the activations between layers then leave its caches, and they take more memory.
IMAGES_PER_RUN = 2
TOKENS_PER_RUN = 512
# Queries are short: the more of them share a run, the more of it is padding.
QUERY_TOKENS_PER_RUN = 128

CPU = "CPUExecutionProvider"
# Execution providers that run fixed shapes faster than the CPU of the same machine, where ONNX
# Runtime has them. They run images, not texts, whose every length would be compiled anew. They
# compute in half precision, so one is used only if it embeds like the CPU.
ACCELERATORS = ("CoreMLExecutionProvider",)
MIN_COSINE = 0.99


class Workload(enum.Enum):
    """What an encoder is for.

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


# Those in which each core computes a run of its own.
PARALLEL_WORKLOADS = Workload.QUERY_BATCH, Workload.INDEXING


class OnnxEncoder(BatchedEncoder):
    """An :class:`~nmm.index.encoders.base.Encoder` in ONNX Runtime, on the CPU.

    A tower is opened when it is first used: a search never opens the vision tower, and a
    folder without texts never opens the text tower.

    Args:
        model: The row.
        folder: Its compiled form, see :mod:`nmm.index.encoders.hub.compiled`.
        workload: What the encoder is for.
        threads: Threads that compute; None for as many as there are cores.
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
        is_indexing = workload is Workload.INDEXING
        is_parallel = workload in PARALLEL_WORKLOADS
        super().__init__(
            model,
            folder,
            weights=read_manifest(folder)["weights"],
            images_per_run=IMAGES_PER_RUN,
            tokens_per_run=TOKENS_PER_RUN if is_indexing else QUERY_TOKENS_PER_RUN,
            parallel_runs=threads if is_parallel else 1,
        )
        self._workload = workload
        self._threads_per_run = 1 if is_parallel else threads
        self._adapter = adapter_of(model)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return self._open_tokenizer()

    @cached_property
    def _truncating_tokenizer(self) -> Tokenizer:
        # Reading the file again is as fast as copying the other tokenizer, and needs none.
        tokenizer = self._open_tokenizer()
        tokenizer.enable_truncation(self.model.text.context)
        return tokenizer

    @cached_property
    def _vision(self) -> Callable[[Pixels], Vectors]:
        return self._bind_vision(self._vision_session)

    @cached_property
    def _text(self) -> Callable[[Tokens, Tokens], Vectors]:
        run = self._adapter.bind_text(self.model, self._text_session, self._text_file)

        def timed(ids: Tokens, mask: Tokens) -> Vectors:
            with span("model run"):
                return run(ids, mask)

        return timed

    @property
    def _vision_file(self) -> Path:
        return self._adapter.graph_files(self.model, self.folder)[0]

    @property
    def _text_file(self) -> Path:
        return self._adapter.graph_files(self.model, self.folder)[1]

    @cached_property
    def _text_session(self) -> InferenceSession:
        return self._open(self._text_file)

    @cached_property
    def _vision_session(self) -> InferenceSession:
        session = self._open(self._vision_file)
        may_accelerate = (
            self._adapter.allows_accelerators and self._workload is not Workload.SINGLE_QUERY
        )
        for provider in _accelerators() if may_accelerate else ():
            with suppress(Exception):  # any of onnxruntime's own types; the CPU can do it all
                faster = self._open(self._vision_file, provider)
                if self._embed_alike(session, faster):
                    return faster
        return session

    def _bind_vision(self, session: InferenceSession) -> Callable[[Pixels], Vectors]:
        run = self._adapter.bind_vision(self.model, session, self._vision_file)

        def timed(pixels: Pixels) -> Vectors:
            with span("model run"):
                return run(pixels)

        return timed

    def _embed_alike(self, session: InferenceSession, other: InferenceSession) -> bool:
        """Return whether two sessions of the vision tower embed noise alike."""
        import numpy as np

        side = self.model.image.side
        noise = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
        ours, theirs = (self._bind_vision(one)(noise) for one in (session, other))
        return bool((ours * theirs).sum() >= MIN_COSINE)

    def _open_tokenizer(self) -> Tokenizer:
        file = self.folder / TOKENIZER
        try:
            with span("tokenizer opened"):
                return open_tokenizer(file)
        except ModelError as error:
            raise self._unusable(file, error.why) from error

    def _open(self, file: Path, provider: str = CPU) -> InferenceSession:
        onnxruntime = load_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads_per_run
        options.log_severity_level = 3  # errors; warnings would go to stderr
        # It plans memory for each shape of input. That is no faster, and takes half as much
        # memory again for images.
        options.enable_mem_pattern = False
        if self._workload is Workload.SINGLE_QUERY:
            options.add_session_config_entry("session.disable_prepacking", "1")
        if self._workload in PARALLEL_WORKLOADS:
            # Threads that spin while they wait take the cores from those that have work.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        else:
            # Spinning is faster for one text, but what follows the run needs the cores.
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
            raise self._unusable(file, str(error)) from error

    def _unusable(self, file: Path, reason: str) -> ModelError:
        what, why = f"The model {self.model.name} cannot be opened.", f"{file}: {reason}"
        if file.parent != self.folder:
            return ModelError(
                what, code="downloaded-model-unusable", why=why, model=self.model.name
            )
        return ModelError(
            what,
            code="compiled-model-unusable",
            why=why,
            hint=f"Delete the folder {self.folder}. nmm compiles the model again when needed.",
            model=self.model.name,
            path=self.folder,
        )


def _accelerators() -> list[str]:
    available = load_onnxruntime().get_available_providers()
    return [provider for provider in ACCELERATORS if provider in available]
