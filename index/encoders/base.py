"""Describe an encoder: the row of a model, and the protocol that runs it."""

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
    """The purpose of a text. Models that were trained with prefixes use one for each task."""

    QUERY = "search_query"
    DOCUMENT = "search_document"
    CLASSIFICATION = "classification"
    CLUSTERING = "clustering"


@dataclass(frozen=True)
class ImagePreprocessing:
    """How an image becomes a model's input: resized, cropped, normalised.

    Attributes:
        side: Pixels of the square input. The shortest side of the image is resized to it
            (bicubic), then the centre is cropped.
        mean: Per channel (R, G, B), on the scale 0 to 1; subtracted from each pixel.
        std: Per channel; the difference is divided by it.
    """

    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class TextPreprocessing:
    """How a text becomes a model's input: prefixed, tokenized, truncated.

    Attributes:
        context: Tokens that the text tower reads, special tokens included.
        prefixes: What a text of each task begins with; empty for models trained without.
    """

    context: int
    prefixes: Mapping[Task, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Source:
    """A repository of a model hub, and the files to download from it.

    Attributes:
        repository: Owner and name.
        files: Paths in the repository, of safetensors, ONNX and JSON files only.
        folder: The subfolder of the model's folder that they go to; empty for none.
        revision: Branch, tag or commit.
    """

    repository: str
    files: tuple[str, ...]
    folder: str = ""
    revision: str = "main"

    @property
    def local_files(self) -> tuple[str, ...]:
        """Return the paths of the same files in the model's folder."""
        return tuple(f"{self.folder}/{file}" if self.folder else file for file in self.files)


@dataclass(frozen=True)
class PublishedScores:
    """Scores that a model card publishes, in percent. They were not measured here.

    Attributes:
        imagenet: Zero-shot accuracy on ImageNet-1k.
        datacomp: Mean over the 38 tasks of Datacomp (Gadre et al., 2023).
        mteb: Mean over the English MTEB (Muennighoff et al., 2022).
        source: The page that publishes them.
    """

    imagenet: float
    datacomp: float
    mteb: float
    source: str


class Temperature(NamedTuple):
    """Divisors of cosines with labels, which make their softmax a probability.

    Each is the inverse of CLIP's logit scale (Radford et al., 2021).

    Attributes:
        image: For images.
        text: For texts.
    """

    image: float
    text: float


@dataclass(frozen=True)
class Model:
    """One model, as data.

    Attributes:
        name: What a user types; the absolute path of a model in a user's folder.
        title: One line for a person.
        dimension: Length of its vectors.
        dimensions: Lengths that its vectors can be cut to (Matryoshka), if any.
        licence: SPDX name of the licence of its weights.
        size: Bytes of its weights.
        files: The weights, in the order that the family expects. Each is a path in the model's
            folder if the model has sources, else an absolute path, or a package and a path in
            it; see :mod:`nmm.index.encoders.hub.weights`.
        image: How an image becomes the vision tower's input.
        text: How a text becomes the text tower's input.
        chunk: Tokens of a passage when a text is split. The vector of a short passage
            describes it better than the vector of a page.
        temperature: For a softmax over labels, see
            :mod:`nmm.index.analysis.classification.classifier`.
        family: The adapter that compiles and runs it, by its name in
            :mod:`nmm.index.encoders.families.adapters`.
        recipe: Raised when a change of the family changes the model's vectors.
        trained_on_captions: Whether images were trained against captions. If not, labels are
            compared by their names alone.
        sources: Where the files are downloaded from; empty if they come with nmm or the user.
        published: Scores from its model card.
    """

    name: str
    title: str
    dimension: int
    licence: str
    size: int
    files: tuple[str, ...]
    image: ImagePreprocessing
    text: TextPreprocessing
    chunk: int
    temperature: Temperature
    family: str
    recipe: int
    dimensions: tuple[int, ...] = ()
    trained_on_captions: bool = True
    sources: tuple[Source, ...] = ()
    published: PublishedScores | None = None

    @property
    def hub_names(self) -> frozenset[str]:
        """Return the names of its repositories, with and without their owners."""
        full = {source.repository for source in self.sources}
        return frozenset(full | {name.rpartition("/")[2] for name in full})

    def prompt(self, text: str, task: Task, *, raw: bool = False) -> str:
        """Return a text with the prefix of a task, if the model has one.

        With `raw`, a text that already begins with the prefix of any task is left as it is.
        """
        if raw and text.startswith(tuple(self.text.prefixes.values())):
            return text
        return self.text.prefixes.get(task, "") + text

    def with_dimension(self, dimension: int | None) -> Model:
        """Return the same model with shorter vectors (Kusupati et al., 2022, "Matryoshka").

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

    Vectors are float32 of shape (n, `model.dimension`). They have unit length, so an inner
    product is a cosine.
    """

    @property
    def model(self) -> Model:
        """Return the row that this encoder runs."""

    @property
    def weights(self) -> str:
        """Return the hash of the weights and the recipe: equal hashes, equal vectors."""

    @property
    def folder(self) -> Path:
        """Return its compiled form. Data that depends on the weights alone may be cached there."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Return the text tower's tokenizer, without truncation and padding."""

    @property
    def batch_size(self) -> int:
        """Return the number of images that are best embedded together."""

    def submit_images(self, pixels: Sequence[NDArray[np.uint8]]) -> PendingEmbeddings:
        """Start embedding images, each as RGB pixels of shape (side, side, 3)."""

    def submit_texts(self, texts: Sequence[str], task: Task) -> PendingEmbeddings:
        """Start embedding texts for a task. They are truncated at the model's context."""

    def embed_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed images, given as RGB pixels of shape (n, side, side, 3)."""

    def embed_texts(
        self, texts: Sequence[str], task: Task, *, raw: bool = False
    ) -> NDArray[np.float32]:
        """Embed texts for a task. They are truncated at the model's context.

        `raw`: see :meth:`Model.prompt`.
        """


class PendingEmbeddings:
    """Vectors that are being computed, in one or more runs of a tower.

    Args:
        shape: The shape of all vectors.
        runs: Row numbers, and the future of the vectors of those rows.
    """

    def __init__(
        self, shape: tuple[int, int], runs: Sequence[tuple[Sequence[int], Future[Vectors]]]
    ) -> None:
        self._shape = shape
        self._runs = runs

    def done(self) -> bool:
        """Return whether all vectors are computed."""
        return all(run.done() and not run.cancelled() for _, run in self._runs)

    def result(self) -> Vectors:
        """Wait for all vectors, and return them: float32 of shape (n, dimension), unit length.

        Raises:
            CancelledError: It was cancelled.
            Exception: Whatever a run of the tower raised.
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
        """Start no further runs. Those that have started are finished."""
        for _, run in self._runs:
            run.cancel()
