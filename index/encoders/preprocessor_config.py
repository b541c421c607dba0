"""Read a hub's `preprocessor_config.json`: how an image becomes the input of a tower."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nmm.index.encoders.base import ImagePreprocessing
from nmm.index.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

BICUBIC = 3  # Pillow's number for it
STEPS = ("resize", "center_crop", "rescale", "normalize")


def read_image_preprocessing(file: Path) -> ImagePreprocessing:
    """Read the configuration of a CLIPImageProcessor or a JinaCLIPImageProcessor.

    Raises:
        ModelError: It cannot be read, or asks for something that nmm does not support.
    """
    try:
        config = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The preprocessing of {file} cannot be read.",
            code="preprocessing-unreadable",
            why=str(getattr(error, "strerror", None) or error),
            path=file,
        ) from error
    config = _as_clip_config(config) if isinstance(config, dict) else {}
    side = _shortest_edge(config.get("size"))
    mean, std = config.get("image_mean") or (), config.get("image_std") or ()
    rescale = config.get("rescale_factor", 1 / 255)
    if (
        not side
        or _square(config.get("crop_size")) != side
        or config.get("resample") != BICUBIC
        or not all(config.get(f"do_{step}", True) for step in STEPS)
        or (len(mean), len(std)) != (3, 3)
        or not rescale
    ):
        raise ModelError(
            f"The preprocessing of {file} is not supported.",
            code="preprocessing-unsupported",
            why="It must resize (bicubic), crop to the same size, and normalise three channels.",
            path=file,
        )
    # ImagePreprocessing normalises pixels on the scale 0 to 1, whatever the configuration's is.
    scale = 255 * rescale
    return ImagePreprocessing(side, tuple(m / scale for m in mean), tuple(s / scale for s in std))


def check_image_preprocessing(expected: ImagePreprocessing, file: Path) -> None:
    """Compare a row with the configuration that came with the weights.

    Raises:
        ModelError: They differ, or nmm does not support the configuration.
    """
    found = read_image_preprocessing(file)
    if found != expected:
        raise ModelError(
            f"The preprocessing of {file} is not the one that nmm uses for this model.",
            code="preprocessing-unexpected",
            why=f"The file says {found}, nmm uses {expected}.",
            hint="A newer nmm may support it.",
            path=file,
        )


def _as_clip_config(config: dict[str, Any]) -> dict[str, Any]:
    """Translate the configuration of a JinaCLIPImageProcessor, which does the same steps."""
    if "resize_mode" not in config:
        return config
    bicubic = (config["resize_mode"], config.get("interpolation")) == ("shortest", "bicubic")
    return {
        "size": config.get("size"),
        "crop_size": config.get("size"),
        "resample": BICUBIC if bicubic else None,
        "image_mean": config.get("mean", config.get("image_mean")),
        "image_std": config.get("std", config.get("image_std")),
    }


def _shortest_edge(size: Any) -> Any:
    """Return the shortest side: a number in older configurations, named in newer ones."""
    return size.get("shortest_edge") if isinstance(size, dict) else size


def _square(size: Any) -> Any:
    if isinstance(size, dict):
        return size.get("height") if size.get("height") == size.get("width") else None
    return size
