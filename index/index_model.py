"""The model of an index: which one it is, and whether an encoder is that one."""

from __future__ import annotations

from nmm.index.encoders.base import Encoder, Model
from nmm.index.encoders.resolve import find_model
from nmm.index.errors import ModelError
from nmm.index.store.catalog.types import Settings


def model_of(settings: Settings) -> Model:
    """The row of an index's model, with the dimension of its vectors.

    Raises:
        ModelError: There is no such model, or none with such vectors.
    """
    model = find_model(settings.model)
    if settings.dimension not in {model.dimension, *model.dimensions}:
        raise _other_weights(settings)
    return model.with_dimension(settings.dimension)


def settings_of(encoder: Encoder) -> Settings:
    """What an index says of itself that this encoder made."""
    return Settings(encoder.model.name, encoder.model.dimension, encoder.weights)


def check(settings: Settings, encoder: Encoder) -> None:
    """Refuse to compare vectors of an index with an encoder's that are not of one kind.

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
