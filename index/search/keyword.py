"""Keyword search over passages, file names and text in images.

A file matches a query if one of these contains all its words: a passage, the name with the folders
below its root, or the caption together with the recognised text of an image. Each of the three has
its own ranking, because BM25 is comparable only within one table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nmm.index.search.keyword_query import match_all, match_any
from nmm.index.store.catalog.full_text import PASSAGES, PICTURES, WORD_TABLES
from nmm.index.store.catalog.full_text_search import (
    NO_LIMIT,
    KeywordMatch,
    Span,
    Where,
    highlight,
    is_match,
    look_up,
)

if TYPE_CHECKING:
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.types import Kind

# Maximum number of files in a ranking.
MAX_MATCHES = 1000


@dataclass(frozen=True, slots=True)
class KeywordMatches:
    """The files that match keywords.

    Attributes:
        words: The words and phrases.
        expression: The query for FTS5.
        whole: Whether each file contains all words.
        rankings: For each full-text table, a number by file; the least is the best.
        best: The match to show, by file: a passage if there is one, else text in an image, else
            the name.
        kinds, where: The kinds and the condition of the files that were searched.
    """

    words: tuple[str, ...] = ()
    expression: str = ""
    whole: bool = False
    rankings: list[dict[int, float]] = field(default_factory=list)
    best: dict[int, KeywordMatch] = field(default_factory=dict)
    kinds: tuple[Kind, ...] = ()
    where: Where | None = None

    def search(self, catalog: Catalog) -> None:
        """Search the full-text tables.

        Raises:
            CatalogError: The full-text tables are damaged or missing.
        """
        for table in WORD_TABLES:
            self.rankings.append({})
            files = look_up(catalog, table, self.expression, MAX_MATCHES, self.kinds, self.where)
            self._add(files, self.rankings[-1])

    def extend(self, catalog: Catalog, contents: Collection[int]) -> None:
        """Add the files with these contents that the limited rankings lack."""
        for table, ranking in zip(WORD_TABLES, self.rankings, strict=False):
            if len(ranking) >= MAX_MATCHES:
                self._add(
                    look_up(
                        catalog, table, self.expression, NO_LIMIT, self.kinds, self.where, contents
                    ),
                    ranking,
                )

    def _add(self, found: Iterable[KeywordMatch], ranking: dict[int, float]) -> None:
        for one in found:
            ranking.setdefault(one.file, one.closeness)
            self.best.setdefault(one.file, one)

    def holds_all(self, file: int) -> bool:
        """Return whether a file contains all words."""
        return self.whole and file in self.best

    def passage(self, file: int) -> int | None:
        """Return the chunk of a file that matches best; None if no passage matches."""
        found = self.best.get(file)
        return found.row if found and found.table is PASSAGES else None

    def passages(self, files: Iterable[int]) -> list[int]:
        """Return the best matching chunk of each file that has one, see :meth:`passage`."""
        return [chunk for file in files if (chunk := self.passage(file)) is not None]

    def share(self, catalog: Catalog, file: int) -> float:
        """Return the share of the words that the file's best match contains, 0 to 1."""
        if self.whole:
            return 1.0
        found = self.best[file]
        there = [
            is_match(catalog, found.table, found.row, match_all([word])) for word in self.words
        ]
        return sum(there) / len(there)

    def highlight(self, catalog: Catalog, file: int) -> tuple[str | None, list[Span]]:
        """Return the matching passage or text in an image, and the spans of the words in it.

        The text is None if only the name matches.
        """
        found = self.best.get(file)
        if found is None or found.table not in (PASSAGES, PICTURES):
            return None, []
        text, spans = "", []
        for part, places in highlight(catalog, found.table, found.row, self.expression):
            if places:
                text += "\n" if text else ""
                spans += [(first + len(text), last + len(text)) for first, last in places]
                text += part
        return (text, spans) if spans else (None, [])


def find_keywords(
    catalog: Catalog,
    words: Sequence[str],
    kinds: Sequence[Kind],
    where: Where | None = None,
    *,
    some: bool = False,
) -> KeywordMatches:
    """Return the files that contain all of some words.

    Args:
        catalog: The index's.
        words: Words and phrases.
        kinds: Kinds of files to consider.
        where: A condition on files, see :data:`.full_text_search.Where`.
        some: If no file contains all words, return those that contain any.

    Raises:
        CatalogError: The full-text tables are damaged or missing.
    """
    if not words:
        return KeywordMatches()
    found = KeywordMatches(tuple(words), match_all(words), True, kinds=tuple(kinds), where=where)
    found.search(catalog)
    if found.best or not some or len(words) == 1:
        return found
    found = replace(found, expression=match_any(words), whole=False, rankings=[], best={})
    found.search(catalog)
    return found
