"""Prefetch of query embeddings: the next group is embedded while the present one is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

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

    def following(self, position: int) -> list[Vector]:
        """Return the vectors of the requests after one, in their order, as far as they are ready.

        Only requests that are ranked in the same way and whose vector is that of their one text
        are considered, so that all can be compared with the index together.
        """
        request = self._requests[position]
        known = [self._vectors]
        if self._pending.done() and not self._pending.exception():
            known.append(self._pending.result())
        found = []
        for other in self._requests[position + 1 : (self._group + 2) * GROUP]:
            if _is_one_text(other) and _is_ranked_alike(request, other):
                text = other.query.terms[0].text
                tables = (vectors.get(other.raw_prompt, {}) for vectors in known)
                found += [table[text] for table in tables if text in table][:1]
        return found

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
