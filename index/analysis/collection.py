"""The files of an index that pass filters, with one vector each, ready to be analysed.

Nothing is embedded and no file is read. The vector of an image file is that of its image; the
vector of a text file is the mean of those of its passages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from nmm.index.common.tracing import span
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.encoders.runtime.onnx_encoder import Workload
from nmm.index.errors import NoIndexError
from nmm.index.index_model import check, model_of
from nmm.index.search.filters import NO_FILTERS, Emptied, Filters, condition_of, emptied_by
from nmm.index.store.catalog.file_vectors import Item, content_vectors, items
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS, Kind, Settings
from nmm.index.store.catalog.writer import open_for_reading

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.backend import Backend
    from nmm.index.encoders.base import Encoder
    from nmm.index.store.layout import IndexFolder


@dataclass(frozen=True)
class FileCollection:
    """The files of an index that pass filters.

    Attributes:
        files: Sorted by path.
        vectors: One normalised vector per content, shape (contents, dimension).
        rows: The row of each file's content in `vectors`, shape (files,). Files with the same
            content share a row.
        model: The name of the index's model.
        emptied: The filters that excluded every file, if there are no files.
        catalog: Open for further queries.
    """

    files: list[Item]
    vectors: NDArray[np.float32]
    rows: NDArray[np.int64]
    model: str
    emptied: list[Emptied]
    catalog: Catalog
    _load: Callable[[], Encoder] = field(repr=False)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder of the index's model, loaded on first use.

        Raises:
            ModelError: The model of the index is not on this machine, or its weights differ.
        """
        return self._load()

    @cached_property
    def kinds(self) -> list[Kind]:
        """The kind of each content, in the order of `vectors`."""
        kind_of = dict(zip(self.rows.tolist(), (item.kind for item in self.files), strict=True))
        return [kind_of[row] for row in range(len(self.vectors))]

    @property
    def file_vectors(self) -> NDArray[np.float32]:
        """The vector of each file, shape (files, dimension)."""
        return self.vectors[self.rows]


@contextmanager
def open_collection(
    folder: IndexFolder,
    kinds: Sequence[Kind] = KINDS,
    filters: Filters = NO_FILTERS,
    *,
    backend: Backend | None = None,
    on_compile: Callable[[], None] = lambda: None,
) -> Iterator[FileCollection]:
    """Open a snapshot of the files of some kinds that pass filters.

    Raises:
        NoIndexError: There is no index, or nothing was ever indexed.
        UsageError: A filter is invalid.
        CatalogError: The catalog cannot be read.
    """
    import numpy as np

    where = condition_of(filters)
    with span("catalog opened"):
        catalog = open_for_reading(folder)
    with catalog:
        with catalog.snapshot(), span("items read"):
            settings = catalog.settings()
            if settings is None:
                raise NoIndexError(
                    f"The index in {folder.path} is empty.", code="index-empty", path=folder.path
                )
            found = items(catalog, kinds, where)
            contents, rows = np.unique([item.content for item in found], return_inverse=True)
            numbers = contents.astype(np.int64).tolist()
            vectors = content_vectors(catalog, numbers)
            emptied = [] if found else emptied_by(catalog, filters, kinds)

        def load(settings: Settings = settings) -> Encoder:
            encoder = load_encoder(
                model_of(settings),
                backend=backend,
                workload=Workload.INTERACTIVE,
                on_compile=on_compile,
            )
            check(settings, encoder)
            return encoder

        yield FileCollection(
            found, vectors, rows.astype(np.int64), settings.model, emptied, catalog, load
        )
