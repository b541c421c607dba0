"""The folders of downloaded weights and compiled models on this machine."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.encoders.backend import Precision

if TYPE_CHECKING:
    from nmm.index.encoders.base import Model


def cache_folder() -> Path:
    """Return the folder of all models: `NMM_CACHE`, else the user's cache directory."""
    if folder := os.environ.get("NMM_CACHE"):
        return Path(folder).absolute()
    from platformdirs import user_cache_path

    return user_cache_path("nmm", appauthor=False)


def weights_folder(model: Model) -> Path:
    """Return the folder of a model's downloaded files, which need not exist."""
    return cache_folder() / "weights" / model.name


def compiled_folder(model: Model, precision: Precision = Precision.FP32) -> Path:
    """Return the folder of a model's compiled form, which need not exist."""
    name = model.name
    if Path(name).is_absolute():
        # The files in a user's folder can change. Then the compiled form has another name.
        stats = [(file, Path(file).stat()) for file in model.files if Path(file).exists()]
        seen = repr([(file, s.st_size, s.st_mtime_ns) for file, s in stats])
        name = _folder_stem(name) + _short_hash(seen)
    suffix = "" if precision is Precision.FP32 else f"-{precision.value}"
    return cache_folder() / "models" / f"{name}-{model.recipe}{suffix}"


def all_compiled_folders(model: Model) -> list[Path]:
    """Return all compiled forms of a model, of any recipe and any weights."""
    stem = _folder_stem(model.name) if Path(model.name).is_absolute() else f"{model.name}-"
    # A recipe follows, or a hash and a recipe, but not the rest of another model's name.
    ours = re.compile(rf"{re.escape(stem)}([0-9a-f]{{12}}-)?\d+(-int8)?(\.part-.*)?")
    folders = (cache_folder() / "models").glob("*")
    return [path for path in folders if ours.fullmatch(path.name) and path.is_dir()]


def _folder_stem(path: str) -> str:
    return f"{Path(path).name}-{_short_hash(path)}-"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
