"""Where models are kept on this machine: what was downloaded, and what was made of it."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.encoders.runtime.backend import Precision

if TYPE_CHECKING:
    from nmm.index.encoders.base import Model


def cache_folder() -> Path:
    """The folder of all models: `NMM_CACHE`, else the user's cache directory."""
    if folder := os.environ.get("NMM_CACHE"):
        return Path(folder).absolute()
    from platformdirs import user_cache_path

    return user_cache_path("nmm", appauthor=False)


def weights_folder(model: Model) -> Path:
    """Where the files of a model that is downloaded are, or will be."""
    return cache_folder() / "weights" / model.name


def compiled_folder(model: Model, precision: Precision = Precision.FP32) -> Path:
    """Where a model's compiled form is, or will be."""
    name = model.name
    if Path(name).is_absolute():
        # Weights in a folder can change: other files, other name.
        stats = [(file, Path(file).stat()) for file in model.files if Path(file).exists()]
        seen = repr([(file, s.st_size, s.st_mtime_ns) for file, s in stats])
        name = _folder_stem(name) + _short_hash(seen)
    suffix = "" if precision is Precision.FP32 else f"-{precision.value}"
    return cache_folder() / "models" / f"{name}-{model.recipe}{suffix}"


def all_compiled_folders(model: Model) -> list[Path]:
    """All that was ever made of a model and is left, by any recipe and of any weights."""
    stem = _folder_stem(model.name) if Path(model.name).is_absolute() else f"{model.name}-"
    # The recipe follows, or a hash and the recipe; not the rest of another model's name.
    ours = re.compile(rf"{re.escape(stem)}([0-9a-f]{{12}}-)?\d+(-int8)?(\.part-.*)?")
    folders = (cache_folder() / "models").glob("*")
    return [path for path in folders if ours.fullmatch(path.name) and path.is_dir()]


def _folder_stem(path: str) -> str:
    return f"{Path(path).name}-{_short_hash(path)}-"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
