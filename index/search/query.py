"""Queries: texts and images with weights and signs, which make one vector."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from nmm.index.errors import UsageError


class SearchMode(str, Enum):
    """How files are ranked: by their vectors, by the words in them, or by both."""

    HYBRID = "hybrid"
    SEMANTIC = "semantic"
    KEYWORD = "keyword"


@dataclass(frozen=True, slots=True)
class Term:
    """A part of a query: either a text, an image or a file.

    Attributes:
        weight: A finite factor. A negative weight subtracts the term.
        text: Words; empty for other terms.
        image: An image file, or its bytes; None for other terms.
        file: An image or text file; None for other terms. A text file is compared as a whole, by
            the mean of its passages.
        phrase: Whether the text was quoted. Keyword search then finds its words only in this order.
            The vector does not depend on it.
    """

    weight: float = 1.0
    text: str = ""
    image: Path | bytes | None = None
    file: Path | None = None
    phrase: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Query:
    """A query: terms that make one vector.

    Attributes:
        terms: At least one.
        label: The name of the query in results.
        exclude: Absolute paths of files to leave out of the results.
    """

    terms: tuple[Term, ...]
    label: str = ""
    exclude: tuple[str, ...] = ()

    @classmethod
    def of_text(cls, text: str) -> Query:
        """Return the query for a literal text, in which signs are ordinary characters."""
        return cls((Term(text=text),), text)

    @property
    def words(self) -> str:
        """The words for keyword search: those of texts with a positive weight.

        A phrase stands in double quotes, see :mod:`nmm.index.search.keyword_query`.
        """
        positive = [term for term in self.terms if term.text and term.weight > 0]
        return " ".join(
            '"{}"'.format(term.text.replace('"', " ")) if term.phrase else term.text
            for term in positive
        )


def check_query(query: Query) -> None:
    """Refuse a query that searches for nothing.

    Raises:
        UsageError: It has only blank terms, a weight that is not a finite number, or a term that
            is several things at once.
    """
    if not any(term.text.strip() or term.image or term.file for term in query.terms):
        raise empty_query()
    for term in query.terms:
        if not math.isfinite(term.weight):
            raise UsageError(
                f"The weight {term.weight} is not a finite number.",
                code="query-weight-not-finite",
                weight=term.weight,
            )
        if bool(term.text) + (term.image is not None) + (term.file is not None) > 1:
            raise UsageError(
                "A term of a query is either a text, an image or a file.",
                code="query-term-ambiguous",
            )


def empty_query() -> UsageError:
    """Return the error for a query that searches for nothing."""
    return UsageError("The query is empty.", code="query-empty", hint="Give a text or an image.")
