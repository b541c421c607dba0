"""Labels that files are sorted by: what a person writes, read and checked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from nmm.index.errors import UsageError

# The label of what none fits.
NONE = "none"


@dataclass(frozen=True)
class Label:
    """What a file may be.

    Attributes:
        name: As it is shown, and kept as a tag.
        descriptions: Texts that say what such a file shows, or is about.
    """

    name: str
    descriptions: tuple[str, ...] = ()


def parse_labels(text: str) -> list[Label]:
    """Labels, one a line: ``label``, or ``label: description; description``.

    The first colon that a space follows ends the label. Empty lines, and those that begin with
    #, are passed over.
    """
    found = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, *rest = re.split(r":(?:\s+|$)", line.strip(), maxsplit=1)
        described = [part.strip() for part in rest[0].split(";")] if rest else []
        found.append(Label(normal(name), tuple(filter(None, described))))
    return found


def normal(name: str) -> str:
    """A label's name in the one form that Unicode has for it (NFC), without spaces around it."""
    return unicodedata.normalize("NFC", name).strip()


def check_labels(labels: Sequence[Label], *, none: bool) -> None:
    """Refuse labels among which there is nothing to choose.

    Raises:
        UsageError: There are too few, or two of one name in any case, or one has none.
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
    seen = {NONE} if none else set()
    for label in labels:
        if not label.name or "\0" in label.name:
            raise UsageError("A label has no name.", code="label-unnamed")
        key = label.name.casefold()
        if key in seen and key == NONE and none:
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
