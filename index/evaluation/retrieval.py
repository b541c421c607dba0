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
from nmm.index.search.engine import open_search
from nmm.index.search.filters import NO_FILTERS, EmptyFilter, Filters, condition_of, explain_empty
from nmm.index.search.query import Query, SearchMode
from nmm.index.search.request import SearchRequest
from nmm.index.search.response import KeywordsUnavailable, SearchResponse
from nmm.index.store.catalog.file_vectors import items
from nmm.index.store.catalog.types import KINDS, Kind
from nmm.index.store.catalog.writer import open_for_reading

if TYPE_CHECKING:
    from nmm.index.encoders.backend import Backend
    from nmm.index.store.layout import IndexFolder

# Results that are judged for each query: as many as one search ranks at most without changing
# the first ten. For more, more of the nearest files take part in the fusion with keywords.
DEPTH = 50
RECALLS = (1, 5, 10)
METRICS = (*(f"recall@{count}" for count in RECALLS), "mrr", "ndcg@10")


@dataclass(frozen=True, slots=True)
class QueryEvaluation:
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
    answered: list[QueryEvaluation]
    unknown: list[str]
    outside: int
    without: list[str]
    emptied: list[EmptyFilter]

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
    mode: SearchMode = SearchMode.HYBRID,
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
    judgments = _judge(folder, relevant, kinds, filters)
    requests = [
        SearchRequest(
            query=Query.of_text(query),
            limit=DEPTH,
            media=frozenset(kinds),
            filters=filters,
            mode=mode,
            mark_weak=False,
        )
        for query in judgments.right
    ]
    by_score = mode is SearchMode.SEMANTIC
    evaluated = []
    with open_search(folder, backend=backend) as engine:
        model = engine.model
        for response in engine.search_many(requests):
            if KeywordsUnavailable() in response.warnings:
                raise CatalogError(
                    f"Full-text search does not work in the index in {folder.path}.",
                    code="full-text-damaged",
                    why="Its tables are damaged, so the measurement would be wrong.",
                    path=folder.path,
                )
            evaluated.append(_evaluate(response, judgments, by_score))
            model = response.model
            on_answered()
    return Retrieval(
        model,
        judgments.dimension,
        str(folder.path),
        judgments.files,
        evaluated,
        judgments.unknown,
        judgments.outside,
        judgments.without,
        judgments.emptied,
    )


@dataclass
class _Judgments:
    """What is right, as contents of the index; what is unknown counts as one of its own."""

    contents: dict[str, int]
    files: int
    dimension: int
    right: dict[str, set[int | str]]
    unknown: list[str]
    outside: int
    without: list[str]
    emptied: list[EmptyFilter]


def _judge(
    folder: IndexFolder,
    relevant: Mapping[str, Sequence[str]],
    kinds: Sequence[Kind],
    filters: Filters,
) -> _Judgments:
    where = condition_of(filters)
    with open_for_reading(folder) as catalog, catalog.snapshot():
        settings = catalog.settings()
        if settings is None:
            raise NoIndexError(
                f"The index in {folder.path} is empty.", code="index-empty", path=folder.path
            )
        contents = {item.path: item.content for item in items(catalog, KINDS)}
        among = items(catalog, kinds, where)
        emptied = [] if among else explain_empty(catalog, filters, kinds)
    passing = {item.content for item in among}
    judgments = _Judgments(contents, len(among), settings.dimension, {}, [], 0, [], emptied)
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
        judgments.outside += len(right) - len(left)
        if left:
            judgments.right[query] = left
        else:
            judgments.without.append(query)
    judgments.unknown += unknown
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
    return judgments


def _evaluate(response: SearchResponse, judgments: _Judgments, by_score: bool) -> QueryEvaluation:
    """Measure the results of a query.

    If meaning alone ranks, results with equal scores are tied. Results that keywords rank are tied
    if their bm25 is equal, which a result does not say; they count in the order that is shown.
    """
    query, results = response.request.query.label, response.results
    right = judgments.right[query]
    left = set(right)
    relevant = len(right)
    ranking: list[tuple[float, bool]] = []
    ranks = []
    for result in results:
        paths = (result.path, *result.copies)
        things = {judgments.contents[path] for path in paths if path in judgments.contents} & left
        left -= things
        # Copies that are one row are one thing.
        relevant -= max(len(things) - 1, 0)
        if things:
            ranks.append(result.rank)
        ranking.append((result.score if by_score else result.rank, bool(things)))
    groups = [
        TieGroup(len(group), sum(is_right for _, is_right in group))
        for group in (list(some) for _, some in itertools.groupby(ranking, lambda one: one[0]))
    ]
    metrics = (
        *(recall(groups, relevant, count) for count in RECALLS),
        reciprocal_rank(groups),
        ndcg(groups, relevant, 10),
    )
    return QueryEvaluation(query, relevant, tuple(ranks), metrics)
