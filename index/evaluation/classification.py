"""How well a model names what is in images, of classes that it was never trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.analysis.classification.zero_shot import embed_classes
from nmm.index.embed import IMAGES, vectors_of_images
from nmm.index.encoders.base import Task
from nmm.index.errors import UsageError
from nmm.index.evaluation.bootstrap import Statistics, of_means
from nmm.index.evaluation.metrics import chance_among_first
from nmm.index.media.image.decode import MAX_PIXELS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.runtime.batching import BatchedEncoder
    from nmm.index.evaluation.labelled_folders import Labelled

METRICS = ("top1", "top5")
FIRST = 5


@dataclass(frozen=True)
class Classified:
    """What came of a model. Images that could not be read are in none of the arrays.

    Attributes:
        model: Its name.
        dimension: Of its vectors.
        images: The place of each image among the labelled ones, shape (images,).
        actual, predicted: The class of each, and the one that was told, by their places.
        correct: Of each, whether its class is the first, and among the first five, shape
            (images, 2). Classes with one name are told apart by chance: then it is that chance.
        bad: Images that could not be read, each with the reason.
    """

    model: str
    dimension: int
    images: NDArray[np.int64]
    actual: NDArray[np.int64]
    predicted: NDArray[np.int64]
    correct: NDArray[np.float64]
    bad: list[tuple[str, str]]

    def statistics(self, images: NDArray[np.int64]) -> Statistics:
        """Those of :data:`METRICS`, of some images, by their places among the labelled ones."""
        import numpy as np

        return of_means(self.correct[np.searchsorted(self.images, images)])

    def by_class(self, classes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """How many images each class has, and how many are right, shape (classes, 2)."""
        import numpy as np

        counts = np.bincount(self.actual, minlength=classes)
        right = [np.bincount(self.actual, row, classes) for row in self.correct.T]
        return counts, np.stack(right, axis=1)

    def confusion(self) -> dict[tuple[int, int], int]:
        """How many images of a class were told to be of one, by both, where there are any."""
        import numpy as np

        pairs, counts = np.unique(
            np.stack([self.actual, self.predicted], axis=1), axis=0, return_counts=True
        )
        return {
            (actual, predicted): count
            for (actual, predicted), count in zip(pairs.tolist(), counts.tolist(), strict=True)
        }


def common_images(found: Sequence[Classified]) -> NDArray[np.int64]:
    """The images that all models could read, by their places among the labelled ones."""
    import numpy as np

    images = found[0].images
    for one in found[1:]:
        images = np.intersect1d(images, one.images)
    return images


def classify(
    labelled: Labelled,
    encoder: BatchedEncoder,
    templates: Sequence[str],
    task: Task = Task.QUERY,
    *,
    max_pixels: int = MAX_PIXELS,
    on_named: Callable[[int], None] = lambda _: None,
    on_embedded: Callable[[int], None] = lambda _: None,
    on_bad: Callable[[str, str], None] = lambda _path, _reason: None,
) -> Classified:
    """Tell the class of each image: the one whose vector is nearest to that of the image.

    Images are read and embedded in batches, and no more than one is in memory.

    Args:
        labelled: Images and classes.
        encoder: The model.
        templates, task: As of :func:`.zero_shot.embed_classes`.
        max_pixels: Images with more are not decoded.
        on_named: Told how many names more are embedded.
        on_embedded: Told how many images more are done, bad ones among them.
        on_bad: Told of each image that cannot be read, and why.

    Raises:
        UsageError: A template has no place for a name, or no image can be read.
    """
    import numpy as np

    unique = {name: row for row, name in enumerate(dict.fromkeys(labelled.names))}
    vectors = embed_classes(encoder, [*unique], templates, task, on_embedded=on_named)
    of_class = np.array([unique[name] for name in labelled.names])
    classes_of = np.bincount(of_class, minlength=len(unique))
    first_class = np.unique(of_class, return_index=True)[1]
    images, predicted, correct = [], [], []
    bad = []
    for start in range(0, len(labelled.images), IMAGES):
        some = labelled.images[start : start + IMAGES]
        embedded, errors = vectors_of_images(
            encoder, [path for path, _ in some], max_pixels=max_pixels
        )
        for row, error in errors.items():
            bad.append((some[row][0], error.what))
            on_bad(*bad[-1])
        for row, scores in enumerate(embedded @ vectors.T):
            if row in errors:
                continue
            actual = some[row][1]
            name = of_class[actual]
            ahead = int(classes_of[scores > scores[name]].sum())
            equal = int(classes_of[scores == scores[name]].sum())
            best = int(np.argmax(scores))
            images.append(start + row)
            # Of classes that are told apart by nothing, the right one.
            predicted.append(actual if not ahead else first_class[best])
            correct.append([chance_among_first(ahead, equal, count) for count in (1, FIRST)])
        on_embedded(len(some))
    if not images:
        raise UsageError(
            f"None of the {len(bad):,} images in {labelled.folder} can be read.",
            code="labelled-images-unreadable",
            path=labelled.folder,
            images=len(bad),
            why=f"{bad[0][0]}: {bad[0][1]}.",
        )
    places = np.array(images, np.int64)
    labels = np.array([label for _, label in labelled.images], np.int64)
    return Classified(
        encoder.model.name,
        encoder.model.dimension,
        places,
        labels[places],
        np.array(predicted, np.int64),
        np.array(correct, np.float64),
        bad,
    )
