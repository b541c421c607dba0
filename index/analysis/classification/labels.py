"""Labels for zero-shot classification: parsed from text and validated."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from nmm.index.errors import UsageError

# The label of files that no other label fits.
NONE_LABEL = "none"


@dataclass(frozen=True)
class Label:
    """A label that a file may get.

    Attributes:
        name: The name that is shown and stored as a tag.
        descriptions: Texts that describe such a file.
    """

    name: str
    descriptions: tuple[str, ...] = ()


def parse_labels(text: str) -> list[Label]:
    """Parse one label per line: ``label``, or ``label: description; description``.

    The first colon followed by a space ends the label. Empty lines and lines that begin with # are
    ignored.
    """
    found = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, *rest = re.split(r":(?:\s+|$)", line.strip(), maxsplit=1)
        described = [part.strip() for part in rest[0].split(";")] if rest else []
        found.append(Label(normalize_label(name), tuple(filter(None, described))))
    return found


def normalize_label(name: str) -> str:
    """Return a label's name in Unicode normalisation form C, without surrounding spaces."""
    return unicodedata.normalize("NFC", name).strip()


def check_labels(labels: Sequence[Label], *, none: bool) -> None:
    """Check that the labels offer a choice.

    Raises:
        UsageError: There are too few labels, a label has no name, or two names are equal
            (case-insensitive).
    """
    if not labels:
        raise UsageError("There are no labels.", code="labels-missing")
    if len(labels) == 1 and not none:
        raise UsageError(
            f"{labels[0].name!r} is the only label, so there is nothing to choose from.",
            code="labels-too-few",
            hint="Add another label.",
            label=labels[0].name,
        )
    seen = {NONE_LABEL} if none else set()
    for label in labels:
        if not label.name or "\0" in label.name:
            raise UsageError("A label has no name.", code="label-unnamed")
        key = label.name.casefold()
        if key in seen and key == NONE_LABEL and none:
            raise UsageError(
                f"The name {label.name!r} is reserved for files that no label fits.",
                code="label-reserved",
                hint="Give the label another name.",
                label=label.name,
            )
        if key in seen:
            raise UsageError(
                f"The label {label.name!r} is given twice.",
                code="label-duplicate",
                hint="Remove one of the two.",
                label=label.name,
            )
        seen.add(key)
