"""Measure retrieval quality with queries whose relevant files are known.

The results are those of :mod:`nmm.index.search.engine`, as `nmm search` shows them. Near-duplicates
are one result, which is relevant if any of them is. Files with the same content cannot be told
apart. So the relevant items of a query are contents and not paths.
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

# Number of results that are judged for each query. A larger limit would fuse more of the nearest
# files with keyword matches, which can change the first ten results.
DEPTH = 50
RECALLS = (1, 5, 10)
METRICS = (*(f"recall@{count}" for count in RECALLS), "mrr", "ndcg@10")


@dataclass(frozen=True, slots=True)
class QueryEvaluation:
    """The evaluation of a query.

    Attributes:
        query: Its text.
        relevant: Number of relevant contents, found or not.
        ranks: Ranks of those among the first :data:`DEPTH` results, from 1.
        metrics: Values in the order of :data:`METRICS`.
    """

    query: str
    relevant: int
    ranks: tuple[int, ...]
    metrics: tuple[float, ...]


@dataclass(frozen=True)
class Retrieval:
    """The evaluation of an index.

    Attributes:
        model: The name of the index's model.
        dimension: The dimension of its vectors.
        index: Its folder.
        files: Number of files that were searched.
        answered: The queries that were evaluated.
        unknown: Relevant paths that are not in the index. They count as not found.
        outside: Number of relevant contents that the filters exclude. They do not count.
        without: Queries whose relevant contents are all excluded. They are not evaluated.
        emptied: The filters that exclude every file, if no file was searched.
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
        """Return the statistics of :data:`METRICS` for some of the evaluated queries."""
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
    """Search an index for queries and compare the results with the relevant files.

    Args:
        folder: The index.
        relevant: Absolute paths of the relevant files, by query.
        kinds, filters, mode: See :class:`.SearchRequest`.
        backend: The device and precision of the model.
        on_answered: Called after each query.

    Raises:
        NoIndexError: There is no index, or nothing was ever indexed.
        UsageError: A filter is invalid, or no relevant path is in the index.
        ModelError: The model of the index is not on this machine, or has other weights.
        CatalogError: The catalog cannot be read, or its full-text tables are damaged.
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
        for query in judgments.relevant
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
        model=model,
        dimension=judgments.dimension,
        index=str(folder.path),
        files=judgments.files,
        answered=evaluated,
        unknown=judgments.unknown,
        outside=judgments.outside,
        without=judgments.without,
        emptied=judgments.emptied,
    )


@dataclass
class _Judgments:
    """The relevant contents of each query. A path that is not indexed counts as a content.

    Attributes:
        contents: Content ids by path.
        relevant: Content ids, or paths that are not indexed, by query.
        dimension, files, unknown, outside, without, emptied: See :class:`Retrieval`.
    """

    contents: dict[str, int]
    files: int
    dimension: int
    relevant: dict[str, set[int | str]]
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
    """Look up the relevant paths in the index, and apply the filters to their contents.

    Raises:
        NoIndexError, UsageError, CatalogError: See :func:`evaluate_retrieval`.
    """
    where = condition_of(filters)
    with open_for_reading(folder) as catalog, catalog.snapshot():
        settings = catalog.settings()
        if settings is None:
            raise NoIndexError(
                f"The index in {folder.path} is empty.", code="index-empty", path=folder.path
            )
        contents = {item.path: item.content for item in items(catalog, KINDS)}
        searched = items(catalog, kinds, where)
        emptied = [] if searched else explain_empty(catalog, filters, kinds)
    passing = {item.content for item in searched}
    judgments = _Judgments(
        contents=contents,
        files=len(searched),
        dimension=settings.dimension,
        relevant={},
        unknown=[],
        outside=0,
        without=[],
        emptied=emptied,
    )
    unknown: dict[str, None] = {}
    for query, paths in relevant.items():
        found: set[int | str] = set()
        for path in paths:
            content = contents.get(path, contents.get(os.path.realpath(path)))
            if content is None:
                unknown[path] = None
                found.add(path)
            else:
                found.add(content)
        kept = {one for one in found if isinstance(one, str) or one in passing}
        judgments.outside += len(found) - len(kept)
        if kept:
            judgments.relevant[query] = kept
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
    """Evaluate the results of a query.

    In a ranking by meaning alone, results with equal scores are ties. Keyword matches are ties if
    their BM25 scores are equal. Results do not have these scores, so their order counts as shown.
    """
    query, results = response.request.query.label, response.results
    missing = set(judgments.relevant[query])
    relevant = len(missing)
    ranking: list[tuple[float, bool]] = []
    ranks = []
    for result in results:
        paths = (result.path, *result.copies)
        contents = {judgments.contents[path] for path in paths if path in judgments.contents}
        found = contents & missing
        missing -= found
        # Near-duplicates in one result count once.
        relevant -= max(len(found) - 1, 0)
        if found:
            ranks.append(result.rank)
        ranking.append((result.score if by_score else result.rank, bool(found)))
    groups = [
        TieGroup(len(group), sum(is_relevant for _, is_relevant in group))
        for group in (list(some) for _, some in itertools.groupby(ranking, lambda one: one[0]))
    ]
    metrics = (
        *(recall(groups, relevant, count) for count in RECALLS),
        reciprocal_rank(groups),
        ndcg(groups, relevant, 10),
    )
    return QueryEvaluation(query, relevant, tuple(ranks), metrics)
