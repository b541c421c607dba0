"""A model in torch, on a GPU: the family's own towers, in half precision."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import torch

from nmm.index.encoders.backend import Device
from nmm.index.encoders.families.adapters import adapter_of
from nmm.index.encoders.families.base import TowerAdapter
from nmm.index.encoders.hub.compiled import read_manifest
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.runtime.batching import BatchedEncoder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from torch import nn

    from nmm.index.encoders.base import Model, Pixels, Tokens, Vectors
    from nmm.index.encoders.families.base import Towers

# A GPU is fast on large runs only.
IMAGES_PER_RUN = 64
TOKENS_PER_RUN = 32_768
# While the GPU computes one run, the next one is copied to it.
PARALLEL_RUNS = 2


class TorchEncoder(BatchedEncoder):
    """An :class:`~nmm.index.encoders.base.Encoder` in torch.

    Its vectors equal those of the CPU up to half precision, so an index can be made on a GPU and
    searched without one.

    Args:
        model: The row.
        folder: Its compiled form, whose manifest has the hash of the weights.
        device: CUDA or MPS; CPU for comparisons.
        dtype: The precision; if not given, bfloat16 if the device supports it, else float16.
    """

    def __init__(
        self, model: Model, folder: Path, device: Device, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__(
            model,
            folder,
            weights=read_manifest(folder)["weights"],
            images_per_run=IMAGES_PER_RUN,
            tokens_per_run=TOKENS_PER_RUN,
            parallel_runs=PARALLEL_RUNS,
        )
        self._device = torch.device(device.value)
        self._dtype = dtype or half_precision(device)

    @cached_property
    def _towers(self) -> Towers:
        adapter = adapter_of(self.model)
        assert isinstance(adapter, TowerAdapter), "other families run on the CPU only"
        return adapter.build_towers(self.model, weight_files(self.model))

    @property
    def tokenizer(self) -> Tokenizer:
        return self._towers.tokenizer

    @cached_property
    def _vision(self) -> Callable[[Pixels], Vectors]:
        return partial(self._run, self._towers.vision.to(self._device))

    @cached_property
    def _text(self) -> Callable[[Tokens, Tokens], Vectors]:
        return partial(self._run, self._towers.text.to(self._device))

    @torch.inference_mode()
    def _run(self, tower: nn.Module, *inputs: NDArray[Any]) -> Vectors:
        # Autocast keeps norms and the last steps in float32, which need the precision.
        with torch.autocast(
            self._device.type, self._dtype, enabled=self._dtype is not torch.float32
        ):
            vectors = tower(*(torch.from_numpy(x).to(self._device) for x in inputs))
        vectors = torch.nn.functional.normalize(vectors.float(), dim=-1)
        return cast("Vectors", vectors.cpu().numpy())


def half_precision(device: Device) -> torch.dtype:
    """Return bfloat16, which has the range of float32, or float16 on older GPUs and on Macs."""
    if device is Device.CUDA and not torch.cuda.is_bf16_supported():
        return torch.float16
    return torch.float16 if device is Device.MPS else torch.bfloat16
