"""The vector index: finds chunks by the inner products of their vectors with a query.

Everything in it is derived from the catalog and can be rebuilt from it. Candidates are scored again
from the catalog's own vectors before anything is shown, so an index that misses a vector costs
recall, and never shows a wrong score.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.types import Kind
    from nmm.index.store.catalog.writer import CatalogWriter
    from nmm.index.store.layout import IndexFolder

    ChunkIds: TypeAlias = NDArray[np.int64]
    Vector: TypeAlias = NDArray[np.float32]


class Candidates(NamedTuple):
    """Chunks, best first, equal ones by id.

    Attributes:
        ids: Of chunks, shape (n,).
        scores: Their inner products with the query, shape (n,).
    """

    ids: ChunkIds
    scores: Vector


@dataclass(eq=False)
class PendingSearch:
    """A query that was submitted. Search with it, and the work that was begun for it is used.

    It costs nothing more if it is never searched with.

    Attributes:
        query: Shape (dimension,), of unit length.
        limit: Candidates at most; a search for more starts anew.
    """

    query: Vector
    limit: int


class Verification(NamedTuple):
    """What :meth:`VectorIndex.verify` found.

    Attributes:
        parts: How many parts the index has; 0 if the catalog alone is searched.
        problems: By the name of a part, its problem; empty if all parts are sound.
    """

    parts: int
    problems: dict[str, str]


class VectorIndex(Protocol):
    """Searches the vectors of one catalog, and follows what is written to it.

    Methods that change the index need the writer of its catalog, which holds the lock.

    Raises:
        CatalogError: From every method, if the catalog cannot be read or written.
    """

    def search(
        self,
        query: Vector | PendingSearch,
        limit: int,
        kind: Kind,
        *,
        among: ChunkIds | None = None,
    ) -> Candidates:
        """Return the chunks of a kind with the greatest inner products.

        Args:
            query: Shape (dimension,), of unit length; or its handle from :meth:`submit`.
            limit: Candidates at most. Chunks that were removed from the catalog since the last
                :meth:`sync` may be among them. There are fewer only if there are no more.
            kind: Which vectors to search.
            among: Ids of the chunks of that kind to search, if not all.
        """

    def submit(self, queries: Sequence[Vector], limit: int, kind: Kind) -> Sequence[PendingSearch]:
        """Begin to search for queries that :meth:`search` will be called with, without `among`.

        Args:
            queries: In the order in which they will be searched with.
            limit: Candidates of each.
            kind: Which vectors to search.

        Returns:
            A handle for each query, in order.
        """

    def damaged(self) -> list[str]:
        """Return the names of the parts that searches found missing or damaged.

        Their vectors are read from the catalog until :meth:`repair` writes them again.
        """

    def sync(self, writer: CatalogWriter, *, compact: bool = False) -> None:
        """Bring the index up to date with its catalog; `compact` makes it as small as it can be.

        Raises:
            CatalogError: The index cannot be written, too.
        """

    def background(self, writer: CatalogWriter) -> AbstractContextManager[Callable[[int], None]]:
        """Follow a catalog that grows, in another thread.

        Yields a function to call between batches with the number of vectors that were added.
        """

    def verify(self, catalog: Catalog) -> Verification:
        """Compare the index with its catalog thoroughly."""

    def leftovers(self, catalog: Catalog) -> list[str]:
        """Return the names of files that belong to no part, as a crash can leave them.

        :meth:`sync` deletes them.
        """

    def repair(self, writer: CatalogWriter, problems: Collection[str] = ()) -> None:
        """Write the parts again that are not sound, and those that are named."""

    def adopt(self, rebuilt: IndexFolder) -> None:
        """Take over the files of an index that was rebuilt in another folder.

        They are used once the catalog of that index replaces the present one.

        Raises:
            CatalogError: A file cannot be moved; both indexes are as they were.
        """

    def drop(self, writer: CatalogWriter) -> None:
        """Delete the index; searches read the catalog until the next :meth:`sync`."""
