"""A query to results: embed it, take the nearest of each kind, merge them fairly.

A file stands in the results once, with its passage that fits best. Two files of the same
content are two results of the same score; equal scores are in the order of their paths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nmm.index import scale
from nmm.index.encoders.registry import Encoder, Task
from nmm.index.encoders.runtime import load_encoder
from nmm.index.errors import NoIndexError, UsageError
from nmm.index.filters import NO_FILTERS, Filters
from nmm.index.fold import fold as fold_copies
from nmm.index.model import check, model_of, settings_of
from nmm.index.query import Mode, Query, Term
from nmm.index.relevance import Relevance, Standing
from nmm.index.store.catalog import KINDS, Catalog, Hit, Kind, Scale, Segment, Settings
from nmm.index.store.nearest import NearestVectors
from nmm.index.store.writer import open_for_reading

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.backend import Backend
    from nmm.index.store.location import IndexFolder


# Files that are looked at for one that is shown, at most, if the others are copies or weak.
MOST = 32


@dataclass(frozen=True, slots=True)
class Result:
    """A file that fits a query.

    Attributes:
        rank: 1 for the best.
        score: How well it fits, on one scale for images and texts: 1 is what one in a
            thousand items reaches that have nothing to do with the query, and 0 what half
            of them reach, see :mod:`nmm.index.scale`.
        path: Absolute.
        type: What it is.
        lines: Of a text, the first and last line of the passage that fits, from 1.
        text: That passage.
        width, height: Of an image, in pixels, upright.
        spans: Where words of the query stand in `text`: first and last character but one.
        by_words: Whether it was found by its words: all those of the query are in the passage,
            in the name or in what the picture says.
        weak: Whether nothing tells it from what has nothing to do with the query.
        copies: Absolute paths of files that are nearly the same, and folded into this one.
    """

    rank: int
    score: float
    path: str
    type: Kind
    lines: tuple[int, int] | None = None
    text: str | None = None
    width: int | None = None
    height: int | None = None
    spans: tuple[tuple[int, int], ...] = ()
    by_words: bool = False
    weak: bool = False
    copies: tuple[str, ...] = ()


class Wanted(NamedTuple):
    """Which results are left in: how the query stands to each kind, and what is asked of them."""

    standings: dict[Kind, Standing]
    relevant: bool
    min_score: float | None


@contextmanager
def open_search(
    folder: IndexFolder,
    *,
    backend: Backend | None = None,
    once: bool = False,
    on_compile: Callable[[], None] = lambda: None,
) -> Iterator[Search]:
    """An index, ready to be searched; nothing is opened before it is needed.

    `once` is for a query or two, see :class:`~nmm.index.encoders.runtime.OnnxEncoder`.

    Raises:
        NoIndexError: There is none, or nothing was ever indexed.
        CatalogError: The catalog cannot be read.
        ModelError: The model of the index is not on this machine, or has other weights.
    """
    with open_for_reading(folder) as catalog:
        settings = catalog.settings()
        if settings is None:
            raise NoIndexError(
                f"The index in {folder.path} is empty.", hint="Fill it with: nmm index FOLDER"
            )

        def load(settings: Settings) -> Encoder:
            encoder = load_encoder(
                model_of(settings), backend=backend, once=once, on_compile=on_compile
            )
            check(settings, encoder)
            return encoder

        yield Search(folder, catalog, load(settings), load)


class Search:
    """An open index. Not for several threads at once.

    Args:
        folder, catalog: The index.
        encoder: What embeds queries.
        load: The encoder of an index with other settings, which it has after a rebuild.
    """

    def __init__(
        self,
        folder: IndexFolder,
        catalog: Catalog,
        encoder: Encoder,
        load: Callable[[Settings], Encoder],
    ) -> None:
        self._folder = folder
        self._catalog = catalog
        self._encoder = encoder
        self._load = load
        self._nearest: dict[Kind, tuple[tuple[int, list[Segment]], NearestVectors]] = {}
        self._neutral: NDArray[np.float32] | None = None
        self._relevance = Relevance(catalog, self._scale, self._neutral_texts)

    @property
    def model(self) -> str:
        """The name of the index's model, at the last query."""
        return self._encoder.model.name

    def damaged(self) -> list[str]:
        """Derived files that searches met which are missing, or are not what was written.

        What they were to tell was read from the catalog; the next run of `nmm index`, or
        :func:`nmm.index.repair.repair`, writes them again.
        """
        met = {name for _, nearest in self._nearest.values() for name in nearest.damaged}
        named = {segment.name for kind in KINDS for segment in self._catalog.segments(kind)}
        return sorted(met & named)  # one that was replaced meanwhile was only deleted

    def find(
        self,
        query: str | Query,
        count: int = 10,
        kinds: Sequence[Kind] = KINDS,
        *,
        filters: Filters = NO_FILTERS,
        mode: Mode = Mode.SEMANTIC,
        relevant: bool = False,
        min_score: float | None = None,
        fold: bool = False,
        raw: bool = False,
    ) -> list[Result]:
        """The `count` files that fit a query best, best first.

        Args:
            query: A text is one term, whatever is in it; see :func:`nmm.index.query.parse`.
            count: Results at most.
            kinds: What to look among.
            filters: Which files to look among.
            mode: What ranks them.
            relevant: Leave out what is weak.
            min_score: Leave out what scores less.
            fold: Let nearly equal files be one result.
            raw: See :meth:`.encoders.registry.Model.prompt`.

        Raises:
            UsageError: The query is empty, or `min_score` is no number.
            ModelError: The index was rebuilt, and its model now cannot be used.
        """
        asked = query if isinstance(query, Query) else Query((Term(text=query),), query)
        if not any(term.image or term.text.strip() for term in asked.terms):
            raise UsageError("The query is empty.", hint='Say what to look for: nmm search "a cat"')
        if min_score is not None and math.isnan(min_score):
            raise UsageError(
                "The least score is no number.",
                hint="Scores are about 0 to 3; 1 is where weak ones end: --min-score 1",
            )
        while True:
            vector = self._embed(asked, raw=raw)
            with self._catalog.snapshot():
                settings = self._catalog.settings()
                if settings is None or settings == settings_of(self._encoder):
                    standings = self._standings(asked, vector, kinds)
                    wanted = Wanted(standings, relevant, min_score)
                    found = self._gather(vector, count, wanted, fold=fold)
                    break
            # It was rebuilt since it was opened, or since the last query.
            self._encoder = self._load(settings)
            self._nearest.clear()
            self._neutral = None
            self._relevance.forget()
        return [
            _result(rank, score, hit, copies, weak=standings[hit.kind].is_weak(score))
            for rank, (score, hit, copies) in enumerate(found, 1)
        ]

    def _standings(
        self, query: Query, vector: NDArray[np.float32], kinds: Sequence[Kind]
    ) -> dict[Kind, Standing]:
        """How the query stands to each kind that there is."""
        each = {kind: self._relevance.standing(kind, query, vector) for kind in kinds}
        return {kind: standing for kind, standing in each.items() if standing}

    def _gather(
        self,
        vector: NDArray[np.float32],
        count: int,
        wanted: Wanted,
        *,
        fold: bool,
    ) -> list[tuple[float, Hit, tuple[str, ...]]]:
        """The best files that are wanted, each with its score and its copies."""
        candidates = 2 * count if fold else count
        while True:
            ranked = [
                (standing.score(hit.score), hit)
                for kind, standing in wanted.standings.items()
                for hit in self._best_files(vector, candidates, kind)
            ]
            ranked.sort(key=lambda scored: (-scored[0], scored[1].path))
            is_all = len(ranked) < candidates
            ranked = ranked[:candidates]
            hits = [hit for _, hit in ranked]
            groups = fold_copies(self._catalog, hits) if fold else [[n] for n in range(len(hits))]
            kept = [group for group in groups if _is_wanted(*ranked[group[0]], wanted)]
            # Copies, or what is not wanted, took the place of others.
            if len(kept) >= count or is_all or candidates >= MOST * count:
                return [
                    (*ranked[best], tuple(hits[copy].path for copy in copies))
                    for best, *copies in kept[:count]
                ]
            candidates *= 4

    def _embed(self, query: Query, *, raw: bool) -> NDArray[np.float32]:
        """The vector of a query, shape (dimension,)."""
        vectors = self._encoder.embed_texts([query.words], Task.QUERY, raw=raw)
        vector: NDArray[np.float32] = vectors[0]
        return vector

    def _best_files(self, query: NDArray[np.float32], count: int, kind: Kind) -> list[Hit]:
        """The files with the greatest cosines; exact, however many chunks a file has."""
        nearest = self._open_nearest(kind)
        candidates = 2 * count
        while True:
            chunks = nearest.search(query, candidates).tolist()
            best: dict[str, Hit] = {}
            for hit in self._catalog.hits(chunks, query):
                if hit.path not in best or _order(hit) < _order(best[hit.path]):
                    best[hit.path] = hit
            # Several chunks of one file, or chunks that are gone, took the place of others.
            if len(best) >= count or len(chunks) < candidates:
                return sorted(best.values(), key=_order)[:count]
            candidates *= 4

    def _open_nearest(self, kind: Kind) -> NearestVectors:
        state = self._catalog.generation(), self._catalog.segments(kind)
        known, nearest = self._nearest.get(kind, (None, None))
        if nearest is None or known != state:
            nearest = NearestVectors(self._catalog, self._folder, kind, nearest)
            self._nearest[kind] = state, nearest
        return nearest

    def _scale(self, kind: Kind) -> Scale | None:
        """The kept scale; measured now if the first run was cut short before it was."""
        if kept := self._catalog.scale(kind):
            return kept
        if not self._catalog.vector_count(kind):
            return None
        return scale.measure(self._catalog, kind, self._neutral_texts())

    def _neutral_texts(self) -> NDArray[np.float32]:
        if self._neutral is None:
            self._neutral = self._encoder.embed_texts(scale.NEUTRAL_QUERIES, Task.QUERY)
        return self._neutral


def _is_wanted(score: float, hit: Hit, wanted: Wanted) -> bool:
    if wanted.relevant and wanted.standings[hit.kind].is_weak(score):
        return False
    return wanted.min_score is None or score >= wanted.min_score


def _result(rank: int, score: float, hit: Hit, copies: tuple[str, ...], *, weak: bool) -> Result:
    lines = None
    if hit.line_start is not None and hit.line_end is not None:
        lines = hit.line_start, hit.line_end
    return Result(
        rank,
        score,
        hit.path,
        hit.kind,
        lines,
        hit.text,
        hit.width,
        hit.height,
        weak=weak,
        copies=copies,
    )


def _order(hit: Hit) -> tuple[float, str, int]:
    return -hit.score, hit.path, hit.line_start or 0
