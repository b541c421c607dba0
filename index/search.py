"""A query to results: files ranked by what is meant, and by the words in them, in one order.

By meaning: the query is embedded, and the nearest of each kind are taken. By words: see
:mod:`nmm.index.found_words`. How the rankings become one order: see :mod:`nmm.index.fusion`.

A file stands in the results once, with its passage that fits best. Two files of the same
content are two results of the same score; equal ones are in the order of their paths.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index import scale
from nmm.index.blas import import_numpy
from nmm.index.encoders.registry import Encoder, Task
from nmm.index.encoders.runtime import Use, load_encoder
from nmm.index.errors import CatalogError, NoIndexError, UsageError
from nmm.index.filters import NO_FILTERS, Emptied, Filters, condition_of, emptied_by
from nmm.index.fold import fold as fold_copies
from nmm.index.found_words import FoundWords, find_words
from nmm.index.fusion import ranking
from nmm.index.model import check, model_of
from nmm.index.nearest_files import NearestFiles, order
from nmm.index.query import Mode, Query, Term
from nmm.index.query import check as check_query
from nmm.index.query_vector import QueryEmbedder
from nmm.index.relevance import Relevance, Standing
from nmm.index.result import Placed, Result, result
from nmm.index.store.catalog import KINDS, Catalog, Hit, Kind, Scale, Settings
from nmm.index.store.conditions import Condition
from nmm.index.store.places import Place
from nmm.index.store.writer import open_for_reading
from nmm.index.timing import span
from nmm.index.words import words_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.backend import Backend
    from nmm.index.store.location import IndexFolder

# Of the nearest of a kind, so many take part in a fused ranking, or as many as are asked for.
NEAREST = 100

# Files that are looked at for one that is shown, at most, if the others are copies or weak.
MOST = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files are wanted: as of :meth:`Search.find`; and what they have to pass."""

    count: int
    kinds: Sequence[Kind]
    where: Condition | None
    without: Collection[str]
    relevant: bool
    min_score: float | None
    fold: bool
    weak: bool

    def takes(self, placed: Placed) -> bool:
        """Whether a file is left in, whatever its place."""
        if self.relevant and placed.weak:
            return False
        return self.min_score is None or placed.score >= self.min_score


@contextmanager
def open_search(
    folder: IndexFolder,
    *,
    backend: Backend | None = None,
    once: bool = False,
    on_compile: Callable[[], None] = lambda: None,
) -> Iterator[Search]:
    """An index, ready to be searched; nothing is opened before it is needed.

    `once` is for a query or two, see :class:`~nmm.index.encoders.runtime.Use`.

    Raises:
        NoIndexError: There is none, or nothing was ever indexed.
        CatalogError: The catalog cannot be read.
    """
    if once:
        import_numpy()
    with span("catalog opened"):
        catalog = open_for_reading(folder)
    with catalog:
        settings = catalog.settings()
        if settings is None:
            raise NoIndexError(
                f"The index in {folder.path} is empty.", hint="Fill it with: nmm index FOLDER"
            )

        use = Use.QUERY if once else Use.QUERIES

        def load(settings: Settings) -> Encoder:
            encoder = load_encoder(
                model_of(settings), backend=backend, use=use, on_compile=on_compile
            )
            check(settings, encoder)
            return encoder

        yield Search(folder, catalog, settings, load)


