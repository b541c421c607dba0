"""Zero-shot classification: gives each file a probability for each of some labels.

This follows CLIP (Radford et al., 2021, section 3.1.4) and LiT (Zhai et al., 2022). A label is put
into prompt templates ("a photo of a {}"), the vectors of the prompts are averaged, and

    p(label | file) = softmax over labels of cos(file, label) / temperature

with the temperature of the model. Descriptions of a label are added to the average (Pratt et al.,
2023, "What does a platypus look like?"): each counts as much as the name in all templates together.

For models with prefixes, prompts for images get the prefix that the vision tower was trained
against, `search_query`: Nomic puts it before captions in training and before classes in its
zero-shot ImageNet evaluation (contrastors, dataset/image_text_loader.py and
eval/imagenet/imagenet.py). Prompts for texts get `classification`.

The label for "no label fits" has a threshold in place of a cosine: the cosine that the file's best
label would reach if label and file were unrelated. See :func:`rejection_thresholds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.analysis.classification.labels import NONE_LABEL, Label, check_labels
from nmm.index.analysis.classification.zero_shot import (
    CLIP_7,
    PLACEHOLDER,
    check_templates,
    embed_classes,
)
from nmm.index.calibration import NEUTRAL_QUERIES
from nmm.index.common.linalg import normalize_rows
from nmm.index.encoders.base import Task
from nmm.index.store.catalog.file_vectors import content_sample
from nmm.index.store.catalog.types import KINDS, Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.analysis.collection import FileCollection
    from nmm.index.encoders.base import Encoder
    from nmm.index.store.catalog.file_vectors import Item

    Floats = NDArray[np.float32]

TEXT_TEMPLATES = ("{}", "a text about {}.", "notes on {}.", "This is about {}.")
PROMPT_TASKS: dict[Kind, Task] = {"image": Task.QUERY, "text": Task.CLASSIFICATION}

# Contents of a kind that the background level of a label is measured on.
CALIBRATION_SAMPLE = 1024
# The share of contents unrelated to all labels that get no label.
REJECTION_RATE = 0.75
# The share of contents that is assumed to be unrelated to any one label.
UNRELATED_SHARE = 0.25
# The number of contents at which the measured background level counts for a half.
SHRINKAGE = 10


@dataclass(frozen=True)
class Classification:
    """The labels of some files.

    Attributes:
        files: Sorted by path.
        labels: The names of the labels. :data:`.labels.NONE_LABEL` is the last, if it was allowed.
        scores: The probability of each label for each file, shape (files, labels).
        best: The index of the most probable label, shape (files,).
    """

    files: list[Item]
    labels: tuple[str, ...]
    scores: Floats
    best: NDArray[np.int64]


def classify(
    collection: FileCollection,
    labels: Sequence[Label],
    *,
    templates: Sequence[str] = (),
    none: bool = False,
) -> Classification:
    """Compute the probability of each label for each file.

    Args:
        collection: The files.
        labels: The labels to choose from.
        templates: Prompt templates with a :data:`.zero_shot.PLACEHOLDER`, used for both kinds
            instead of the built-in ones.
        none: Add a label for files that no label fits.

    Raises:
        UsageError: There are too few labels, or a template has no placeholder.
        ModelError: The model of the index is not on this machine, or its weights differ.
        CatalogError: The catalog cannot be read.
    """
    import numpy as np

    check_labels(labels, none=none)
    if templates:
        check_templates(templates)
    names = (*(label.name for label in labels), *[NONE_LABEL] * none)
    scores = np.empty((len(collection.files), len(names)), np.float32)
    kinds = np.array([item.kind for item in collection.files])
    for kind in KINDS:
        chosen = np.flatnonzero(kinds == kind)
        if not len(chosen):
            continue
        temperature = getattr(collection.encoder.model.temperature, kind)
        vectors = embed_labels(collection.encoder, labels, kind, templates)
        # Each content once: files may share one.
        rows, inverse = np.unique(collection.rows[chosen], return_inverse=True)
        cosines = collection.vectors[rows] @ vectors.T
        if none:
            thresholds = _rejection_thresholds(collection, kind, vectors, templates)
            cosines = np.column_stack([cosines, thresholds[cosines.argmax(axis=1)]])
        scores[chosen] = softmax(cosines / temperature)[inverse]
    return Classification(collection.files, names, scores, scores.argmax(axis=1))


def embed_labels(
    encoder: Encoder, labels: Sequence[Label], kind: Kind, templates: Sequence[str] = ()
) -> Floats:
    """Return label vectors to compare with contents of one kind, shape (labels, dimension).

    Args:
        encoder: The encoder of the index.
        labels: Any number of labels.
        kind: The kind of the contents.
        templates: See :func:`classify`.
    """
    import numpy as np

    chosen = templates or _default_templates(encoder, kind)
    vectors = embed_classes(encoder, [label.name for label in labels], chosen, PROMPT_TASKS[kind])
    described = [text for label in labels for text in label.descriptions]
    if described:
        owners = np.repeat(np.arange(len(labels)), [len(label.descriptions) for label in labels])
        np.add.at(vectors, owners, encoder.embed_texts(described, PROMPT_TASKS[kind]))
    normalize_rows(vectors)
    return vectors


def _default_templates(encoder: Encoder, kind: Kind) -> Sequence[str]:
    if kind == "text":
        return TEXT_TEMPLATES
    return CLIP_7 if encoder.model.trained_on_captions else (PLACEHOLDER,)


def _rejection_thresholds(
    collection: FileCollection, kind: Kind, labels: Floats, templates: Sequence[str]
) -> Floats:
    """Return the :func:`rejection_thresholds` measured on the whole index, shape (labels,)."""
    sample = content_sample(collection.catalog, kind, CALIBRATION_SAMPLE)
    queries = [Label(query) for query in NEUTRAL_QUERIES]
    neutral = embed_labels(collection.encoder, queries, kind, templates)
    return rejection_thresholds(sample @ neutral.T, sample @ labels.T)


def rejection_thresholds(neutral: Floats, own: Floats) -> Floats:
    """Return the cosine below which a label does not fit a content, shape (labels,).

    Neutral queries (:data:`.calibration.NEUTRAL_QUERIES`) are embedded with the same templates as
    the labels. If there are as many of them as labels, the best one exceeds a certain quantile of
    their cosines in a share of 1 - :data:`REJECTION_RATE` of all cases. A label that fits the whole
    index a little has higher cosines throughout, so both are measured from their own lower
    quartiles. A lower quartile describes contents unrelated to the label as long as these are a
    quarter of the index. The quartile of a few contents says little: it counts for n / (n +
    :data:`SHRINKAGE`).

    `bench/calibration.py` prints how often this is right. Alternatives that were tried: medians
    instead of quartiles, which fail if most of an index has one label; thresholds without a
    background level; a file's own cosines with neutral queries; and neutral queries as more labels
    of the softmax (NegLabel, Jiang et al., 2024).

    Args:
        neutral: Cosines of a sample of the index with neutral queries, shape (n, queries).
        own: Cosines of the sample with the labels, shape (n, labels).
    """
    import numpy as np

    lower, reached = np.quantile(neutral, (UNRELATED_SHARE, REJECTION_RATE ** (1 / own.shape[1])))
    level = np.quantile(own, UNRELATED_SHARE, axis=0) - lower
    level = level * len(own) / (len(own) + SHRINKAGE)
    return np.asarray(reached + level, np.float32)


def softmax(logits: Floats) -> Floats:
    """Return the softmax of each row, shape (n, labels)."""
    import numpy as np

    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
