"""The families of encoders, by name."""

from __future__ import annotations

from nmm.index.encoders.backend import Precision
from nmm.index.encoders.base import Model
from nmm.index.encoders.families.base import EncoderAdapter
from nmm.index.encoders.families.clip import ClipAdapter
from nmm.index.encoders.families.mini import MiniAdapter
from nmm.index.encoders.families.nomic import NomicAdapter
from nmm.index.encoders.families.onnx_graph import OnnxGraphAdapter
from nmm.index.errors import UsageError

# Each adapter by its name. A folder of the user's is offered to them in this order.
ADAPTERS: dict[str, EncoderAdapter] = {}


def register(adapter: EncoderAdapter) -> None:
    """Make a family known, so that rows can name it."""
    ADAPTERS[adapter.name] = adapter


for _adapter in (NomicAdapter(), ClipAdapter(), MiniAdapter(), OnnxGraphAdapter()):
    register(_adapter)


def adapter_of(model: Model) -> EncoderAdapter:
    """Return the adapter of a model's family."""
    return ADAPTERS[model.family]


def check_precision(model: Model, precision: Precision) -> None:
    """Refuse a precision that a model cannot be compiled in. AUTO is never refused.

    Raises:
        UsageError: The model's family does not have that precision.
    """
    precisions = adapter_of(model).precisions
    if precision is Precision.AUTO or precision in precisions:
        return
    raise UsageError(
        f"The model {model.name} runs in {', '.join(sorted(precisions))} only.",
        code="precision-unsupported",
        why="It is an ONNX model, which nmm runs as it is.",
        model=model.name,
        precision=precision.value,
    )
