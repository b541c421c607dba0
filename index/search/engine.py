"""Search an index: embed a query, rank files by meaning and by keywords, return results.

The vector index finds the nearest items. :mod:`nmm.index.search.keyword` finds the files with the
query's words, :mod:`nmm.index.search.fusion` fuses both rankings, and
:mod:`nmm.index.search.ranker` builds the results. This module opens an index, embeds queries, and
reloads the model if a rebuild replaces it.
"""

from __future__ import annotations

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
from nmm.index.errors import CatalogError, NoIndexError
from nmm.index.index_model import check, model_of
from nmm.index.search.filters import NO_FILTERS, EmptyFilter, explain_empty
from nmm.index.search.keyword_query import keywords_of
from nmm.index.search.prefetch import QueryPrefetcher
from nmm.index.search.query import SearchMode
from nmm.index.search.query_embedding import QueryEmbedder, texts_of
from nmm.index.search.ranker import Ranker, RankingOptions
from nmm.index.search.relevance import Relevance
from nmm.index.search.request import SearchRequest
from nmm.index.search.response import (
    IndexDamaged,
    KeywordsUnavailable,
    SearchResponse,
    SearchWarning,
)
from nmm.index.search.semantic import NearestFiles
from nmm.index.store.catalog.read_cache import CatalogStateCache
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import Calibration, Kind, Settings
from nmm.index.store.catalog.writer import open_for_reading

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.backend import Backend
    from nmm.index.search.result import SearchResult
    from nmm.index.store.layout import IndexFolder
    from nmm.index.store.vectors.base import PendingSearch


