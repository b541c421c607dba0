"""Parse the words of a query and write them as an FTS5 expression.

Spaces separate words, and double quotes enclose phrases. FTS5 gets each as a string, so nothing in
a query is FTS5 syntax. The tokenizer makes a phrase of a word with several runs of letters and
digits, such as INV-2023-004.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Maximum number of words of a query that are searched for.
MAX_WORDS = 64

# English stop words, from Apache Lucene (EnglishAnalyzer). They are ignored beside other words,
# except in a phrase.
STOP_WORDS = frozenset(
    {"a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it"}
    | {"no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these"}
    | {"they", "this", "to", "was", "will", "with"}
)

PART = re.compile(r'"([^"]*)"|([^\s"]+)')


def keywords_of(text: str) -> tuple[str, ...]:
    """Return the distinct words and phrases of a query that contain a letter or digit.

    :data:`STOP_WORDS` are left out if there are other words.
    """
    # A NUL would end the text for FTS5, and a lone surrogate cannot be encoded in UTF-8.
    text = text.replace("\0", " ").encode("utf-8", "replace").decode()
    found: dict[str, str] = {}
    for phrase, word in PART.findall(text):
        found.setdefault((phrase or word).casefold(), phrase or word)
    words = [word for word in found.values() if any(map(_is_of_a_word, word))]
    significant = [word for word in words if word.casefold() not in STOP_WORDS]
    return tuple(significant or words)[:MAX_WORDS]


def _is_of_a_word(character: str) -> bool:
    """Return whether the tokenizer treats a character as part of a word, for current Unicode."""
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "Co"


def match_all(words: Iterable[str]) -> str:
    """Return the FTS5 expression for rows that contain all words."""
    # Not joined by AND: FTS5 skips a string without tokens only between bare strings.
    return " ".join(f'"{word}"' for word in words)


def match_any(words: Iterable[str]) -> str:
    """Return the FTS5 expression for rows that contain any of the words."""
    return " OR ".join(f'"{word}"' for word in words)
