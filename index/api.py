"""The Python interface: one object for an index on disk.

::

    from nmm.index import Index

    with Index("photos.nmm") as index:
        index.add("photos", "notes", model="mini")
        for result in index.search("cute animals", limit=3).results:
            print(f"{result.score:.2f}  {result.path}")

Everything else in the engine can be used as well; this is the short way to the main parts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from nmm.index.search.query import Query, SearchMode, Term
from nmm.index.search.request import SearchRequest
from nmm.index.store.layout import index_folder

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from nmm.index.encoders.backend import Backend
    from nmm.index.events import Event, Summary
    from nmm.index.indexing.indexer import LoadedModels
    from nmm.index.indexing.options import IndexOptions
    from nmm.index.maintenance.status import Status
    from nmm.index.search.engine import SearchEngine
    from nmm.index.search.filters import Filters
    from nmm.index.search.response import SearchResponse
    from nmm.index.store.catalog.types import Kind


class SearchFields(TypedDict, total=False):
    """Fields of a :class:`~nmm.index.search.request.SearchRequest`, given as keywords."""

    limit: int
    media: frozenset[Kind]
    filters: Filters
    mode: SearchMode
    drop_weak: bool
    min_score: float | None
    collapse_duplicates: bool
    raw_prompt: bool
    mark_weak: bool


class Index:
    """An index of images and texts on disk.

    Nothing is opened before it is needed, and models stay loaded until :meth:`close`. Not safe for
    use by several threads at once; each thread can open an index of its own.

    Args:
        path: The folder of the index. None: ``NMM_INDEX``, or the user's data directory, as for
            the command line.
        backend: The device, number of threads and precision of models. None: chosen for this
            machine.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, backend: Backend | None = None
    ) -> None:
        self._folder = index_folder(None if path is None else Path(path))
        self._backend = backend
        self._models: LoadedModels | None = None
        self._engine: SearchEngine | None = None
        self._open = ExitStack()

    @property
    def path(self) -> Path:
        """The folder of the index."""
        return self._folder.path

    def add(
        self,
        *paths: str | os.PathLike[str],
        model: str | None = None,
        offline: bool = False,
        options: IndexOptions | None = None,
        on_event: Callable[[Event], None] = lambda _: None,
    ) -> Summary:
        """Index files and folders, or bring their index up to date.

        Args:
            paths: Files and folders. Without any, all folders that were added before.
            model: The model of a new index, such as ``"mini"``. None: the default model, or the
                built-in one if the hub cannot be reached.
            offline: Download nothing.
            options: Which files are read, and how.
            on_event: Called with progress, see :mod:`nmm.index.events`. Counts come from another
                thread.

        Raises:
            UsageError: A path does not exist, or the index has another model.
            ModelError: The model is unknown, or cannot be downloaded or used.
            IndexLockedError: Another process writes to the index.
            CatalogError: The catalog cannot be read or written.
        """
        from nmm.index.indexing.indexer import LoadedModels, build

        self._models = self._models or LoadedModels()
        return build(
            [Path(path) for path in paths],
            self._folder,
            model=model,
            offline=offline,
            backend=self._backend,
            options=options,
            on_event=on_event,
            models=self._models,
        )

    def remove(self, *paths: str | os.PathLike[str]) -> int:
        """Remove files and folders from the index, and return the number of files removed.

        Nothing on disk changes.

        Raises:
            NoIndexError: There is no index.
            UsageError: The index holds nothing at one of the paths.
            IndexLockedError: Another process writes to the index.
            CatalogError: The catalog cannot be read or written.
        """
        from nmm.index.maintenance.remove import remove

        return remove([Path(path) for path in paths], self._folder)

    def search(
        self, query: str | Query | SearchRequest, **fields: Unpack[SearchFields]
    ) -> SearchResponse:
        """Search the index.

        Args:
            query: A text, which is searched for as it is; a query with several terms, such as
                :func:`nmm.index.search.query_syntax.parse` returns; or a whole request.
            fields: Fields of the request, in place of those that `query` has.

        Raises:
            NoIndexError: There is no index, or it is empty.
            UsageError: A value makes no sense.
            ModelError: The model of the index is not on this machine.
            CatalogError: The catalog cannot be read.
        """
        return self._search().search(_request(query, fields))

    def search_many(
        self, queries: Iterable[str | Query | SearchRequest], **fields: Unpack[SearchFields]
    ) -> Iterator[SearchResponse]:
        """Yield the response to each query, in order.

        Queries are embedded in groups, which takes half the time or less.

        Raises:
            NmmError: See :meth:`search`.
        """
        yield from self._search().search_many([_request(query, fields) for query in queries])

    def status(self) -> Status:
        """Return what the index holds, in numbers.

        Raises:
            NoIndexError: There is no index.
            CatalogError: The catalog cannot be read.
        """
        from nmm.index.maintenance.status import status

        return status(self._folder)

    def close(self) -> None:
        """Close the index and free its models. It opens again when it is used again."""
        self._engine = None
        self._models = None
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _search(self) -> SearchEngine:
        from nmm.index.search.engine import open_search

        if self._engine is None:
            opening = open_search(self._folder, backend=self._backend)
            self._engine = self._open.enter_context(opening)
        return self._engine


def _request(query: str | Query | SearchRequest, fields: SearchFields) -> SearchRequest:
    if isinstance(query, SearchRequest):
        return replace(query, **fields)
    if isinstance(query, str):
        query = Query((Term(text=query),), query)
    return SearchRequest(query=query, **fields)
