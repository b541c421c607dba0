"""How a query is understood, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.cli.console.text import printable
from nmm.index.search.query import Mode

if TYPE_CHECKING:
    from nmm.index.search.engine import Search
    from nmm.index.search.query import Query, Term


def explanation(query: Query, search: Search, mode: Mode, *, raw: bool) -> str:
    """Lines: the query, its terms with their weights, and the words that are looked for.

    A text stands as the model reads it: with its prefix, if the model has any.
    """
    weights = [f"{term.weight:+g}" for term in query.terms]
    width = max(map(len, weights))
    lines = [printable(query.label)]
    for term, weight in zip(query.terms, weights, strict=True):
        kind, what = _what(term, search, raw)
        lines.append(f"  {weight:>{width}}  {kind:5}  {printable(what)}")
    if mode is Mode.SEMANTIC:
        words = "not looked for, with --mode semantic"
    else:
        words = printable(query.words) or "none"
    lines.append(f"  words: {words}")
    if mode is Mode.KEYWORD:
        lines.append("  meaning: not compared, with --mode keyword")
    return "\n".join(lines)


def _what(term: Term, search: Search, raw: bool) -> tuple[str, str]:
    if term.text:
        return "text", search.prompt(term.text, raw=raw)
    if term.file is not None:
        return "file", str(term.file)
    return "image", "on standard input" if isinstance(term.image, bytes) else str(term.image)
