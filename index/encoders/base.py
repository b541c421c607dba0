"""What an encoder is: the row of a model, and the protocol that runs it."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    Pixels: TypeAlias = NDArray[np.uint8]
    Tokens: TypeAlias = NDArray[np.int64]
    Vectors: TypeAlias = NDArray[np.float32]


class Task(enum.Enum):
    """What a text is embedded for; models trained with prefixes tell these apart."""

    QUERY = "search_query"
    DOCUMENT = "search_document"
    CLASSIFICATION = "classification"
    CLUSTERING = "clustering"


@dataclass(frozen=True)
class ImagePreprocessing:
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
class PublishedScores:
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
        temperature: Of a softmax over labels, see :mod:`.classifier`.
        definition: The module that builds its towers, see :mod:`.compile`; None if its
            files are ONNX graphs that run as they are, see :mod:`.graphs`.
        recipe: Counts changes of the definition that change vectors.
        trained_on_captions: Whether images were trained to meet captions; else they meet names.
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
    image: ImagePreprocessing
    context: int
    chunk: int
    pooling: str
    temperature: Temperature
    definition: str | None
    recipe: int
    dimensions: tuple[int, ...] = ()
    trained_on_captions: bool = True
    prefixes: Mapping[Task, str] = field(default_factory=lambda: MappingProxyType({}))
    sources: tuple[Source, ...] = ()
    published: PublishedScores | None = None

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
                code="dimension-unsupported",
                why=f"It was trained for {allowed}."
                if allowed
                else f"They have {self.dimension}; the model was not trained for shorter vectors.",
                model=self.name,
                dimension=dimension,
                full=self.dimension,
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

    def submit_images(self, pixels: Sequence[NDArray[np.uint8]]) -> PendingEmbeddings:
        """Begin to embed images, each given as RGB pixels of shape (side, side, 3)."""

    def submit_texts(self, texts: Sequence[str], task: Task) -> PendingEmbeddings:
        """Begin to embed texts for a task; what exceeds the model's context is cut off."""

    def embed_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed images given as RGB pixels of shape (n, side, side, 3)."""

    def embed_texts(
        self, texts: Sequence[str], task: Task, *, raw: bool = False
    ) -> NDArray[np.float32]:
        """Embed texts for a task; what exceeds the model's context is cut off.

        `raw`: see :meth:`Model.prompt`.
        """


class PendingEmbeddings:
    """Items that are being embedded, in runs of a tower.

    Args:
        shape: Of the vectors of all.
        runs: Rows of the vectors, and what computes those.
    """

    def __init__(
        self, shape: tuple[int, int], runs: Sequence[tuple[Sequence[int], Future[Vectors]]]
    ) -> None:
        self._shape = shape
        self._runs = runs

    def done(self) -> bool:
        """Whether all vectors are there."""
        return all(run.done() and not run.cancelled() for _, run in self._runs)

    def result(self) -> Vectors:
        """Unit vectors, float32 of shape (n, dimension), once all are there.

        Raises:
            CancelledError: It was cancelled.
            Exception: What computes raised it.
        """
        import numpy as np

        vectors = np.empty(self._shape, np.float32)
        try:
            for rows, run in self._runs:
                vectors[rows] = run.result()
        except BaseException:
            self.cancel()
            raise
        return vectors

    def cancel(self) -> None:
        """Compute no more than what is being computed now."""
        for _, run in self._runs:
            run.cancel()
