"""Find a model by name, by repository, or by the folder of a pair."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from nmm.index.encoders.base import Model
from nmm.index.encoders.registry import MODELS
from nmm.index.errors import ModelError


def find_model(name: str) -> Model:
    """The row of that name, or of that repository, or of the pair in the folder of that name.

    Raises:
        ModelError: There is none, or what is in the folder cannot be run.
    """
    if name in MODELS:
        return MODELS[name]
    for model in MODELS.values():
        if name in model.hub_names:
            return model
    if name and Path(name).is_dir():  # without a name it would be the current folder
        from nmm.index.encoders.families.local_pair import folder_model

        return folder_model(Path(name))
    close = get_close_matches(name.lower(), MODELS, 1)
    raise ModelError(
        f"There is no model named {name!r}, and no folder of that name.",
        code="model-unknown",
        why=f"The models are: {', '.join(MODELS)}.",
        hint=f"Did you mean {close[0]}?" if close else "",
        name=name,
    )
