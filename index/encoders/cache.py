"""Where models are kept on this machine: what was downloaded, and what was made of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nmm.index.encoders.registry import Model


def cache_folder() -> Path:
    """The folder of all models: `NMM_CACHE`, else the user's cache directory."""
    if folder := os.environ.get("NMM_CACHE"):
        return Path(folder).absolute()
    from platformdirs import user_cache_path

    return user_cache_path("nmm", appauthor=False)


def weights_folder(model: Model) -> Path:
    """Where the files of a model that is downloaded are, or will be."""
    return cache_folder() / "weights" / model.name


def compiled_folder(model: Model) -> Path:
    """Where a model's compiled form is, or will be."""
    name = model.name
    if Path(name).is_absolute():
        # Weights in a folder can change: other files, other name.
        stats = [(file, Path(file).stat()) for file in model.files if Path(file).exists()]
        seen = repr([(file, s.st_size, s.st_mtime_ns) for file, s in stats])
        name = _of_folder(name) + _short_hash(seen)
    return cache_folder() / "models" / f"{name}-{model.recipe}"


def outdated_folders(model: Model) -> list[Path]:
    """The compiled forms of weights that were in a model's folder before those of now."""
    current = compiled_folder(model)
    if not Path(model.name).is_absolute():
        return []
    prefix = _of_folder(model.name)
    return [
        folder
        for folder in current.parent.iterdir()
        if folder.name.startswith(prefix) and folder.is_dir() and folder != current
    ]


def _of_folder(path: str) -> str:
    return f"{Path(path).name}-{_short_hash(path)}-"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
