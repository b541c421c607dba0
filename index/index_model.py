"""The model of an index, and whether an encoder matches it."""

from __future__ import annotations

from nmm.index.encoders.base import Encoder, Model
from nmm.index.encoders.resolve import find_model
from nmm.index.errors import ModelError
from nmm.index.store.catalog.types import Settings


def model_of(settings: Settings) -> Model:
    """Return the model of an index, with the dimension of its vectors.

    Raises:
        ModelError: The model is unknown, or does not have this dimension.
    """
    model = find_model(settings.model)
    if settings.dimension not in {model.dimension, *model.dimensions}:
        raise _other_weights(settings)
    return model.with_dimension(settings.dimension)


def settings_of(encoder: Encoder) -> Settings:
    """Return the settings of an index that this encoder makes."""
    return Settings(encoder.model.name, encoder.model.dimension, encoder.weights)


def check(settings: Settings, encoder: Encoder) -> None:
    """Refuse an encoder whose vectors cannot be compared with those of an index.

    Raises:
        ModelError: The index was made with other weights.
    """
    if settings != settings_of(encoder):
        raise _other_weights(settings)


def _other_weights(settings: Settings) -> ModelError:
    return ModelError(
        f"This index was made with other weights of the model {settings.model}.",
        code="index-other-weights",
        why="Vectors of different weights cannot be compared.",
        model=settings.model,
    )
