"""Prefetch of query embeddings: the next group is embedded while the present one is answered."""

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
    # By whether the prompt was raw, the vectors of texts.
    TextVectors = Mapping[bool, Mapping[str, Vector]]

_Pending = TypeVar("_Pending")

# Queries that are embedded together and whose vectors are compared together. In larger groups a
# query is hardly cheaper, and the first waits longer for its answer.
GROUP = 32


@cache
def _thread() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1, thread_name_prefix="nmm-prefetch")


class QueryPrefetcher:
    """Embeds the texts of requests in groups, in a thread, ahead of the answers.

    Args:
        requests: In the order in which they are answered.
        settings: The index's, for which the vectors are made.
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
        """Return the vectors of the texts in one request, by text, and those of others.

        Raises:
            ModelError: From `embed`.
        """
        while self._group < position // GROUP:
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
        """Return what `submit` returned for a request; submit the ones after it that are embedded.

        Args:
            position: Of the request that is answered next.
            vector: Its vector.
            submit: Returns a handle for each vector, in order; see :meth:`.Ranker.submit`.
        """
        ready = {position: vector, **dict(self._following(position))}
        new = {place: each for place, each in ready.items() if place not in self._submitted}
        if new:
            self._submitted.update(zip(new, submit([*new.values()]), strict=True))
        return cast("_Pending", self._submitted.pop(position))

    def _following(self, position: int) -> Iterator[tuple[int, Vector]]:
        """Yield the positions and vectors of the requests after one, as far as they are ready.

        Only requests that are ranked in the same way and whose vector is that of their one text
        are considered, so that all can be compared with the index together.
        """
        request = self._requests[position]
        known = [self._vectors]
        if self._pending.done() and not self._pending.exception():
            known.append(self._pending.result())
        following = self._requests[position + 1 : (self._group + 2) * GROUP]
        for place, other in enumerate(following, position + 1):
            if _is_one_text(other) and _is_ranked_alike(request, other):
                text = other.query.terms[0].text
                tables = (vectors.get(other.raw_prompt, {}) for vectors in known)
                yield from [(place, table[text]) for table in tables if text in table][:1]

    def _submit(self, group: int) -> Future[TextVectors]:
        return _thread().submit(self._embed, self._requests[group * GROUP : (group + 1) * GROUP])


def _is_one_text(request: SearchRequest) -> bool:
    """Return whether a request's vector is that of its one text."""
    terms = request.query.terms
    return request.mode is not SearchMode.KEYWORD and len(terms) == 1 and terms[0].weight > 0


def _is_ranked_alike(one: SearchRequest, other: SearchRequest) -> bool:
    return (one.media, one.limit, one.collapse_duplicates, one.filters) == (
        other.media,
        other.limit,
        other.collapse_duplicates,
        other.filters,
    )
