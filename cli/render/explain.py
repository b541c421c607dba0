"""Explain how a query is understood."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.cli.console.text import printable
from nmm.index.search.query import SearchMode

if TYPE_CHECKING:
    from nmm.index.search.engine import SearchEngine
    from nmm.index.search.query import Term
    from nmm.index.search.request import SearchRequest


def explanation(request: SearchRequest, engine: SearchEngine) -> str:
    """Return lines with the query, its terms and weights, and the words that are searched for.

    A text is shown as the model reads it: with the model's prefix, if it has one.
    """
    query = request.query
    weights = [f"{term.weight:+g}" for term in query.terms]
    width = max(map(len, weights))
    lines = [printable(query.label)]
    for term, weight in zip(query.terms, weights, strict=True):
        kind, what = _describe(term, engine, raw=request.raw_prompt)
        lines.append(f"  {weight:>{width}}  {kind:5}  {printable(what)}")
    if request.mode is SearchMode.SEMANTIC:
        words = "not searched, with --mode semantic"
    else:
        words = printable(query.words) or "none"
    lines.append(f"  words: {words}")
    if request.mode is SearchMode.KEYWORD:
        lines.append("  meaning: not compared, with --mode keyword")
    return "\n".join(lines)


def _describe(term: Term, engine: SearchEngine, *, raw: bool) -> tuple[str, str]:
    """Return the kind of a term, and its text or file name."""
    if term.text:
        return "text", engine.prompt(term.text, raw=raw)
    if term.file is not None:
        return "file", str(term.file)
    return "image", "on standard input" if isinstance(term.image, bytes) else str(term.image)
