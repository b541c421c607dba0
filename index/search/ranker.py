"""Rank the candidates for an embedded query and build the results.

Each file is one result, with its best passage. Two files with the same content are two results with
the same score. Ties are in the order of paths.

The ranking works with ids. Paths and texts are read only for files that may be shown.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.common.tracing import span
from nmm.index.search.filters import condition_of
from nmm.index.search.fusion import Rank, ranking
from nmm.index.search.keyword import KeywordMatches, find_keywords
from nmm.index.search.near_duplicates import collapse_duplicates
from nmm.index.search.relevance import QueryCalibration, Relevance
from nmm.index.search.result import RankedFile, SearchResult, make_result
from nmm.index.search.semantic import NearestFiles
from nmm.index.store.catalog.file_lookup import ScoredChunk, files_at, paths_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.search.query import Query
    from nmm.index.search.request import SearchRequest
    from nmm.index.store.catalog.read_cache import CatalogStateCache
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.sql_filters import Condition
    from nmm.index.store.catalog.types import Hit, Kind
    from nmm.index.store.vectors.base import PendingSearch

    Vector = NDArray[np.float32]

# Minimum number of nearest files of a kind that are fused with keyword matches.
FUSION_DEPTH = 50

# Maximum number of candidates per result, if many are near-duplicates or weak.
MAX_CANDIDATES_PER_RESULT = 32


class RankingOptions(NamedTuple):
    """The part of a :class:`.SearchRequest` that ranking needs.

    Attributes:
        limit, kinds, drop_weak, min_score, collapse_duplicates: See there.
        where: The filters as an SQL condition.
        mark_weak: Whether to determine which results are weak.
    """

    limit: int
    kinds: Sequence[Kind]
    where: Condition | None
    drop_weak: bool
    min_score: float | None
    collapse_duplicates: bool
    mark_weak: bool

    @classmethod
    def of(cls, request: SearchRequest) -> RankingOptions:
        """Return the options of a request."""
        return cls(
            limit=request.limit,
            kinds=request.kinds,
            where=condition_of(request.filters),
            drop_weak=request.drop_weak,
            min_score=request.min_score,
            collapse_duplicates=request.collapse_duplicates,
            mark_weak=request.mark_weak or request.drop_weak,
        )

    @property
    def candidates(self) -> int:
        """The number of candidates to rank first."""
        return 2 * self.limit if self.collapse_duplicates else self.limit

    def accepts(self, ranked: RankedFile) -> bool:
        """Return whether a file may be a result, whatever its rank."""
        if self.drop_weak and ranked.weak:
            return False
        return self.min_score is None or ranked.score >= self.min_score


class Ranker:
    """Ranks the files of an index for queries.

    Args:
        catalog: The index's.
        states: The last state of the catalog that was read.
        nearest: Finds the nearest files by their vectors.
        relevance: Turns cosines into scores.
    """

    def __init__(
        self,
        catalog: Catalog,
        states: CatalogStateCache,
        nearest: NearestFiles,
        relevance: Relevance,
    ) -> None:
        self._catalog = catalog
        self._states = states
        self._nearest = nearest
        self._relevance = relevance

    def submit(
        self, vectors: Sequence[Vector], options: RankingOptions
    ) -> list[dict[Kind, PendingSearch]]:
        """Begin searches for the vectors of the next queries; return each one's handles by kind."""
        if options.where:
            return [{} for _ in vectors]
        limit = max(options.candidates, FUSION_DEPTH)
        each = {kind: self._nearest.submit(vectors, limit, kind) for kind in options.kinds}
        return [{kind: each[kind][n] for kind in each} for n in range(len(vectors))]

    def rank(
        self,
        query: Query,
        *,
        vector: Vector | None,
        keywords: Sequence[str],
        options: RankingOptions,
        pending: Mapping[Kind, PendingSearch],
    ) -> list[SearchResult]:
        """Return the results of a query, ranked by meaning, by keywords, or by both.

        Args:
            query: The query.
            vector: Its vector, shape (dimension,); None to rank by keywords alone.
            keywords: Words and phrases to search for.
            options: The options of the request.
            pending: Handles from :meth:`submit` for the vector, by kind; may be empty.

        Raises:
            CatalogError: The full-text tables are damaged, or the catalog cannot be read.
        """
        with span("keywords searched"):
            matches = find_keywords(
                self._catalog, keywords, options.kinds, options.where, some=vector is None
            )
        with span("relevance"):
            calibrations = self._calibrations(query, vector, options)
        exclude = files_at(self._catalog, query.exclude)
        candidates = options.candidates
        while True:
            with span("ranked"):
                ranked = self._rank(
                    vector,
                    matches,
                    calibrations,
                    count=candidates,
                    options=options,
                    exclude=exclude,
                    pending=pending,
                )
            groups = self._collapse(ranked, options)
            accepted = [group for group in groups if options.accepts(ranked[group[0]])]
            # Near-duplicates and rejected files used up some of the candidates.
            if (
                len(accepted) >= options.limit
                or len(ranked) < candidates
                or candidates >= MAX_CANDIDATES_PER_RESULT * options.limit
            ):
                break
            candidates *= 4
        return [
            make_result(
                rank,
                ranked[best],
                [ranked[copy].hit.path for copy in copies],
                *matches.highlight(self._catalog, ranked[best].hit.file),
            )
            for rank, (best, *copies) in enumerate(accepted[: options.limit], 1)
        ]

    def _calibrations(
        self, query: Query, vector: Vector | None, options: RankingOptions
    ) -> dict[Kind, QueryCalibration]:
        """Return a query's calibration for each kind that has items; empty without a vector."""
        if vector is None:
            return {}
        each = {
            kind: self._relevance.calibrate(kind, query, vector, mark_weak=options.mark_weak)
            for kind in options.kinds
        }
        return {kind: calibration for kind, calibration in each.items() if calibration}

    def _collapse(self, ranked: Sequence[RankedFile], options: RankingOptions) -> list[list[int]]:
        """Return groups of positions in a ranking: near-duplicates together, or each file alone."""
        with span("near-duplicates merged"):
            if not options.collapse_duplicates:
                return [[place] for place in range(len(ranked))]
            return collapse_duplicates(self._catalog, [one.hit for one in ranked])

    def _rank(
        self,
        vector: Vector | None,
        matches: KeywordMatches,
        calibrations: Mapping[Kind, QueryCalibration],
        *,
        count: int,
        options: RankingOptions,
        exclude: Collection[int],
        pending: Mapping[Kind, PendingSearch],
    ) -> list[RankedFile]:
        """Return the best files of the fused ranking, best first."""
        near: dict[int, ScoredChunk] = {}
        if vector is not None:
            depth = max(count, FUSION_DEPTH) if matches.best else count
            with span("nearest"):
                near = {
                    one.file: one
                    for kind in calibrations
                    for one in self._nearest.best(
                        pending.get(kind, vector), depth, kind, options.where, exclude
                    )
                }
            matches.extend(self._catalog, {one.content for one in near.values()})
        scores = {
            file: (one.kind, calibrations[one.kind].score(one.score)) for file, one in near.items()
        }
        order = ranking(scores, matches, self._states.last.last_file, count + len(exclude))
        files = self._first_files([one for one in order if one[1] not in exclude], count)
        hits = self._read_hits(files, near, matches, vector, options)
        # A file without hits has no vectors in the catalog, which nmm doctor reports.
        return [
            self._ranked_file(file, hits[file], near.get(file), matches, calibrations)
            for file in files
            if hits.get(file)
        ]

    def _ranked_file(
        self,
        file: int,
        hits: Sequence[Hit],
        near: ScoredChunk | None,
        matches: KeywordMatches,
        calibrations: Mapping[Kind, QueryCalibration],
    ) -> RankedFile:
        nearest = next((hit for hit in hits if near and hit.chunk == near.chunk), hits[0])
        calibration = calibrations.get(nearest.kind)
        by_words = matches.holds_all(file)
        if calibration:
            score = calibration.score(nearest.score)  # from the vector in the catalog
            weak = not by_words and calibration.is_weak(score)
        else:
            score, weak = matches.share(self._catalog, file), False
        shown = next((hit for hit in hits if hit.chunk == matches.passage(file)), nearest)
        return RankedFile(score, shown, by_words, weak)

    def _first_files(self, ranked: Sequence[tuple[Rank, int]], count: int) -> list[int]:
        """Return the files with the least ranks; ties are in the order of paths."""
        files: list[int] = []
        for _, group in itertools.groupby(ranked, itemgetter(0)):
            equal = [file for _, file in group]
            if len(equal) > 1:
                paths = paths_of(self._catalog, equal)
                equal = sorted(paths, key=paths.__getitem__)
            files += equal
        return files[:count]

    def _read_hits(
        self,
        files: Sequence[int],
        near: Mapping[int, ScoredChunk],
        matches: KeywordMatches,
        vector: Vector | None,
        options: RankingOptions,
    ) -> dict[int, list[Hit]]:
        """Return the hits of each file, best first: the nearest chunk and keyword matches.

        For files found by keywords alone, all chunks are read, because any may be the nearest.
        """
        by_words_alone = {matches.best[file].content for file in files if file not in near}
        chunks = {near[file].chunk for file in files if file in near}
        chunks.update(
            self._catalog.chunks_of(by_words_alone) if by_words_alone else (),
            matches.passages(files),
        )
        found: dict[int, list[Hit]] = {}
        hits = self._catalog.hits([*chunks], vector, options.where)
        for hit in sorted(hits, key=lambda hit: (-hit.score, hit.chunk)):
            found.setdefault(hit.file, []).append(hit)
        return found
