"""How well searches find what they should, measured through :mod:`nmm.index.search.engine` itself.

What is measured is the list that a user of `nmm search` is shown: near copies are one row, which
is right if any of them is, and files of one content are one thing, for nothing tells them apart.
So what is right for a query are things, and not paths.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.errors import CatalogError, NoIndexError, UsageError
from nmm.index.evaluation.bootstrap import Statistics, mean_statistics
from nmm.index.evaluation.metrics import TieGroup, ndcg, recall, reciprocal_rank
from nmm.index.search.engine import Search, open_search
from nmm.index.search.filters import NO_FILTERS, Emptied, Filters, condition_of, emptied_by
from nmm.index.search.query import Mode, Query, Term
from nmm.index.store.catalog.file_vectors import items
from nmm.index.store.catalog.types import KINDS, Kind
from nmm.index.store.catalog.writer import open_for_reading

if TYPE_CHECKING:
    from nmm.index.encoders.backend import Backend
    from nmm.index.search.result import Result
    from nmm.index.store.layout import IndexFolder

# Results that are looked at: as many as can be, so that the first ten are those of a search for
# ten. More would have more of the nearest take part in the fusion of meaning and words.
DEPTH = 50
RECALLS = (1, 5, 10)
METRICS = (*(f"recall@{count}" for count in RECALLS), "mrr", "ndcg@10")
# Queries that are embedded ahead.
AHEAD = 64


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a query.

    Attributes:
        query: Its text.
        relevant: Things that are right, whether they were found or not.
        ranks: Of those that were found among the first :data:`DEPTH`, from 1.
        metrics: By the order of :data:`METRICS`.
    """

    query: str
    relevant: int
    ranks: tuple[int, ...]
    metrics: tuple[float, ...]


@dataclass(frozen=True)
class Retrieval:
    """What came of an index.

    Attributes:
        model: Of the index.
        dimension: Of its vectors.
        index: Its folder.
        files: Files that were looked among.
        answered: Each query that has something right among these, or in no index at all.
        unknown: Paths that are not in the index; they count as not found.
        outside: Of things that are right, how many the filters leave out; they do not count.
        without: Queries to which the filters leave nothing right; they are not measured.
        emptied: Why there are no files to look among, if filters leave none.
    """

    model: str
    dimension: int
    index: str
    files: int
    answered: list[Answered]
    unknown: list[str]
    outside: int
    without: list[str]
    emptied: list[Emptied]

    def statistics(self, queries: Iterable[str]) -> Statistics:
        """Those of :data:`METRICS`, of some queries that were answered."""
        import numpy as np

        metrics = {one.query: one.metrics for one in self.answered}
        return mean_statistics(np.array([metrics[query] for query in queries], np.float64))


def evaluate_retrieval(
    folder: IndexFolder,
    relevant: Mapping[str, Sequence[str]],
    kinds: Sequence[Kind] = KINDS,
    *,
    filters: Filters = NO_FILTERS,
    mode: Mode = Mode.HYBRID,
    backend: Backend | None = None,
    on_answered: Callable[[], None] = lambda: None,
) -> Retrieval:
    """Search an index for queries whose answers are known.

    Args:
        folder: The index.
        relevant: Absolute paths of what is right, by query.
        kinds, filters, mode: As of :meth:`.Search.find`.
        backend: What computes.
        on_answered: Told of each query.

    Raises:
        NoIndexError: There is none, or nothing was ever indexed.
        UsageError: A filter makes no sense, or no path is known to the index.
        ModelError: The model of the index is not on this machine, or has other weights.
        CatalogError: The catalog cannot be read, or words cannot be looked up in it.
    """
    judged = _judge(folder, relevant, kinds, filters)
    answered = []
    with open_search(folder, backend=backend) as search:
        queries = list(judged.right)
        for start in range(0, len(queries), AHEAD):
            some = [Query((Term(text=query),), query) for query in queries[start : start + AHEAD]]
            if mode is not Mode.KEYWORD:
                search.embed_ahead(some)
            for query in some:
                results = _find(search, query, kinds, filters, mode)
                answered.append(
                    _answered(query.label, results, judged, is_by_score=mode is Mode.SEMANTIC)
                )
                on_answered()
        if search.wordless and mode is not Mode.SEMANTIC:
            raise CatalogError(
                f"Full-text search does not work in the index in {folder.path}.",
                code="full-text-damaged",
                why="Its tables are damaged, so the measurement would be wrong.",
                path=folder.path,
            )
        model = search.model
    return Retrieval(
        model,
        judged.dimension,
        str(folder.path),
        judged.files,
        answered,
        judged.unknown,
        judged.outside,
        judged.without,
        judged.emptied,
    )