class Search:
    """An open index. Not for several threads at once.

    Args:
        folder, catalog: The index.
        settings: What it is made with.
        load: The encoder of an index with some settings, which can be others after a rebuild.

    Attributes:
        wordless: Whether words could not be looked up, for their tables are damaged. What was
            asked for was ranked by meaning alone then.
    """

    def __init__(
        self,
        folder: IndexFolder,
        catalog: Catalog,
        settings: Settings,
        load: Callable[[Settings], Encoder],
    ) -> None:
        self.wordless = False
        self._catalog = catalog
        self._settings = settings
        self._load = load
        self._loaded: Encoder | None = None
        self._ahead: dict[bool, Mapping[str, NDArray[np.float32]]] = {}
        self._nearest = NearestFiles(catalog, folder)
        self._relevance = Relevance(catalog, self._scale, self._neutral_texts)
        self._neutral: NDArray[np.float32] | None = None

    @property
    def _encoder(self) -> Encoder:
        """What embeds queries; loaded when something is to be embedded."""
        if self._loaded is None:
            self._loaded = self._load(self._settings)
        return self._loaded

    @property
    def model(self) -> str:
        """The name of the index's model, at the last query."""
        return self._settings.model

    def damaged(self) -> list[str]:
        """Derived files that searches met which are missing, or are not what was written.

        What they were to tell was read from the catalog; the next run of `nmm index`, or
        :func:`nmm.index.repair.repair`, writes them again.
        """
        return self._nearest.damaged()

    def prompt(self, text: str, *, raw: bool = False) -> str:
        """What the model reads of a text that is looked for."""
        return model_of(self._settings).prompt(text, Task.QUERY, raw=raw)

    def emptied_by(self, filters: Filters, kinds: Sequence[Kind] = KINDS) -> list[Emptied]:
        """Why no file of some kinds passes filters; empty if one does.

        Raises:
            UsageError: A filter makes no sense.
        """
        with self._catalog.snapshot():
            return emptied_by(self._catalog, filters, kinds)

    def embed_ahead(self, queries: Sequence[Query], *, raw: bool = False) -> None:
        """Embed the texts of queries that are to be looked for next, as :meth:`find` would.

        Together, they take a half of the time or less; and the same vectors come of it, but for
        the last digits. What was embedded ahead before is forgotten.

        Raises:
            ModelError: As of :meth:`find`.
        """
        self._ahead = {}
        if len(queries) > 1:
            self._ahead = {raw: self._embedder(raw).embed_texts(queries, raw=raw)}

    def find(
        self,
        query: str | Query,
        count: int = 10,
        kinds: Sequence[Kind] = KINDS,
        *,
        filters: Filters = NO_FILTERS,
        mode: Mode = Mode.HYBRID,
        relevant: bool = False,
        min_score: float | None = None,
        fold: bool = False,
        raw: bool = False,
        weak: bool = True,
    ) -> list[Result]:
        """The `count` files that fit a query best, best first.

        Args:
            query: A text is one term, whatever is in it; see :func:`nmm.index.query.parse`.
            count: Results at most.
            kinds: What to look among.
            filters: Which files to look among.
            mode: What ranks them. A query without words is ranked by meaning alone.
            relevant: Leave out what is weak.
            min_score: Leave out what scores less.
            fold: Let nearly equal files be one result.
            raw: See :meth:`.encoders.registry.Model.prompt`.
            weak: Say of each whether it is weak, for which more has to be read.

        Raises:
            UsageError: The query is empty, cannot be embedded (see :mod:`.query_vector`), or is
                to be found by words and has none; a filter makes no sense; or `min_score` is
                no number.
            ModelError: The model of the index is not on this machine, or has other weights.
        """
        asked = query if isinstance(query, Query) else Query((Term(text=query),), query)
        _check(asked, mode, min_score)
        where = condition_of(filters)
        weak = weak or relevant
        wanted = Wanted(count, kinds, where, asked.without, relevant, min_score, fold, weak)
        while True:
            by_words = mode is not Mode.SEMANTIC and not self.wordless
            by_meaning = mode is not Mode.KEYWORD or self.wordless
            vector = self._embed(asked, raw=raw) if by_meaning else None
            words = words_of(asked.words) if by_words else ()
            with self._catalog.snapshot():
                settings = self._catalog.settings() or self._settings
                if settings == self._settings:
                    try:
                        return self._answer(asked, vector, words, wanted)
                    except CatalogError:
                        if not words:
                            raise
                        self.wordless = True  # if they are not to blame, it is raised again
                        continue
            # It was rebuilt since it was opened, or since the last query.
            self._settings = settings
            self._loaded = None
            self._neutral = None
            self._ahead = {}
            self._nearest.forget()
            self._relevance.forget()

    def _embedder(self, raw: bool) -> QueryEmbedder:
        ahead = self._ahead.get(raw, {})
        return QueryEmbedder(lambda: self._encoder, self._settings, self._catalog, ahead)

    def _embed(self, query: Query, *, raw: bool) -> NDArray[np.float32]:
        """The vector of a query, shape (dimension,)."""
        with span("query embedded"):
            return self._embedder(raw).embed(query, raw=raw)

    def _answer(
        self,
        query: Query,
        vector: NDArray[np.float32] | None,
        words: Sequence[str],
        wanted: Wanted,
    ) -> list[Result]:
        """Results by meaning, if there is a vector, and by words, if there are any."""
        candidates = 2 * wanted.count if wanted.fold else wanted.count
        if vector is not None and not wanted.where:
            for kind in wanted.kinds:
                self._nearest.begin(vector, max(candidates, NEAREST), kind)
        with span("words looked up"):
            found = find_words(
                self._catalog, words, wanted.kinds, wanted.where, some=vector is None
            )
        with span("relevance"):
            standings = self._standings(query, vector, wanted)
        while True:
            with span("ranked"):
                placed = self._place(vector, found, standings, candidates, wanted)
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
                *found.marked(self._catalog, hits[best].path),
            )
            for rank, (best, *copies) in enumerate(kept, 1)
        ]

    def _standings(
        self, query: Query, vector: NDArray[np.float32] | None, wanted: Wanted
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
        vector: NDArray[np.float32] | None,
        words: FoundWords,
        standings: Mapping[Kind, Standing],
        count: int,
        wanted: Wanted,
    ) -> list[Placed]:
        """So many of the best files, by meaning and words together, best first."""
        meant: dict[str, Place] = {}
        if vector is not None:
            depth = max(count, NEAREST) if words.best else count
            with span("nearest"):
                meant = {
                    one.path: one
                    for kind in standings
                    for one in self._nearest.best(vector, depth, kind, wanted.where, wanted.without)
                }
            words.complete(self._catalog, {one.content for one in meant.values()})
        scores = {
            path: (one.kind, standings[one.kind].score(one.score)) for path, one in meant.items()
        }
        ranked = ranking(scores, words, self._catalog.last_file())
        ranked = [path for path in ranked if path not in wanted.without][:count]
        hits = self._read(ranked, meant, words, vector, wanted)
        placed = []
        for path in ranked:
            there = hits.get(path)
            if not there:
                continue  # its vectors are not there, of which nmm doctor tells
            near = meant.get(path)
            nearest = next((hit for hit in there if near and hit.chunk == near.chunk), there[0])
            standing = standings.get(nearest.kind)
            by_words = words.holds_all(path)
            if standing:
                score = standing.score(near.score if near else nearest.score)
                weak = not by_words and standing.is_weak(score)
            else:
                score, weak = words.share(self._catalog, path), False
            shown = [hit for hit in there if hit.chunk == words.passage(path)]
            placed.append(Placed(score, (shown or [nearest])[0], by_words, weak))
        return placed

    def _read(
        self,
        paths: Sequence[str],
        meant: Mapping[str, Place],
        words: FoundWords,
        vector: NDArray[np.float32] | None,
        wanted: Wanted,
    ) -> dict[str, list[Hit]]:
        """What there is to show of files, best first: what is meant, and where the words are.

        Of those that were found by words alone, all places, for any may be the nearest.
        """
        alone = {words.best[path].content for path in paths if path not in meant}
        chunks = {meant[path].chunk for path in paths if path in meant}
        chunks.update(self._catalog.chunks_of(alone), words.passages(paths))
        found: dict[str, list[Hit]] = {}
        for hit in sorted(self._catalog.hits([*chunks], vector, wanted.where), key=order):
            found.setdefault(hit.path, []).append(hit)
        return found

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


def _check(query: Query, mode: Mode, min_score: float | None) -> None:
    check_query(query)
    if mode is Mode.KEYWORD and not query.words.strip():
        raise UsageError(
            "There are no words to look for.", hint="Rank by meaning with: --mode semantic"
        )
    if min_score is not None and math.isnan(min_score):
        raise UsageError(
            "The least score is no number.",
            hint="Scores are about 0 to 3; 1 is where weak ones end: --min-score 1",
        )
