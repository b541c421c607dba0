"""Words found: in passages, in names of files, and in what pictures say.

A file has the words of a query if one of these has them all: a passage, the name with the
folders below its root, or the caption and the words in a picture together. Each of the three
is a ranking of its own, for what bm25 gives can only be compared within one table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nmm.index.search.keyword_query import match_all, match_any
from nmm.index.store.catalog.full_text import PASSAGES, PICTURES, WORD_TABLES
from nmm.index.store.catalog.full_text_search import ALL, Span, Where, Worded, fits, look_up, marked

if TYPE_CHECKING:
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.types import Kind

# Files of a ranking.
MAX_MATCHES = 1000


@dataclass(frozen=True, slots=True)
class KeywordMatches:
    """The files that words were found in.

    Attributes:
        words: What was looked for.
        expression: As FTS5 was asked.
        whole: Whether each file has all words.
        rankings: What each of the tables says: a number by file, the least the best.
        best: By file, the place to show: a passage before a picture's words, and these
            before a name.
        kinds, where: What was looked among.
    """

    words: tuple[str, ...] = ()
    expression: str = ""
    whole: bool = False
    rankings: list[dict[int, float]] = field(default_factory=list)
    best: dict[int, Worded] = field(default_factory=dict)
    kinds: tuple[Kind, ...] = ()
    where: Where | None = None

    def search(self, catalog: Catalog) -> None:
        """Look the words up.

        Raises:
            CatalogError: The tables of words are damaged, or not there.
        """
        for table in WORD_TABLES:
            self.rankings.append({})
            files = look_up(catalog, table, self.expression, MAX_MATCHES, self.kinds, self.where)
            self._add(files, self.rankings[-1])

    def extend(self, catalog: Catalog, contents: Collection[int]) -> None:
        """Add the files of some contents that were too far down to be in a ranking."""
        for table, ranking in zip(WORD_TABLES, self.rankings, strict=False):
            if len(ranking) >= MAX_MATCHES:
                self._add(
                    look_up(catalog, table, self.expression, ALL, self.kinds, self.where, contents),
                    ranking,
                )

    def _add(self, found: Iterable[Worded], ranking: dict[int, float]) -> None:
        for one in found:
            ranking.setdefault(one.file, one.closeness)
            self.best.setdefault(one.file, one)

    def holds_all(self, file: int) -> bool:
        """Whether a file has all words."""
        return self.whole and file in self.best

    def passage(self, file: int) -> int | None:
        """The chunk of a file in which the words stand best, if they stand in one."""
        found = self.best.get(file)
        return found.row if found and found.table is PASSAGES else None

    def passages(self, files: Iterable[int]) -> list[int]:
        """As :meth:`passage`, of those of some files that have one."""
        return [chunk for file in files if (chunk := self.passage(file)) is not None]

    def share(self, catalog: Catalog, file: int) -> float:
        """How many of the words stand where the file was found, between 0 and 1."""
        if self.whole:
            return 1.0
        found = self.best[file]
        there = [fits(catalog, found.table, found.row, match_all([word])) for word in self.words]
        return sum(there) / len(there)

    def marked(self, catalog: Catalog, file: int) -> tuple[str | None, list[Span]]:
        """The passage or the words of a picture by which a file was found, and their places.

        No text if it was found otherwise.
        """
        found = self.best.get(file)
        if found is None or found.table not in (PASSAGES, PICTURES):
            return None, []
        text, spans = "", []
        for part, places in marked(catalog, found.table, found.row, self.expression):
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
    """The files of some kinds that have all of some words; with `some`, else any of them.

    `where` is a condition on files, see :data:`.lookup.Where`.

    Raises:
        CatalogError: The tables of words are damaged, or not there.
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