@contextmanager
def open_search(
    folder: IndexFolder,
    *,
    backend: Backend | None = None,
    once: bool = False,
    on_compile: Callable[[], None] = lambda: None,
) -> Iterator[SearchEngine]:
    """Open an index for searches. Models and vectors are loaded when they are first needed.

    Args:
        folder: The index.
        backend: The device and precision of the model.
        once: Whether there will be only one or two queries, see
            :class:`~nmm.index.encoders.runtime.onnx_encoder.Workload`.
        on_compile: Called before a model is compiled for this machine.

    Raises:
        NoIndexError: There is no index, or nothing was ever indexed.
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
                f"The index in {folder.path} is empty.", code="index-empty", path=folder.path
            )

        def load(settings: Settings, grouped: bool) -> Encoder:
            single = Workload.SINGLE_QUERY if once else Workload.INTERACTIVE
            workload = Workload.QUERY_BATCH if grouped else single
            encoder = load_encoder(
                model_of(settings), backend=backend, workload=workload, on_compile=on_compile
            )
            check(settings, encoder)
            return encoder

        yield SearchEngine(folder, catalog, settings, load)


class SearchEngine:
    """Answers search requests from an open index. Not safe for use by several threads at once.

    Args:
        folder, catalog: The index.
        settings: Its settings when it was opened.
        load: Loads the encoder for settings, which a rebuild can change. The second argument is
            whether queries come in groups.
    """

    def __init__(
        self,
        folder: IndexFolder,
        catalog: Catalog,
        settings: Settings,
        load: Callable[[Settings, bool], Encoder],
    ) -> None:
        self._catalog = catalog
        self._settings = settings
        self._load = load
        self._loaded: Encoder | None = None
        self._keywords_damaged = False
        self._states = CatalogStateCache(catalog)
        self._nearest = NearestFiles(catalog, folder, self._states)
        self._relevance = Relevance(
            catalog, self._states, self._calibration_of, self._neutral_texts
        )
        self._ranker = Ranker(catalog, self._states, self._nearest, self._relevance)
        self._neutral: NDArray[np.float32] | None = None
        self._explained: tuple[object, Sequence[EmptyFilter]] = None, ()

    @property
    def model(self) -> str:
        """The name of the index's model, as of the last request."""
        return self._settings.model

    def prompt(self, text: str, *, raw: bool = False) -> str:
        """Return the text that the model reads for a query text: with the model's prefix."""
        return model_of(self._settings).prompt(text, Task.QUERY, raw=raw)

    def search(self, request: SearchRequest) -> SearchResponse:
        """Answer a request.

        Raises:
            UsageError: The query cannot be embedded, see :mod:`.query_embedding`.
            ModelError: The model of the index is not on this machine, or has other weights.
            CatalogError: The catalog cannot be read.
        """
        return self._answer(request, None, 0)

    def search_many(self, requests: Sequence[SearchRequest]) -> Iterator[SearchResponse]:
        """Answer requests in their order, each when the iterator reaches it.

        Queries are embedded in groups, and the next group is prefetched while the current one is
        answered. This takes half the time or less. The vectors differ from those of single queries
        in the last digits only.

        Raises:
            NmmError: See :meth:`search`.
        """
        prefetcher = self._prefetcher(requests)
        for position, request in enumerate(requests):
            yield self._answer(request, prefetcher, position)

    def _prefetcher(self, requests: Sequence[SearchRequest]) -> QueryPrefetcher | None:
        embedded = [one for one in requests if one.mode is not SearchMode.KEYWORD]
        if len(requests) < 2 or not any(texts_of(one.query) for one in embedded):
            return None
        # Bound here, because this thread may load another encoder while the other thread embeds.
        encoder, settings = self._encoder(grouped=True), self._settings
        embedder = QueryEmbedder(lambda: encoder, settings, self._catalog)
        return QueryPrefetcher(requests, settings, partial(_embed_texts, embedder))

    def _answer(
        self, request: SearchRequest, prefetcher: QueryPrefetcher | None, position: int
    ) -> SearchResponse:
        """Answer a request. Its position is that among the requests of the prefetcher, if any."""
        options = RankingOptions.of(request)
        while True:
            if prefetcher and prefetcher.settings != self._settings:
                prefetcher = None  # its vectors come from another model
            keywords = self._keywords(request)
            by_meaning = request.mode is not SearchMode.KEYWORD or self._keywords_damaged
            vector = self._embed(request, prefetcher, position) if by_meaning else None
            with self._catalog.snapshot():
                settings = self._states.read().settings or self._settings
                if settings == self._settings:
                    pending: Mapping[Kind, PendingSearch] = {}
                    if vector is not None:
                        submit = partial(self._ranker.submit, options=options)
                        if prefetcher:
                            pending = prefetcher.pending(position, vector, submit)
                        else:
                            (pending,) = submit([vector])
                    try:
                        results = self._ranker.rank(
                            request.query,
                            vector=vector,
                            keywords=keywords,
                            options=options,
                            pending=pending,
                        )
                    except CatalogError:
                        if not keywords:
                            raise
                        self._keywords_damaged = True  # another cause raises it again
                        continue
                    empty = () if results else self._explain_empty(request)
                    break
            # The index was rebuilt since it was opened, or since the last query.
            self._forget(settings)
        return self._response(request, results, empty)

    def _response(
        self,
        request: SearchRequest,
        results: Sequence[SearchResult],
        empty: Sequence[EmptyFilter],
    ) -> SearchResponse:
        warnings: list[SearchWarning] = []
        if damaged := self._nearest.damaged():
            warnings.append(IndexDamaged(tuple(damaged)))
        if self._keywords_damaged and self._wants_keywords(request):
            warnings.append(KeywordsUnavailable())
        return SearchResponse(
            request=request,
            model=self._settings.model,
            results=tuple(results),
            warnings=tuple(warnings),
            empty_because=tuple(empty),
        )

    def _wants_keywords(self, request: SearchRequest) -> bool:
        return request.mode is not SearchMode.SEMANTIC and bool(keywords_of(request.query.words))

    def _keywords(self, request: SearchRequest) -> tuple[str, ...]:
        """Return the words and phrases for keyword search."""
        if request.mode is SearchMode.SEMANTIC or self._keywords_damaged:
            return ()
        return keywords_of(request.query.words)

    def _explain_empty(self, request: SearchRequest) -> Sequence[EmptyFilter]:
        """Return which filters exclude every file; cached for requests with the same filters."""
        if request.filters == NO_FILTERS:
            return ()
        key = self._states.last.version, request.filters, request.media
        known, explained = self._explained
        if known != key:
            explained = explain_empty(self._catalog, request.filters, request.kinds)
            self._explained = key, explained
        return explained

    def _forget(self, settings: Settings) -> None:
        """Drop all that depends on the model, because the index was rebuilt with other settings."""
        self._settings = settings
        self._loaded = None
        self._neutral = None
        self._relevance.forget()

    def _encoder(self, *, grouped: bool = False) -> Encoder:
        """Return the encoder for queries. The first call decides the workload it is loaded for."""
        if self._loaded is None:
            self._loaded = self._load(self._settings, grouped)
        return self._loaded

    def _embed(
        self, request: SearchRequest, prefetcher: QueryPrefetcher | None, position: int
    ) -> NDArray[np.float32]:
        """Return the vector of a query, shape (dimension,)."""
        with span("query embedded"):
            known = prefetcher.vectors(position) if prefetcher else {}
            embedder = QueryEmbedder(self._encoder, self._settings, self._catalog, known)
            return embedder.embed(request.query, raw=request.raw_prompt)

    def _calibration_of(self, kind: Kind) -> Calibration | None:
        """Return the stored calibration; measure it if indexing ended before that."""
        if stored := self._states.last.calibrations[kind]:
            return stored
        if not self._catalog.vector_count(kind):
            return None
        return calibration.measure(self._catalog, kind, self._neutral_texts())

    def _neutral_texts(self) -> NDArray[np.float32]:
        if self._neutral is None:
            self._neutral = neutral_vectors(self._encoder())
        return self._neutral


def _embed_texts(
    embedder: QueryEmbedder, requests: Sequence[SearchRequest]
) -> dict[bool, dict[str, NDArray[np.float32]]]:
    """Return the vectors of all texts in requests that are ranked by meaning."""
    found = {}
    for raw in (False, True):
        queries = [
            request.query
            for request in requests
            if request.raw_prompt is raw and request.mode is not SearchMode.KEYWORD
        ]
        found[raw] = embedder.embed_texts(queries, raw=raw)
    return found
