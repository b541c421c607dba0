"""`nmm models`: what there is to choose from."""

from __future__ import annotations

import json
from typing import Any

from nmm.cli.output import emit
from nmm.cli.parameters import JsonOption

EXAMPLES = """\b
Examples:
  nmm models
  nmm models --json
"""


def models(as_json: JsonOption = False) -> None:
    """List the models: size, licence, and whether they are here."""
    from nmm.index.encoders.compile import is_compiled
    from nmm.index.encoders.registry import MODELS
    from nmm.index.encoders.weights import is_on_this_machine

    rows: list[dict[str, Any]] = [
        {
            "name": model.name,
            "title": model.title,
            "dimension": model.dimension,
            "licence": model.licence,
            "bytes": model.size,
            "on_this_machine": is_on_this_machine(model),
            "prepared": is_compiled(model),
        }
        for model in MODELS.values()
    ]
    if as_json:
        emit(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
        return
    for row in rows:
        here = "on this machine" if row["on_this_machine"] else "not on this machine"
        emit(
            f"{row['name']}: {row['title']}\n"
            f"    {row['dimension']} dimensions, {row['bytes'] / 1e6:.0f} MB, "
            f"{row['licence']}, {here}\n"
        )
