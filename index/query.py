"""What is looked for: texts and images, each with a weight and a sign, that make one vector.

The manner of writing one is :func:`parse`'s; a program makes a :class:`Query` as it likes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from nmm.index.errors import UsageError


class Mode(str, Enum):
    """What ranks files: their vectors, the words in them, or both."""

    HYBRID = "hybrid"
    SEMANTIC = "semantic"
    KEYWORD = "keyword"


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that is looked for, or away from.

    Attributes:
        weight: How much it counts; below 0, what is like it is worse.
        text: In words; empty if it is an image.
        image: A file of an image, or its bytes; None if it is in words.
    """

    weight: float = 1.0
    text: str = ""
    image: Path | bytes | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for.

    Attributes:
        terms: At least one.
        label: How it is called in results.
    """

    terms: tuple[Term, ...]
    label: str = ""

    @property
    def words(self) -> str:
        """The words that are looked for as such: those of texts that count for something."""
        return " ".join(term.text for term in self.terms if term.text and term.weight > 0)


def parse(text: str) -> Query:
    """The query that a line says.

    Raises:
        UsageError: It is empty.
    """
    if not text.strip():
        raise UsageError("The query is empty.", hint='Say what to look for: nmm search "a cat"')
    return Query((Term(text=text),), text)
