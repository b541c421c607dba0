"""A query to results: files ranked by what is meant, and by the words in them, in one order.

By meaning: the query is embedded, and the nearest of each kind are taken. By words: see
:mod:`nmm.index.search.keyword`. How the rankings become one order: see
:mod:`nmm.index.search.fusion`.
What becomes of a vector and words: see :mod:`nmm.index.search.ranker`. Here an index is opened,
queries are embedded, and what was opened is followed when a rebuild replaces it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from nmm.index import calibration
from nmm.index.calibration import neutral_vectors
from nmm.index.common.numpy_threads import import_numpy_single_threaded
from nmm.index.common.tracing import span
from nmm.index.encoders.base import Encoder, Task
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.encoders.runtime.onnx_encoder import Workload
from nmm.index.errors import CatalogError, NoIndexError, UsageError
from nmm.index.index_model import check, model_of
from nmm.index.search.filters import NO_FILTERS, Emptied, Filters, condition_of, emptied_by
from nmm.index.search.keyword_query import words_of
from nmm.index.search.prefetch import Ahead
from nmm.index.search.query import Mode, Query, Term
from nmm.index.search.query import check as check_query
from nmm.index.search.query_embedding import QueryEmbedder, texts_of
from nmm.index.search.ranker import Answers, Wanted
from nmm.index.search.relevance import Relevance
from nmm.index.search.result import Result
from nmm.index.search.semantic import NearestFiles
from nmm.index.store.catalog.read_cache import States
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS, Kind, Scale, Settings
from nmm.index.store.catalog.writer import open_for_reading

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.backend import Backend
    from nmm.index.store.layout import IndexFolder
    from nmm.index.store.vectors.searcher import PendingSearch


@contextmanager
def open_search(
    folder: IndexFolder,
    *,
    backend: Backend | None = None,
    once: bool = False,
    on_compile: Callable[[], None] = lambda: None,
) -> Iterator[Search]:
    """An index, ready to be searched; nothing is opened before it is needed.

    `once` is for a query or two, see :class:`~nmm.index.encoders.runtime.onnx_encoder.Workload`.

    Raises:
        NoIndexError: There is none, or nothing was ever indexed.
        CatalogError: The catalog cannot be read.
    """
    if once:
        import_numpy_single_threaded()
    with span("catalog opened"):
        catalog = open_for_reading(folder)
    with catalog:
        settings = catalog.settings()
        if settings is None:
            raise NoIndexError(
                f"The index in {folder.path} is empty.", hint="Fill it with: nmm index FOLDER"
            )

        def load(settings: Settings, grouped: bool) -> Encoder:
            workload = (
                Workload.QUERY_BATCH
                if grouped
                else Workload.SINGLE_QUERY
                if once
                else Workload.INTERACTIVE
            )
            encoder = load_encoder(
                model_of(settings), backend=backend, workload=workload, on_compile=on_compile
            )
            check(settings, encoder)
            return encoder

        yield Search(folder, catalog, settings, load)


class Search:
    """An open index. Not for several threads at once.

    Args:
        folder, catalog: The index.
        settings: What it is made with.
        load: The encoder of an index with some settings, which can be others after a rebuild; and
            whether it is for groups of queries.

    Attributes:
        wordless: Whether words could not be looked up, for their tables are damaged. What was
            asked for was ranked by meaning alone then.
    """

    def __init__(
        self,
        folder: IndexFolder,
        catalog: Catalog,
        settings: Settings,
        load: Callable[[Settings, bool], Encoder],
    ) -> None:
        self.wordless = False
        self._catalog = catalog
        self._settings = settings
        self._load = load
        self._loaded: Encoder | None = None
        self._ahead: dict[bool, Ahead] = {}
        self._states = States(catalog)
        self._nearest = NearestFiles(catalog, folder, self._states)
        self._relevance = Relevance(catalog, self._states, self._scale, self._neutral_texts)
        self._answers = Answers(catalog, self._states, self._nearest, self._relevance)
        self._neutral: NDArray[np.float32] | None = None

    @property
    def _encoder(self) -> Encoder:
        """What embeds queries; loaded when something is to be embedded."""
        return self._embeds(grouped=False)

    def _embeds(self, *, grouped: bool) -> Encoder:
        """As :attr:`_encoder`; what it is loaded for first, it is best at."""
        if self._loaded is None:
            self._loaded = self._load(self._settings, grouped)
        return self._loaded

    @property
    def model(self) -> str:
        """The name of the index's model, at the last query."""
        return self._settings.model

    def damaged(self) -> list[str]:
        """Derived files that searches met which are missing, or are not what was written.

        What they were to tell was read from the catalog; the next run of `nmm index`, or
        :func:`nmm.index.maintenance.repair.repair`, writes them again.
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
        """Begin to embed queries that are to be looked for next, in this order.

        Some together, which takes a half of the time or less, and while others are looked for;
        the same vectors come of it, but for the last digits. What was begun before is forgotten.

        Raises:
            ModelError: As of :meth:`find`.
        """
        self._ahead = {}
        if len(queries) > 1 and any(map(texts_of, queries)):
            # Of this thread, which may take another one while the other thread embeds.
            encoder = self._embeds(grouped=True)
            embedder = QueryEmbedder(lambda: encoder, self._settings, self._catalog)
            self._ahead = {raw: Ahead(queries, partial(embedder.embed_texts, raw=raw))}

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
            query: A text is one term, whatever is in it; see :func:`nmm.index.search.query.parse`.
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
        wanted = Wanted(count, kinds, where, relevant, min_score, fold, weak)
        while True:
            by_words = mode is not Mode.SEMANTIC and not self.wordless
            by_meaning = mode is not Mode.KEYWORD or self.wordless
            vector = self._embed(asked, raw=raw) if by_meaning else None
            words = words_of(asked.words) if by_words else ()
            with self._catalog.snapshot():
                settings = self._states.read().settings or self._settings
                if settings == self._settings:
                    pending: Mapping[Kind, PendingSearch] = {}
                    if vector is not None:
                        submit = partial(self._answers.submit, wanted=wanted)
                        if raw in self._ahead:
                            pending = self._ahead[raw].pending(asked, vector, submit)
                        else:
                            (pending,) = submit([vector])
                    try:
                        return self._answers.answer(asked, vector, words, wanted, pending)
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

    def _embed(self, query: Query, *, raw: bool) -> NDArray[np.float32]:
        """The vector of a query, shape (dimension,)."""
        with span("query embedded"):
            ahead = self._ahead[raw].of(query) if raw in self._ahead else {}
            embedder = QueryEmbedder(lambda: self._encoder, self._settings, self._catalog, ahead)
            return embedder.embed(query, raw=raw)

    def _scale(self, kind: Kind) -> Scale | None:
        """The kept scale; measured now if the first run was cut short before it was."""
        if kept := self._states.last.scales[kind]:
            return kept
        if not self._catalog.vector_count(kind):
            return None
        return calibration.measure(self._catalog, kind, self._neutral_texts())

    def _neutral_texts(self) -> NDArray[np.float32]:
        if self._neutral is None:
            self._neutral = neutral_vectors(self._encoder)
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
