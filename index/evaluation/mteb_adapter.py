"""Run a model of nmm in the package `mteb`, to measure it on the tasks of MTEB and MIEB.

::

    import mteb
    from nmm.index.evaluation.mteb_adapter import MtebEncoder

    mteb.evaluate(MtebEncoder("nomic-v1.5"), mteb.get_tasks(tasks=["STS12", "SciFact"]))

It implements mteb's EncoderProtocol (mteb 2), and needs the extra `mteb`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nmm.index.common.linalg import normalize_rows
from nmm.index.embed import IMAGES, open_encoder, vectors_of_images
from nmm.index.encoders.backend import Backend, Device
from nmm.index.encoders.base import Task
from nmm.index.encoders.resolve import find_model
from nmm.index.errors import MediaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.base import Model, Vectors

# The prefix that the makers of Nomic's models use for each type of task, from mteb
# (mteb.models.model_implementations.nomic_models) and, for zero-shot classification, from their
# repository contrastors. All other texts are queries and documents.
TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "Classification": Task.CLASSIFICATION,
        "MultilabelClassification": Task.CLASSIFICATION,
        "PairClassification": Task.CLASSIFICATION,
        "Reranking": Task.CLASSIFICATION,
        "STS": Task.CLASSIFICATION,
        "Summarization": Task.CLASSIFICATION,
        "Clustering": Task.CLUSTERING,
        "ZeroShotClassification": Task.QUERY,
    }
)
PROMPTS: Mapping[str | None, Task] = MappingProxyType(
    {"query": Task.QUERY, "document": Task.DOCUMENT}
)


class MtebEncoder:
    """A model of nmm as an encoder of mteb.

    Args:
        model_name: See :func:`nmm.index.encoders.resolve.find_model`.
        revision: Passed by mteb and ignored, because a model of nmm has one revision.
        device: "cpu", "cuda" or "mps"; if not given, a GPU if there is one.
        dimension: Length of the vectors, for a model that was trained to be cut.
        offline: Download nothing.

    Raises:
        UsageError: The device is not available, or the vectors cannot be cut to that length.
        ModelError: The model is unknown, unavailable or cannot be run.
    """

    def __init__(
        self,
        model_name: str = "nomic-v1.5",
        revision: str | None = None,
        *,
        device: str | None = None,
        dimension: int | None = None,
        offline: bool = False,
        **_: Any,
    ) -> None:
        del revision
        model = find_model(model_name).with_dimension(dimension)
        backend = Backend(Device(device) if device else Device.AUTO)
        self._encoder = open_encoder(model, backend, offline=offline)
        self.mteb_model_meta = _meta(self._encoder.model, self._encoder.weights)

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **_: Any,
    ) -> NDArray[np.float32]:
        """Embed batches of texts, of images, or of both together.

        Returns:
            Unit vectors, shape (inputs, dimension). An input with a text and an image gets the
            normalised sum of both vectors.

        Raises:
            MediaError: An image cannot be read.
        """
        import numpy as np

        del hf_split, hf_subset
        prompt = getattr(prompt_type, "value", prompt_type)
        task = TASKS.get(task_metadata.type) or PROMPTS.get(prompt, Task.DOCUMENT)
        return np.concatenate(
            [
                np.empty((0, self._encoder.model.dimension), np.float32),
                *(self._embed(batch, task) for batch in inputs),
            ]
        )

    def _embed(self, batch: Mapping[str, Any], task: Task) -> Vectors:
        import numpy as np

        parts = []
        if "text" in batch:
            parts.append(self._encoder.embed_texts(batch["text"], task))
        if "image" in batch:
            images = batch["image"]
            blocks = [images[at : at + IMAGES] for at in range(0, len(images), IMAGES)]
            parts.append(np.concatenate([self._images(block) for block in blocks]))
        if len(parts) == 1:
            return parts[0]
        sums: Vectors = np.add.reduce(parts)
        normalize_rows(sums)
        return sums

    def _images(self, images: list[Any]) -> Vectors:
        vectors, bad = vectors_of_images(self._encoder, images)
        for row, error in bad.items():
            raise MediaError(
                f"image {row} of a batch: {error.what}", code="batch-image-unreadable", row=row
            ) from error
        return vectors

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosines of all pairs, shape (embeddings1, embeddings2)."""
        from mteb.similarity_functions import cos_sim

        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosines of corresponding rows, shape (embeddings1,)."""
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(embeddings1, embeddings2)


def _meta(model: Model, weights: str) -> Any:
    """Return the metadata that identify a model in mteb's results: its name and weights."""
    from mteb.models.model_meta import ModelMeta, ScoringFunction

    cut = "" if model.dimension == find_model(model.name).dimension else f"-{model.dimension}"
    return ModelMeta(
        loader=MtebEncoder,
        loader_kwargs={},
        name=f"nmm/{Path(model.name).name}{cut}",
        revision=weights[:40],
        release_date=None,
        languages=["eng-Latn"],
        n_parameters=None,
        memory_usage_mb=None,
        max_tokens=model.text.context,
        embed_dim=model.dimension,
        license=None,
        open_weights=True,
        public_training_code=None,
        public_training_data=None,
        framework=["ONNX"],
        similarity_fn_name=ScoringFunction.COSINE,
        use_instructions=bool(model.text.prefixes),
        training_datasets=None,
        modalities=["text", "image"],
    )
