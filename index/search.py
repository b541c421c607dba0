"""A query to results: files ranked by what is meant, and by the words in them, in one order.

By meaning: the query is embedded, and the nearest of each kind are taken. By words: see
:mod:`nmm.index.found_words`. How the rankings become one order: see :mod:`nmm.index.fusion`.

A file stands in the results once, with its passage that fits best. Two files of the same
content are two results of the same score; equal ones are in the order of their paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index import scale
from nmm.index.encoders.registry import Encoder, Task
from nmm.index.encoders.runtime import load_encoder
from nmm.index.errors import CatalogError, NoIndexError, UsageError
from nmm.index.filters import NO_FILTERS, Filters
from nmm.index.found_words import FoundWords, find_words
from nmm.index.fusion import ranking
from nmm.index.model import check, model_of
from nmm.index.query import Mode, Query, Term
from nmm.index.store.catalog import KINDS, Catalog, Hit, Kind, Scale, Segment, Settings
from nmm.index.store.lookup import Span
from nmm.index.store.nearest import NearestVectors
from nmm.index.store.writer import open_for_reading
from nmm.index.words import words_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.backend import Backend
    from nmm.index.store.location import IndexFolder

# Of the nearest of a kind, so many take part in a fused ranking, or as many as are asked for.
NEAREST = 100

# A place, and the score of the file that it is in.
Scored = tuple[float, Hit]


@dataclass(frozen=True, slots=True)
class Result:
    """A file that fits a query.

    Attributes:
        rank: 1 for the best.
        score: How well it fits, on one scale for images and texts: 1 is what one in a
            thousand items reaches that have nothing to do with the query, and 0 what half
            of them reach, see :mod:`nmm.index.scale`. So it is with what was found by its
            words. Where words alone rank, it is the share of them that are there.
        path: Absolute.
        type: What it is.
        lines: Of a text, the first and last line of the passage that fits, from 1.
        text: That passage; of an image, what it says, if it was found by that.
        width, height: Of an image, in pixels, upright.
        spans: Where words of the query stand in `text`, if it was found by them there: the
            first character, and the one after the last.
        by_words: Whether all words of the query are in one of its passages, in its name or in
            what it says as a picture.
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
        self._folder = folder
        self._catalog = catalog
        self._settings = settings
        self._load = load
        self._loaded: Encoder | None = None
        self._nearest: dict[Kind, tuple[tuple[int, list[Segment]], NearestVectors]] = {}
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
        mode: Mode = Mode.HYBRID,
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
            UsageError: The query is empty, or is to be found by words and has none.
            ModelError: The model of the index is not on this machine, or has other weights.
        """
        asked = query if isinstance(query, Query) else Query((Term(text=query),), query)
        _check(asked, mode)
        while True:
            by_words = mode is not Mode.SEMANTIC and not self.wordless
            by_meaning = mode is not Mode.KEYWORD or self.wordless
            vector = self._embed(asked, raw=raw) if by_meaning else None
            words = words_of(asked.words) if by_words else ()
            with self._catalog.snapshot():
                settings = self._catalog.settings() or self._settings
                if settings == self._settings:
                    try:
                        return self._answer(vector, words, count, kinds)
                    except CatalogError:
                        if not words:
                            raise
                        self.wordless = True  # if they are not to blame, it is raised again
                        continue
            # It was rebuilt since it was opened, or since the last query.
            self._settings = settings
            self._loaded = None
            self._nearest.clear()
            self._neutral = None

    def _embed(self, query: Query, *, raw: bool) -> NDArray[np.float32]:
        """The vector of a query, shape (dimension,)."""
        vectors = self._encoder.embed_texts([query.words], Task.QUERY, raw=raw)
        vector: NDArray[np.float32] = vectors[0]
        return vector

    def _answer(
        self,
        vector: NDArray[np.float32] | None,
        words: Sequence[str],
        count: int,
        kinds: Sequence[Kind],
    ) -> list[Result]:
        """Results by meaning, if there is a vector, and by words, if there are any."""
        found = find_words(self._catalog, words, kinds, some=vector is None)
        meant: dict[str, Scored] = {}
        if vector is not None:
            meant = self._find_meant(vector, max(count, NEAREST) if found.best else count, kinds)
            found.complete(self._catalog, {hit.content for _, hit in meant.values()})
        scores = {path: (hit.kind, score) for path, (score, hit) in meant.items()}
        ranked = ranking(scores, found, self._catalog.last_file())
        return self._results(ranked[:count], meant, found, vector)

    def _find_meant(
        self, vector: NDArray[np.float32], count: int, kinds: Sequence[Kind]
    ) -> dict[str, Scored]:
        """The nearest files of each kind, by their paths."""
        found = [scored for kind in kinds for scored in self._find_kind(vector, count, kind)]
        return {hit.path: (score, hit) for score, hit in found}

    def _find_kind(self, query: NDArray[np.float32], count: int, kind: Kind) -> list[Scored]:
        """The best files of a kind, each with its score."""
        measured = self._scale(kind)
        if measured is None:
            return []
        return [(_score(hit, measured), hit) for hit in self._best_files(query, count, kind)]

    def _results(
        self,
        ranked: Sequence[str],
        meant: Mapping[str, Scored],
        words: FoundWords,
        vector: NDArray[np.float32] | None,
    ) -> list[Result]:
        """Results of files, by their paths, in that order."""
        alone = {words.best[path].content for path in ranked if path not in meant}
        chunks = {*self._catalog.chunks_of(alone), *words.passages(ranked)}
        places: dict[str, list[Hit]] = {}
        for hit in sorted(self._catalog.hits([*chunks], vector), key=_order):
            places.setdefault(hit.path, []).append(hit)
        scales = {kind: self._scale(kind) for kind in KINDS} if alone and vector is not None else {}
        results: list[Result] = []
        for path in ranked:
            if path in meant:
                score, hit = meant[path]
            elif path in places:
                hit = places[path][0]
                measured = scales.get(hit.kind)
                score = _score(hit, measured) if measured else words.share(self._catalog, path)
            else:
                continue  # its vectors are not there, of which nmm doctor tells
            passage = words.passage(path)
            hit = next((place for place in places.get(path, ()) if place.chunk == passage), hit)
            text, spans = words.marked(self._catalog, path)
            by_words = words.holds_all(path)
            results.append(_result(len(results) + 1, score, hit, text, spans, by_words=by_words))
        return results

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
        if self._neutral is None:
            self._neutral = self._encoder.embed_texts(scale.NEUTRAL_QUERIES, Task.QUERY)
        return scale.measure(self._catalog, kind, self._neutral)


def _order(hit: Hit) -> tuple[float, str, int]:
    return -hit.score, hit.path, hit.line_start or 0


def _score(hit: Hit, measured: Scale) -> float:
    return (hit.score - measured.centre) / measured.unit


def _check(query: Query, mode: Mode) -> None:
    if not any(term.image or term.text.strip() for term in query.terms):
        raise UsageError("The query is empty.", hint='Say what to look for: nmm search "a cat"')
    if mode is Mode.KEYWORD and not query.words.strip():
        raise UsageError(
            "There are no words to look for.", hint="Rank by meaning with: --mode semantic"
        )


def _result(
    rank: int, score: float, hit: Hit, text: str | None, spans: Sequence[Span], *, by_words: bool
) -> Result:
    lines = None
    if hit.line_start is not None and hit.line_end is not None:
        lines = hit.line_start, hit.line_end
    return Result(
        rank,
        score,
        hit.path,
        hit.kind,
        lines,
        hit.text if text is None else text,
        hit.width,
        hit.height,
        tuple(spans),
        by_words,
    )
