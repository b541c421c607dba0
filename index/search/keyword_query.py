"""A query's words, as FTS5 is asked for them.

Words are what stands between spaces, and phrases what stands between double quotes. Each is
given to FTS5 as a string, so that nothing in a query is syntax: the tokenizer makes a phrase of
what has several runs of letters and digits, as INV-2023-004 has three.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# What is longer is a text rather than a query; its first words are looked for.
MAX_WORDS = 64

# Words of English that say nothing of what is looked for: those that Apache Lucene passes over
# (EnglishAnalyzer). Next to others they are not looked for, unless they stand in a phrase.
STOP_WORDS = frozenset(
    {"a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it"}
    | {"no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these"}
    | {"they", "this", "to", "was", "will", "with"}
)

PART = re.compile(r'"([^"]*)"|([^\s"]+)')


def keywords_of(text: str) -> tuple[str, ...]:
    """The words and phrases of a query, each once; what has no letter or digit is none.

    Without :data:`STOP_WORDS`, if anything is left then.
    """
    # A NUL would end what FTS5 reads, and half a surrogate pair cannot be said in UTF-8.
    text = text.replace("\0", " ").encode("utf-8", "replace").decode()
    found: dict[str, str] = {}
    for phrase, word in PART.findall(text):
        found.setdefault((phrase or word).casefold(), phrase or word)
    words = [word for word in found.values() if any(map(_is_of_a_word, word))]
    telling = [word for word in words if word.casefold() not in STOP_WORDS]
    return tuple(telling or words)[:MAX_WORDS]


def _is_of_a_word(character: str) -> bool:
    """Whether the tokenizer takes a character for a part of a word, at least today's Unicode."""
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "Co"


def match_all(words: Iterable[str]) -> str:
    """The FTS5 expression for rows in which all of some words are."""
    # Not joined by AND: between strings alone, FTS5 passes over one without words for it.
    return " ".join(f'"{word}"' for word in words)


def match_any(words: Iterable[str]) -> str:
    """The FTS5 expression for rows in which one of some words is."""
    return " OR ".join(f'"{word}"' for word in words)