@dataclass
class _Judged:
    """What is right, as contents of the index; what is unknown counts as one of its own."""

    contents: dict[str, int]
    files: int
    dimension: int
    right: dict[str, set[int | str]]
    unknown: list[str]
    outside: int
    without: list[str]
    emptied: list[Emptied]


def _judge(
    folder: IndexFolder,
    relevant: Mapping[str, Sequence[str]],
    kinds: Sequence[Kind],
    filters: Filters,
) -> _Judged:
    where = condition_of(filters)
    with open_for_reading(folder) as catalog, catalog.snapshot():
        settings = catalog.settings()
        if settings is None:
            raise NoIndexError(
                f"The index in {folder.path} is empty.", code="index-empty", path=folder.path
            )
        contents = {item.path: item.content for item in items(catalog, KINDS)}
        among = items(catalog, kinds, where)
        emptied = [] if among else emptied_by(catalog, filters, kinds)
    passing = {item.content for item in among}
    judged = _Judged(contents, len(among), settings.dimension, {}, [], 0, [], emptied)
    unknown: dict[str, None] = {}
    for query, paths in relevant.items():
        right: set[int | str] = set()
        for path in paths:
            content = contents.get(path, contents.get(os.path.realpath(path)))
            if content is None:
                unknown[path] = None
                right.add(path)
            else:
                right.add(content)
        left = {thing for thing in right if isinstance(thing, str) or thing in passing}
        judged.outside += len(right) - len(left)
        if left:
            judged.right[query] = left
        else:
            judged.without.append(query)
    judged.unknown += unknown
    every = {path for some in relevant.values() for path in some}
    if len(unknown) == len(every):
        raise UsageError(
            f"None of the {len(every):,} relevant paths is in the index in {folder.path}.",
            code="judged-files-not-indexed",
            why=f"The first one is {next(iter(unknown))}.",
            hint="Paths are absolute, or relative to the folder of the file that names them.",
            path=folder.path,
            paths=len(every),
        )
    return judged


def _find(
    search: Search, query: Query, kinds: Sequence[Kind], filters: Filters, mode: Mode
) -> list[Result]:
    return search.find(query, DEPTH, kinds, filters=filters, mode=mode, fold=True, weak=False)


def _answered(
    query: str, results: Sequence[Result], judged: _Judged, *, is_by_score: bool
) -> Answered:
    """Measure what was found.

    Results by meaning alone are equally good if their scores are equal. By words, they are if
    bm25 is, which a result does not say: there the order is that of the paths, as it is shown.
    """
    right = judged.right[query]
    left = set(right)
    relevant = len(right)
    ranking: list[tuple[float, bool]] = []
    ranks = []
    for result in results:
        paths = (result.path, *result.copies)
        things = {judged.contents[path] for path in paths if path in judged.contents} & left
        left -= things
        # Copies that are one row are one thing.
        relevant -= max(len(things) - 1, 0)
        if things:
            ranks.append(result.rank)
        ranking.append((result.score if is_by_score else result.rank, bool(things)))
    groups = [
        TieGroup(len(group), sum(is_right for _, is_right in group))
        for group in (list(some) for _, some in itertools.groupby(ranking, lambda one: one[0]))
    ]
    metrics = (
        *(recall(groups, relevant, count) for count in RECALLS),
        reciprocal_rank(groups),
        ndcg(groups, relevant, 10),
    )
    return Answered(query, relevant, tuple(ranks), metrics)
