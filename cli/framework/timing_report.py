"""The report that NMM_TIMING=1 prints on stderr: how a command spent its time."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nmm.index.common import tracing

VARIABLE = "NMM_TIMING"
# Modules whose import takes several milliseconds, so that each gets a row.
MODULES = (
    "PIL",
    "faiss",
    "huggingface_hub",
    "numpy",
    "onnxruntime",
    "pillow_heif",
    "pydantic",
    "rapidocr",
    "sqlite_utils",
    "tokenizers",
    "tomlkit",
    "torch",
    "transformers",
    "typer",
)


def timed(run: Callable[[], None]) -> None:
    """Run a command and print how it spent its time, even if it fails.

    With NMM_TIMING=json the report is one line of JSON.
    """
    from nmm.index.common import tracing

    tracing.start(MODULES)
    try:
        run()
    finally:
        _print()


def _print() -> None:
    """Print the recorded spans, and the time outside all spans."""
    from nmm.index.common import tracing

    whole = tracing.whole()
    python = tracing.Row(("start of Python",), 0.0)
    python.seconds, python.times = tracing.began(), 1
    found = [python, *tracing.rows()]
    told = sum(row.seconds for row in found if len(row.path) == 1 and not row.is_beside)
    if os.environ[VARIABLE] == "json":
        import json

        spans = [
            {
                "span": list(row.path),
                "ms": round(1000 * row.seconds, 2),
                "from": round(1000 * row.start, 2),
                "times": row.times,
                "beside": row.is_beside,
            }
            for row in found
        ]
        said = json.dumps({"ms": round(1000 * whole, 2), "spans": spans})
    else:
        said = "\n".join(_table(found, whole, told))
    print(said, file=sys.stderr, flush=True)  # noqa: T201


def _table(found: list[tracing.Row], whole: float, told: float) -> list[str]:
    lines = [f"{'ms':>8}  {'from':>8}"]
    beside = False
    for row in found:
        if row.is_beside and not beside:
            lines.append("in other threads, meanwhile")
            beside = True
        times = f"  ({row.times} times)" if row.times > 1 else ""
        name = "  " * (len(row.path) - 1) + row.path[-1]
        lines.append(f"{1000 * row.seconds:8.1f}  {1000 * row.start:8.1f}  {name}{times}")
    rest, end = 1000 * (whole - told), 1000 * whole
    return [*lines, f"{rest:8.1f}  {'':8}  the rest", f"{end:8.1f}  {'':8}  until here"]
