"""Quotes around texts in queries, and queries in errors."""

from __future__ import annotations

import re

QUOTES = ("'", '"')
# Characters of a query that an error shows.
MAX_SHOWN = 80


def quoted(text: str) -> str:
    """Return a text in quotes, as :func:`nmm.index.search.query.parse` reads it."""
    escaped = re.sub(r'(\\*)("|\Z)', lambda m: 2 * m[1] + ("\\" + m[2] if m[2] else ""), text)
    return f'"{escaped}"'


def unquoted(quoted: str) -> str:
    """Return the text in quotes, without them and their escapes."""
    quote = quoted[0]
    inner = re.sub(rf"(\\*){quote}", lambda m: m[1][: len(m[1]) // 2] + quote, quoted[1:])
    return inner[:-1]


def closing_quote(text: str, start: int) -> int | None:
    """Return where the quote that begins at `start` ends; None if none begins or ends there."""
    quote = text[start : start + 1]
    if quote not in QUOTES:
        return None
    for found in re.finditer(rf"(\\*){quote}(?=\s|\Z)", text[start + 1 :]):
        if len(found[1]) % 2 == 0:
            return start + found.end()
    return None


def shown(text: str) -> str:
    """Return a text for an error, shortened if it is long."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} …"
