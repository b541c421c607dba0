"""Queries that wait, embedded in groups: one in a thread, while that before it is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.search.query import Query

    Vector = NDArray[np.float32]
    Vectors = Mapping[str, Vector]

Pending = TypeVar("Pending")

# Queries that are embedded together, and compared with all vectors together: of more, each takes
# hardly less, and the first of them waits for its answer longer.
GROUP = 32


@cache
def _thread() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1, thread_name_prefix="nmm-ahead")


class Ahead:
    """The vectors of the texts in some queries, for who asks for them in the order of these.

    Args:
        queries: Those to come.
        embed: Makes the vectors of all texts in some queries, by text; called in a thread.
    """

    def __init__(
        self, queries: Sequence[Query], embed: Callable[[Sequence[Query]], Vectors]
    ) -> None:
        self._queries = queries
        self._embed = embed
        self._place = {id(query): place for place, query in enumerate(queries)}
        self._group = -1
        self._vectors: Vectors = {}
        self._pending: dict[int, object] = {}
        self._underway = self._begin(0)

    def of(self, query: Query) -> Vectors:
        """The vectors of the texts in one of the queries, and in others; none for another query.

        Raises:
            ModelError: From `embed`.
        """
        place = self._place.get(id(query))
        if place is None:
            return {}
        while self._group < place // GROUP:
            self._vectors = self._underway.result()
            self._group += 1
            self._underway = self._begin(self._group + 1)
        return self._vectors

    def pending(
        self, query: Query, vector: Vector, submit: Callable[[Sequence[Vector]], Sequence[Pending]]
    ) -> Pending:
        """Return what `submit` returned for a query, and submit those after it that are embedded.

        Args:
            query: The query that is answered next.
            vector: Its vector.
            submit: Returns a handle for each vector, in order; see :meth:`.NearestFiles.submit`.
        """
        place = self._place.get(id(query))
        if place is None:
            return submit([vector])[0]
        wanted = {place: vector, **dict(self._after(place))}
        wanted = {place: vector for place, vector in wanted.items() if place not in self._pending}
        if wanted:
            self._pending.update(zip(wanted, submit([*wanted.values()]), strict=True))
        return cast("Pending", self._pending[place])

    def _after(self, place: int) -> Iterator[tuple[int, Vector]]:
        """The vectors of the queries that follow one, and their places, as far as they are there.

        Of those that are one text, whose vector is that of the query.
        """
        known = self._vectors
        if self._underway.done() and not self._underway.exception():
            known = {**self._underway.result(), **known}
        following = self._queries[place + 1 : (self._group + 2) * GROUP]
        for later, one in enumerate(following, place + 1):
            if _is_text(one) and one.terms[0].text in known:
                yield later, known[one.terms[0].text]

    def _begin(self, group: int) -> Future[Vectors]:
        return _thread().submit(self._embed, self._queries[group * GROUP : (group + 1) * GROUP])


def _is_text(query: Query) -> bool:
    """Whether a query's vector is that of its one text."""
    return len(query.terms) == 1 and query.terms[0].weight > 0
