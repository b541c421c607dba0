"""Evaluates zero-shot image classification on labelled images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.analysis.classification.zero_shot import embed_classes
from nmm.index.embed import IMAGES, vectors_of_images
from nmm.index.encoders.base import Task
from nmm.index.errors import UsageError
from nmm.index.evaluation.bootstrap import Statistics, mean_statistics
from nmm.index.evaluation.metrics import probability_in_top
from nmm.index.media.image.decode import MAX_PIXELS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.runtime.batching import BatchedEncoder
    from nmm.index.evaluation.labelled_folders import LabelledImages

METRICS = ("top1", "top5")
TOP_K = 5


@dataclass(frozen=True)
class ClassificationResult:
    """The predictions of a model. Unreadable images are in none of the arrays.

    Attributes:
        model: The name of the model.
        dimension: The dimension of its vectors.
        images: The position of each image among the labelled ones, shape (images,).
        actual, predicted: The actual and the predicted class of each image, as indices, shape
            (images,).
        correct: Whether the actual class is predicted first, and whether it is among the first
            five, shape (images, 2). If classes share a name, this is the probability when ties are
            broken at random.
        bad: Unreadable images, each with the reason.
    """

    model: str
    dimension: int
    images: NDArray[np.int64]
    actual: NDArray[np.int64]
    predicted: NDArray[np.int64]
    correct: NDArray[np.float64]
    bad: list[tuple[str, str]]

    def statistics(self, images: NDArray[np.int64]) -> Statistics:
        """Return :data:`METRICS` of images, given as positions among the labelled ones."""
        import numpy as np

        return mean_statistics(self.correct[np.searchsorted(self.images, images)])

    def by_class(self, classes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the images per class, and the correct ones, shape (classes, 2)."""
        import numpy as np

        counts = np.bincount(self.actual, minlength=classes)
        right = [np.bincount(self.actual, row, classes) for row in self.correct.T]
        return counts, np.stack(right, axis=1)

    def confusion(self) -> dict[tuple[int, int], int]:
        """Return the non-zero cells of the confusion matrix, by actual and predicted class."""
        import numpy as np

        pairs, counts = np.unique(
            np.stack([self.actual, self.predicted], axis=1), axis=0, return_counts=True
        )
        return {
            (actual, predicted): count
            for (actual, predicted), count in zip(pairs.tolist(), counts.tolist(), strict=True)
        }


def common_images(found: Sequence[ClassificationResult]) -> NDArray[np.int64]:
    """Return the images that all models could read, as positions among the labelled ones."""
    import numpy as np

    images = found[0].images
    for one in found[1:]:
        images = np.intersect1d(images, one.images)
    return images


def evaluate_classification(
    labelled: LabelledImages,
    encoder: BatchedEncoder,
    templates: Sequence[str],
    task: Task = Task.QUERY,
    *,
    max_pixels: int = MAX_PIXELS,
    on_named: Callable[[int], None] = lambda _: None,
    on_embedded: Callable[[int], None] = lambda _: None,
    on_bad: Callable[[str, str], None] = lambda _path, _reason: None,
) -> ClassificationResult:
    """Classify each image: its class is the one with the nearest vector.

    Images are read and embedded in batches, and only one batch is in memory.

    Args:
        labelled: Images and classes.
        encoder: The model.
        templates, task: See :func:`.zero_shot.embed_classes`.
        max_pixels: Images with more pixels are not decoded.
        on_named: Called with the number of class names just embedded.
        on_embedded: Called with the number of images just processed, including unreadable ones.
        on_bad: Called with each unreadable image and the reason.

    Raises:
        UsageError: A template has no placeholder, or no image can be read.
    """
    import numpy as np

    unique = {name: row for row, name in enumerate(dict.fromkeys(labelled.names))}
    vectors = embed_classes(encoder, [*unique], templates, task, on_embedded=on_named)
    vector_of_class = np.array([unique[name] for name in labelled.names])
    classes_of = np.bincount(vector_of_class, minlength=len(unique))
    first_class = np.unique(vector_of_class, return_index=True)[1]
    images, predicted, correct = [], [], []
    bad = []
    for start in range(0, len(labelled.images), IMAGES):
        batch = labelled.images[start : start + IMAGES]
        embedded, errors = vectors_of_images(
            encoder, [path for path, _ in batch], max_pixels=max_pixels
        )
        for row, error in errors.items():
            bad.append((batch[row][0], error.what))
            on_bad(*bad[-1])
        for row, scores in enumerate(embedded @ vectors.T):
            if row in errors:
                continue
            actual = batch[row][1]
            name = vector_of_class[actual]
            ahead = int(classes_of[scores > scores[name]].sum())
            tied = int(classes_of[scores == scores[name]].sum())
            best = int(np.argmax(scores))
            images.append(start + row)
            # If classes with one name tie, count the right one.
            predicted.append(actual if not ahead else first_class[best])
            correct.append([probability_in_top(ahead, tied, count) for count in (1, TOP_K)])
        on_embedded(len(batch))
    if not images:
        raise UsageError(
            f"None of the {len(bad):,} images in {labelled.folder} can be read.",
            code="labelled-images-unreadable",
            path=labelled.folder,
            images=len(bad),
            why=f"{bad[0][0]}: {bad[0][1]}.",
        )
    positions = np.array(images, np.int64)
    labels = np.array([label for _, label in labelled.images], np.int64)
    return ClassificationResult(
        encoder.model.name,
        encoder.model.dimension,
        positions,
        labels[positions],
        np.array(predicted, np.int64),
        np.array(correct, np.float64),
        bad,
    )
