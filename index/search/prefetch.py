"""Prefetch query embeddings: embed the next group while the current one is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeVar, cast

from nmm.index.search.query import SearchMode

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.search.request import SearchRequest
    from nmm.index.store.catalog.types import Settings

    Vector = NDArray[np.float32]
    # Vectors by text, for raw prompts and for others.
    TextVectors = Mapping[bool, Mapping[str, Vector]]

_Pending = TypeVar("_Pending")

# Number of queries that are embedded and searched together. Larger groups hardly save time per
# query, and the first query waits longer for its answer.
GROUP_SIZE = 32


@cache
def _thread() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1, thread_name_prefix="nmm-prefetch")


class QueryPrefetcher:
    """Embeds the texts of requests in groups, in a thread, before they are needed.

    Args:
        requests: In the order in which they are answered.
        settings: The index's settings, which determine the vectors.
        embed: Returns the vectors of all texts in some requests. Runs in a thread.

    Attributes:
        settings: See above.
    """

    def __init__(
        self,
        requests: Sequence[SearchRequest],
        settings: Settings,
        embed: Callable[[Sequence[SearchRequest]], TextVectors],
    ) -> None:
        self.settings = settings
        self._requests = requests
        self._embed = embed
        self._group = -1
        self._vectors: TextVectors = {}
        self._submitted: dict[int, object] = {}
        self._pending = self._submit(0)

    def vectors(self, position: int) -> Mapping[str, Vector]:
        """Return vectors by text, with those of all texts in the request at `position`.

        Raises:
            ModelError: From `embed`.
        """
        while self._group < position // GROUP_SIZE:
            self._vectors = self._pending.result()
            self._group += 1
            self._pending = self._submit(self._group + 1)
        return self._vectors.get(self._requests[position].raw_prompt, {})

    def pending(
        self,
        position: int,
        vector: Vector,
        submit: Callable[[Sequence[Vector]], Sequence[_Pending]],
    ) -> _Pending:
        """Return the handle of a request; submit the following requests that are embedded.

        Args:
            position: The position of the request that is answered next.
            vector: Its vector.
            submit: Returns a handle for each vector, in order; see :meth:`.Ranker.submit`.
        """
        ready = {position: vector, **dict(self._following(position))}
        new = {place: each for place, each in ready.items() if place not in self._submitted}
        if new:
            self._submitted.update(zip(new, submit([*new.values()]), strict=True))
        return cast("_Pending", self._submitted.pop(position))

    def _following(self, position: int) -> Iterator[tuple[int, Vector]]:
        """Yield the positions and vectors of the following requests that are embedded.

        Only requests with the same ranking options and with one text are considered, so that all
        can be searched together.
        """
        request = self._requests[position]
        known = [self._vectors]
        if self._pending.done() and not self._pending.exception():
            known.append(self._pending.result())
        following = self._requests[position + 1 : (self._group + 2) * GROUP_SIZE]
        for place, other in enumerate(following, position + 1):
            if _is_one_text(other) and _has_same_ranking(request, other):
                text = other.query.terms[0].text
                tables = (vectors.get(other.raw_prompt, {}) for vectors in known)
                yield from [(place, table[text]) for table in tables if text in table][:1]

    def _submit(self, group: int) -> Future[TextVectors]:
        return _thread().submit(
            self._embed, self._requests[group * GROUP_SIZE : (group + 1) * GROUP_SIZE]
        )


def _is_one_text(request: SearchRequest) -> bool:
    """Return whether the vector of a request is that of a single text."""
    terms = request.query.terms
    return request.mode is not SearchMode.KEYWORD and len(terms) == 1 and terms[0].weight > 0


def _has_same_ranking(one: SearchRequest, other: SearchRequest) -> bool:
    return (one.media, one.limit, one.collapse_duplicates, one.filters) == (
        other.media,
        other.limit,
        other.collapse_duplicates,
        other.filters,
    )
