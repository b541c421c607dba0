"""A classifier made of names alone: a vector for each class, from sentences that name it.

Each class's name is put into templates, such as "a photo of a {}.", the sentences are embedded,
and their mean, of unit length again, stands for the class; an image belongs to the class whose
vector is nearest (Radford et al., 2021, "Learning Transferable Visual Models From Natural
Language Supervision", section 3.1.4; Zhai et al., 2022, "LiT", do the same).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nmm.index.common.linalg import normalize_rows
from nmm.index.encoders.base import Task
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.base import Encoder

PLACE = "{}"
# Sentences embedded together: enough that those of one length meet, few enough to tell progress.
SENTENCES = 1024


def _both(*sentences: str) -> tuple[str, ...]:
    """Sentences with each article: `*` stands for it."""
    return tuple(one.replace("*", article) for one in sentences for article in ("a", "the"))


_QUALITIES = (
    "bad", "low resolution", "cropped", "bright", "dark", "close-up", "black and white",
    "pixelated", "jpeg corrupted", "blurry", "good",
)  # fmt: skip
_LOOKS = ("hard to see", "clean", "dirty", "cool", "large", "nice", "weird", "small")
_ARTS = (
    "a sculpture", "a rendering", "graffiti", "a tattoo", "a drawing", "a painting", "a doodle",
    "a sketch", "a rendition", "art", "itap",
)  # fmt: skip
_MADE_OF = ("embroidered", "plastic", "origami", "toy", "cartoon", "plushie")

# The 80 that CLIP was measured with on ImageNet, and the 7 of them that its authors found to be
# enough: github.com/openai/CLIP, notebooks/Prompt_Engineering_for_ImageNet.ipynb.
CLIP_80 = (
    *_both(*(f"a {quality} photo of * {{}}." for quality in _QUALITIES)),
    *_both("a photo of * {}.", *(f"a photo of * {look} {{}}." for look in _LOOKS)),
    *_both(*(f"{art} of * {{}}." for art in _ARTS)),
    *_both(*(f"* {made} {{}}." for made in _MADE_OF), "* {} in a video game."),
    *("a photo of many {}.", "a photo of one {}.", "a photo of my {}.", "itap of my {}."),
)
CLIP_7 = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
PLAIN = ("a photo of a {}.",)


def class_vectors(
    encoder: Encoder,
    names: Sequence[str],
    templates: Sequence[str] = CLIP_7,
    task: Task = Task.QUERY,
    *,
    on_embedded: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float32]:
    """The vectors of classes, of unit length, shape (classes, dimension).

    Args:
        encoder: What embeds the sentences.
        names: Of the classes, shape (classes,). Equal names have equal vectors.
        templates: Sentences with :data:`PLACE` where a name goes.
        task: What they are embedded for. Images of nomic's models were trained to meet queries,
            and its makers classify with the prefix of those:
            github.com/nomic-ai/contrastors, src/contrastors/eval/imagenet/imagenet.py.
        on_embedded: Told how many names more are done.

    Raises:
        UsageError: There is no template, or one has no place for a name.
    """
    import numpy as np

    check_templates(templates)
    # Once each: with others beside it, the same sentence may differ in its last digits.
    unique = {name: row for row, name in enumerate(dict.fromkeys(names))}
    vectors = np.empty((len(unique), encoder.model.dimension), np.float32)
    step = max(1, SENTENCES // len(templates))
    for start in range(0, len(unique), step):
        some = [*unique][start : start + step]
        sentences = [template.replace(PLACE, name) for name in some for template in templates]
        embedded = encoder.embed_texts(sentences, task)
        means = embedded.reshape(len(some), len(templates), -1).mean(axis=1)
        normalize_rows(means)
        vectors[start : start + len(some)] = means
        on_embedded(len(some))
    return vectors[[unique[name] for name in names]]


def check_templates(templates: Sequence[str]) -> None:
    """Refuse what no class can be named with.

    Raises:
        UsageError: As of :func:`class_vectors`.
    """
    hint = "Write it as in --template 'a photo of a {}.'"
    if not templates:
        raise UsageError("There is no template.", hint=hint)
    for template in templates:
        if PLACE not in template:
            raise UsageError(f"The template {template!r} has no place for a name.", hint=hint)
