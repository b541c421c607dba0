"""A query's vector and its words, made results.

A file stands in the results once, with its passage that fits best. Two files of the same
content are two results of the same score; equal ones are in the order of their paths.

Files are ranked by their ids. What there is to show of them, be it no more than their paths,
is read of those alone that may be shown.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from nmm.index.common.tracing import span
from nmm.index.search.fusion import Rank, ranking
from nmm.index.search.keyword import FoundWords, find_words
from nmm.index.search.near_duplicates import fold as fold_copies
from nmm.index.search.relevance import Relevance, Standing
from nmm.index.search.result import Placed, Result, result
from nmm.index.search.semantic import NearestFiles
from nmm.index.store.catalog.file_lookup import Place, files_at, paths_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.search.query import Query
    from nmm.index.store.catalog.read_cache import States
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.sql_filters import Condition
    from nmm.index.store.catalog.types import Hit, Kind
    from nmm.index.store.vectors.base import PendingSearch

    Vector = NDArray[np.float32]

# Of the nearest of a kind, so many take part in a fused ranking, or as many as are asked for.
NEAREST = 50

# Files that are looked at for one that is shown, at most, if the others are copies or weak.
MOST = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files are wanted: as of :meth:`Search.find`; and what they have to pass."""

    count: int
    kinds: Sequence[Kind]
    where: Condition | None
    relevant: bool
    min_score: float | None
    fold: bool
    weak: bool

    @property
    def candidates(self) -> int:
        """Files that are looked at, at first."""
        return 2 * self.count if self.fold else self.count

    def takes(self, placed: Placed) -> bool:
        """Whether a file is left in, whatever its place."""
        if self.relevant and placed.weak:
            return False
        return self.min_score is None or placed.score >= self.min_score


class Answers:
    """What answers queries from an index.

    Args:
        catalog: The index's.
        states, nearest, relevance: Of the catalog.
    """

    def __init__(
        self, catalog: Catalog, states: States, nearest: NearestFiles, relevance: Relevance
    ) -> None:
        self._catalog = catalog
        self._states = states
        self._nearest = nearest
        self._relevance = relevance

    def submit(self, vectors: Sequence[Vector], wanted: Wanted) -> list[dict[Kind, PendingSearch]]:
        """Begin to compare the vectors of the next queries; the handles of each, by kind."""
        if wanted.where:
            return [{} for _ in vectors]
        limit = max(wanted.candidates, NEAREST)
        each = {kind: self._nearest.submit(vectors, limit, kind) for kind in wanted.kinds}
        return [{kind: each[kind][n] for kind in each} for n in range(len(vectors))]

    def answer(
        self,
        query: Query,
        vector: Vector | None,
        words: Sequence[str],
        wanted: Wanted,
        pending: Mapping[Kind, PendingSearch],
    ) -> list[Result]:
        """Results by meaning, if there is a vector, and by words, if there are any."""
        with span("words looked up"):
            found = find_words(
                self._catalog, words, wanted.kinds, wanted.where, some=vector is None
            )
        with span("relevance"):
            standings = self._standings(query, vector, wanted)
        without = files_at(self._catalog, query.without)
        candidates = wanted.candidates
        while True:
            with span("ranked"):
                placed = self._place(vector, found, standings, candidates, wanted, without, pending)
            hits = [one.hit for one in placed]
            with span("copies folded"):
                groups = (
                    fold_copies(self._catalog, hits)
                    if wanted.fold
                    else [[n] for n in range(len(hits))]
                )
            kept = [group for group in groups if wanted.takes(placed[group[0]])][: wanted.count]
            # Copies, or what is not wanted, took the place of others.
            if (
                len(kept) >= wanted.count
                or len(placed) < candidates
                or candidates >= MOST * wanted.count
            ):
                break
            candidates *= 4
        return [
            result(
                rank,
                placed[best],
                [hits[copy].path for copy in copies],
                *found.marked(self._catalog, hits[best].file),
            )
            for rank, (best, *copies) in enumerate(kept, 1)
        ]

    def _standings(
        self, query: Query, vector: Vector | None, wanted: Wanted
    ) -> dict[Kind, Standing]:
        """How a query's vector stands to each kind that there is; nothing without a vector."""
        if vector is None:
            return {}
        each = {
            kind: self._relevance.standing(kind, query, vector, weak=wanted.weak)
            for kind in wanted.kinds
        }
        return {kind: standing for kind, standing in each.items() if standing}

    def _place(
        self,
        vector: Vector | None,
        words: FoundWords,
        standings: Mapping[Kind, Standing],
        count: int,
        wanted: Wanted,
        without: Collection[int],
        pending: Mapping[Kind, PendingSearch],
    ) -> list[Placed]:
        """So many of the best files, by meaning and words together, best first."""
        meant: dict[int, Place] = {}
        if vector is not None:
            depth = max(count, NEAREST) if words.best else count
            with span("nearest"):
                meant = {
                    one.file: one
                    for kind in standings
                    for one in self._nearest.best(
                        pending.get(kind, vector), depth, kind, wanted.where, without
                    )
                }
            words.complete(self._catalog, {one.content for one in meant.values()})
        scores = {
            file: (one.kind, standings[one.kind].score(one.score)) for file, one in meant.items()
        }
        ranked = ranking(scores, words, self._states.last.last_file, count + len(without))
        files = self._first([one for one in ranked if one[1] not in without], count)
        hits = self._read(files, meant, words, vector, wanted)
        placed = []
        for file in files:
            there = hits.get(file)
            if not there:
                continue  # its vectors are not there, of which nmm doctor tells
            near = meant.get(file)
            nearest = next((hit for hit in there if near and hit.chunk == near.chunk), there[0])
            standing = standings.get(nearest.kind)
            by_words = words.holds_all(file)
            if standing:
                score = standing.score(nearest.score)  # the catalog's, whatever proposed it
                weak = not by_words and standing.is_weak(score)
            else:
                score, weak = words.share(self._catalog, file), False
            shown = [hit for hit in there if hit.chunk == words.passage(file)]
            placed.append(Placed(score, (shown or [nearest])[0], by_words, weak))
        return placed

    def _first(self, ranked: Sequence[tuple[Rank, int]], count: int) -> list[int]:
        """So many files of the least ranks; those of one rank in the order of their paths."""
        files: list[int] = []
        for _, group in itertools.groupby(ranked, itemgetter(0)):
            equal = [file for _, file in group]
            if len(equal) > 1:
                paths = paths_of(self._catalog, equal)
                equal = sorted(paths, key=paths.__getitem__)
            files += equal
        return files[:count]

    def _read(
        self,
        files: Sequence[int],
        meant: Mapping[int, Place],
        words: FoundWords,
        vector: Vector | None,
        wanted: Wanted,
    ) -> dict[int, list[Hit]]:
        """What there is to show of files, best first: what is meant, and where the words are.

        Of those that were found by words alone, all places, for any may be the nearest.
        """
        alone = {words.best[file].content for file in files if file not in meant}
        chunks = {meant[file].chunk for file in files if file in meant}
        chunks.update(self._catalog.chunks_of(alone) if alone else (), words.passages(files))
        found: dict[int, list[Hit]] = {}
        hits = self._catalog.hits([*chunks], vector, wanted.where)
        for hit in sorted(hits, key=lambda hit: (-hit.score, hit.chunk)):
            found.setdefault(hit.file, []).append(hit)
        return found
