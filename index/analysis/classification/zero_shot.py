"""Zero-shot class vectors: the mean of a class's prompts, one per template.

The name of each class is put into prompt templates such as "a photo of a {}.". The prompts are
embedded, and their normalised mean represents the class. An image belongs to the class with the
nearest vector (Radford et al., 2021, "Learning Transferable Visual Models From Natural Language
Supervision", section 3.1.4; Zhai et al., 2022, "LiT", do the same).
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

PLACEHOLDER = "{}"
# Prompts per batch: enough to group prompts of equal length, few enough to report progress.
BATCH_SIZE = 1024


def _with_articles(*templates: str) -> tuple[str, ...]:
    """Return each template with "a" and with "the" in place of `*`."""
    return tuple(
        template.replace("*", article) for template in templates for article in ("a", "the")
    )


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

# The 80 templates that CLIP was evaluated with on ImageNet, and the 7 that its authors found to
# suffice: github.com/openai/CLIP, notebooks/Prompt_Engineering_for_ImageNet.ipynb.
CLIP_80 = (
    *_with_articles(*(f"a {quality} photo of * {{}}." for quality in _QUALITIES)),
    *_with_articles("a photo of * {}.", *(f"a photo of * {look} {{}}." for look in _LOOKS)),
    *_with_articles(*(f"{art} of * {{}}." for art in _ARTS)),
    *_with_articles(*(f"* {made} {{}}." for made in _MADE_OF), "* {} in a video game."),
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
SINGLE_TEMPLATE = ("a photo of a {}.",)


def embed_classes(
    encoder: Encoder,
    names: Sequence[str],
    templates: Sequence[str] = CLIP_7,
    task: Task = Task.QUERY,
    *,
    on_embedded: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float32]:
    """Return normalised class vectors, shape (classes, dimension).

    Args:
        encoder: Embeds the prompts.
        names: The classes. Equal names have equal vectors.
        templates: Prompt templates with :data:`PLACEHOLDER` for the name.
        task: The task of the prompts. The images of Nomic's models were trained against queries,
            and its makers classify with the query prefix: github.com/nomic-ai/contrastors,
            src/contrastors/eval/imagenet/imagenet.py.
        on_embedded: Called with the number of names just embedded.

    Raises:
        UsageError: There is no template, or a template has no placeholder.
    """
    import numpy as np

    check_templates(templates)
    # Each name once: the last digits of a vector may depend on the rest of its batch.
    unique = {name: row for row, name in enumerate(dict.fromkeys(names))}
    vectors = np.empty((len(unique), encoder.model.dimension), np.float32)
    step = max(1, BATCH_SIZE // len(templates))
    for start in range(0, len(unique), step):
        batch = [*unique][start : start + step]
        prompts = [template.replace(PLACEHOLDER, name) for name in batch for template in templates]
        embedded = encoder.embed_texts(prompts, task)
        means = embedded.reshape(len(batch), len(templates), -1).mean(axis=1)
        normalize_rows(means)
        vectors[start : start + len(batch)] = means
        on_embedded(len(batch))
    return vectors[[unique[name] for name in names]]


def check_templates(templates: Sequence[str]) -> None:
    """Check that each template has a placeholder.

    Raises:
        UsageError: See :func:`embed_classes`.
    """
    if not templates:
        raise UsageError("There is no template.", code="template-missing")
    for template in templates:
        if PLACEHOLDER not in template:
            raise UsageError(
                f"The template {template!r} has no {PLACEHOLDER} for the name of the class.",
                code="template-invalid",
                template=template,
            )
