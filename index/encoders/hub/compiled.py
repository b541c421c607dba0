"""The compiled form of a model: its files, its manifest, and whether it is complete.

A compiled model is a folder in the cache. It holds `vision.onnx` and `text.onnx`, their weights
in files beside them, `tokenizer.json` and `manifest.json`. A model that comes as ONNX graphs has
only the tokenizer and the manifest there: its graphs are checked, and run where they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nmm.index.encoders.backend import Precision
from nmm.index.encoders.base import Model
from nmm.index.encoders.hub.cache_dirs import compiled_folder

VISION = "vision.onnx"
TEXT = "text.onnx"
TOKENIZER = "tokenizer.json"
MANIFEST = "manifest.json"
# Counts changes in how graphs are made that leave vectors equal but for rounding. Models
# compiled in an older format are compiled again.
FORMAT_VERSION = 2


def is_compiled(model: Model, precision: Precision = Precision.FP32) -> bool:
    """Return whether the compiled form is in the cache, up to date, with files of full size."""
    folder = compiled_folder(model, precision)
    try:
        manifest = read_manifest(folder)
        sizes = manifest["sizes"]
        return manifest["form"] == FORMAT_VERSION and all(
            (folder / name).stat().st_size == size for name, size in sizes.items()
        )
    except (OSError, ValueError, KeyError):
        return False


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a compiled form: `model`, `form`, `weights` and `sizes`.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not JSON.
    """
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
    return manifest


def write_manifest(model: Model, folder: Path, weights: str, outside: Sequence[Path] = ()) -> None:
    """Write the manifest of the files in a folder.

    Args:
        model: The compiled model.
        folder: Its compiled form, complete but for the manifest.
        weights: Hash of the weights and the recipe.
        outside: Files elsewhere that the compiled form needs too.
    """
    inside = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    manifest = {
        "model": model.name,
        "form": FORMAT_VERSION,
        "weights": weights,
        "sizes": inside | {str(file): file.stat().st_size for file in outside},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")
