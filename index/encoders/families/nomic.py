"""The family of Nomic's pairs: a vision and a text tower in one latent space.

Besides the published models it reads pairs of the user's own, fine-tuned from
nomic-embed-vision-v1.5 and -text-v1.5, in a folder laid out as on the hub: `DIR/vision` and
`DIR/text`. The row is read from the configurations beside the weights. Nothing in the folder is
run. The towers are in :mod:`.nomic_towers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nmm.index.encoders.base import Model
from nmm.index.encoders.families.base import TowerAdapter, Towers
from nmm.index.encoders.families.nomic_config import TEXT, VISION, read_config
from nmm.index.encoders.preprocessor_config import read_image_preprocessing
from nmm.index.encoders.registry import CONFIG, NOMIC_V1_5, PREPROCESSOR, WEIGHTS
from nmm.index.errors import ModelError


class NomicAdapter(TowerAdapter):
    """Pairs like nomic-embed-vision-v1.5 and nomic-embed-text-v1.5."""

    name = "nomic"
    folder_files = NOMIC_V1_5.files

    def build_towers(self, model: Model, files: Sequence[Path]) -> Towers:
        """Build both towers; see :func:`.nomic_towers.build_towers`."""
        from nmm.index.encoders.families.nomic_towers import build_towers

        return build_towers(model, files)

    def from_folder(self, folder: Path) -> Model | None:
        """Return the row of a pair. Its name is the folder's absolute path."""
        if not any((folder / name).exists() for name in self.folder_files):
            return None
        vision = read_config(folder / "vision" / CONFIG, VISION)
        text = read_config(folder / "text" / CONFIG, TEXT)
        if vision["n_embd"] != text["n_embd"]:
            raise ModelError(
                f"The towers in {folder} do not belong together.",
                code="towers-mismatch",
                why=f"Vision has {vision['n_embd']} dimensions, text {text['n_embd']}.",
                path=folder,
            )
        image = read_image_preprocessing(folder / "vision" / PREPROCESSOR)
        if image.side != vision["img_size"]:
            raise ModelError(
                f"The vision tower in {folder} does not match its preprocessing.",
                code="preprocessing-mismatch",
                why=f"The tower takes {vision['img_size']} pixels, "
                f"{PREPROCESSOR} makes {image.side}.",
                path=folder,
            )
        context = min(text["n_positions"], NOMIC_V1_5.text.context)
        weights = [folder / name for name in self.folder_files if name.endswith(WEIGHTS)]
        return replace(
            NOMIC_V1_5,
            name=str(folder),
            title="a pair of towers in a folder",
            dimension=vision["n_embd"],
            dimensions=(),
            licence="unknown",
            size=sum(map(_size, weights)),
            files=tuple(str(folder / name) for name in self.folder_files),
            image=image,
            text=replace(NOMIC_V1_5.text, context=context),
            sources=(),
            published=None,
        )


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # missing files are reported when the weights are opened
