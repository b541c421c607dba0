"""Which of some labels fits each file, without training: zero-shot classification.

As CLIP does it (Radford et al., 2021, section 3.1.4) and LiT (Zhai et al., 2022): a label is put
into templates ("a photo of a {}"), the vectors of these texts are averaged, and

    p(label | file) = softmax over labels of cos(file, label) / temperature

with the temperature of the model's row. Descriptions of a label are averaged with it (Pratt et al.,
2023, "What does a platypus look like?"): each counts as much as its name in all templates.

What a label's text begins with, of a model that has prefixes: of images what its vision tower was
trained to meet, which is `search_query` (nomic puts that before captions in training and before
classes in its zero-shot ImageNet: contrastors, dataset/image_text_loader.py and
eval/imagenet/imagenet.py); of texts `classification`.

That no label fits is one more, whose cosine with a file is what the file's best label would reach
if the two had nothing to do with each other: see :func:`unfit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.analysis.classification.labels import NONE, Label, check_labels
from nmm.index.analysis.classification.zero_shot import (
    CLIP_7,
    PLACE,
    check_templates,
    class_vectors,
)
from nmm.index.calibration import NEUTRAL_QUERIES
from nmm.index.common.linalg import normalize_rows
from nmm.index.encoders.base import Task
from nmm.index.store.catalog.file_vectors import content_sample
from nmm.index.store.catalog.types import KINDS, Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.analysis.collection import Items
    from nmm.index.encoders.base import Encoder
    from nmm.index.store.catalog.file_vectors import Item

    Floats = NDArray[np.float32]

SUBJECTS = ("{}", "a text about {}.", "notes on {}.", "This is about {}.")
TASKS: dict[Kind, Task] = {"image": Task.QUERY, "text": Task.CLASSIFICATION}

# Contents of a kind that labels are held against, to know what they fit anyway.
SAMPLE = 1024
# Of contents that have nothing to do with the labels, so many get none.
REFUSED = 0.75
# The part of the contents that is taken to be of other labels than any one.
OTHERS = 0.25
# Contents of which what a label fits anyway counts for a half.
HALF = 10


@dataclass(frozen=True)
class Classification:
    """What each of some files is.

    Attributes:
        files: In the order of their paths.
        labels: The names; with what no label fits, that is :data:`.labels.NONE`, the last.
        scores: Probabilities, of each file for each label, shape (files, labels).
        best: The number of the likeliest label, shape (files,).
    """

    files: list[Item]
    labels: tuple[str, ...]
    scores: Floats
    best: NDArray[np.int64]


def classify(
    items: Items, labels: Sequence[Label], *, templates: Sequence[str] = (), none: bool = False
) -> Classification:
    """Give each file probabilities of being what the labels say.

    Args:
        items: The files.
        labels: What they may be.
        templates: Texts with a :data:`.zero_shot.PLACE` for the label, for both kinds; else those
            that are built in.
        none: Have one label more, for what no label fits.

    Raises:
        UsageError: There is nothing to choose from, or a template has no place for a label.
        ModelError: The model of the index is not on this machine, or has other weights.
        CatalogError: The catalog cannot be read.
    """
    import numpy as np

    check_labels(labels, none=none)
    if templates:
        check_templates(templates)
    names = (*(label.name for label in labels), *[NONE] * none)
    scores = np.empty((len(items.files), len(names)), np.float32)
    kinds = np.array([item.kind for item in items.files])
    for kind in KINDS:
        chosen = np.flatnonzero(kinds == kind)
        if not len(chosen):
            continue
        temperature = getattr(items.encoder.model.temperature, kind)
        vectors = label_vectors(items.encoder, labels, kind, templates)
        # By contents, of which files may share one.
        rows, place = np.unique(items.rows[chosen], return_inverse=True)
        cosines = items.vectors[rows] @ vectors.T
        if none:
            bounds = _unfit(items, kind, vectors, templates)
            cosines = np.column_stack([cosines, bounds[cosines.argmax(axis=1)]])
        scores[chosen] = softmax(cosines / temperature)[place]
    return Classification(items.files, names, scores, scores.argmax(axis=1))


def label_vectors(
    encoder: Encoder, labels: Sequence[Label], kind: Kind, templates: Sequence[str] = ()
) -> Floats:
    """The vectors of labels, to be compared with those of a kind, shape (labels, dimension).

    Args:
        encoder: Of the index.
        labels: Any number.
        kind: Of what they are compared with.
        templates: As of :func:`classify`.
    """
    import numpy as np

    forms = templates or _built_in(encoder, kind)
    vectors = class_vectors(encoder, [label.name for label in labels], forms, TASKS[kind])
    described = [text for label in labels for text in label.descriptions]
    if described:
        owners = np.repeat(np.arange(len(labels)), [len(label.descriptions) for label in labels])
        np.add.at(vectors, owners, encoder.embed_texts(described, TASKS[kind]))
    normalize_rows(vectors)
    return vectors


def _built_in(encoder: Encoder, kind: Kind) -> Sequence[str]:
    if kind == "text":
        return SUBJECTS
    return CLIP_7 if encoder.model.trained_on_captions else (PLACE,)


def _unfit(items: Items, kind: Kind, labels: Floats, templates: Sequence[str]) -> Floats:
    """:func:`unfit` of labels and a kind, held against all of the index, shape (labels,)."""
    sample = content_sample(items.catalog, kind, SAMPLE)
    queries = [Label(query) for query in NEUTRAL_QUERIES]
    neutral = label_vectors(items.encoder, queries, kind, templates)
    return unfit(sample @ neutral.T, sample @ labels.T)


def unfit(neutral: Floats, own: Floats) -> Floats:
    """The cosine below which a label does not fit a content, shape (labels,).

    Neutral queries (:data:`.scale.NEUTRAL_QUERIES`) are made into labels of the same form. Of as
    many of them as there are labels, the best reaches a quantile of their cosines with the index
    in so few of all cases as :data:`REFUSED` leaves. But a label that fits all of an index a
    little is nearer to all of it. So both are measured from their own lower quartiles, which are
    of what has nothing to do with a label as long as that is a quarter of the index. Of few
    contents a quartile says little: it counts for n / (n + 10).

    `bench/calibration.py` prints how often this is right. Tried beside it: medians instead of
    quartiles, which fail where most of an index is of one label; thresholds without a level; a
    file's own cosines with neutral queries; and these as more labels of the softmax (NegLabel,
    Jiang et al., 2024).

    Args:
        neutral: Cosines of a sample of the index with neutral queries, shape (n, queries).
        own: With the labels, shape (n, labels).
    """
    import numpy as np

    lower, reached = np.quantile(neutral, (OTHERS, REFUSED ** (1 / own.shape[1])))
    level = (np.quantile(own, OTHERS, axis=0) - lower) * len(own) / (len(own) + HALF)
    return np.asarray(reached + level, np.float32)


def softmax(logits: Floats) -> Floats:
    """Of each row, shape (n, labels)."""
    import numpy as np

    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
