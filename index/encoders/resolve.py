"""Find a model by its name, its repository or its folder."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from nmm.index.encoders.base import Model
from nmm.index.encoders.families.adapters import ADAPTERS
from nmm.index.encoders.registry import MODELS
from nmm.index.errors import ModelError


def find_model(name: str) -> Model:
    """Return the row of a model.

    Args:
        name: Its name, one of its repositories, or a folder with weights of the user's own.

    Raises:
        ModelError: There is no such model, or the one in the folder is not supported.
    """
    if name in MODELS:
        return MODELS[name]
    for model in MODELS.values():
        if name in model.hub_names:
            return model
    if name and Path(name).is_dir():  # an empty name would be the current folder
        return model_in_folder(Path(name))
    close = get_close_matches(name.lower(), MODELS, 1)
    raise ModelError(
        f"There is no model named {name!r}, and no folder of that name.",
        code="model-unknown",
        why=f"The models are: {', '.join(MODELS)}.",
        hint=f"Did you mean {close[0]}?" if close else "",
        name=name,
    )


def model_in_folder(folder: Path) -> Model:
    """Return the row of the model in a folder, by the first family that recognises it.

    Raises:
        ModelError: No family does, or a file is missing or not supported.
    """
    folder = folder.expanduser().resolve()
    for adapter in ADAPTERS.values():
        if (model := adapter.from_folder(folder)) is not None:
            return model
    layouts = [", ".join(a.folder_files) for a in ADAPTERS.values() if a.folder_files]
    raise ModelError(
        f"There is no model in {folder}.",
        code="model-folder-unknown",
        why="Its files are not those of a model that nmm reads from a folder.",
        hint=f"The folder needs a model in the layout of the hub: {'; or '.join(layouts)}",
        path=folder,
    )
