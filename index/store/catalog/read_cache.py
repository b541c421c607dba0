"""What a search has to know of an index before each query: read once, as long as nobody writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS, Calibration, Kind, Settings


class State(NamedTuple):
    """Of one moment of a catalog.

    Attributes:
        version: As of :meth:`.Catalog.version`; the same as long as nobody has written.
        settings: None as long as nothing was embedded.
        generation, last_file: As of the methods of these names.
        scales, measured: By kind, see :meth:`.Catalog.scale` and :meth:`.Catalog.scale_measured`.
    """

    version: int
    settings: Settings | None
    generation: int
    last_file: int
    scales: Mapping[Kind, Calibration | None]
    measured: Mapping[Kind, tuple[int, int] | None]


class States:
    """The states of a catalog that other processes write, and this one does not.

    Args:
        catalog: Open for reading alone: SQLite does not count what its own connection writes.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._last: State | None = None

    @property
    def last(self) -> State:
        """The one that was read last."""
        return self._last or self.read()

    def read(self) -> State:
        """The present one; inside :meth:`.Catalog.snapshot`, that of the snapshot.

        Raises:
            CatalogError: SQLite cannot read the catalog.
        """
        catalog, version = self._catalog, self._catalog.version()
        if self._last is None or self._last.version != version:
            self._last = State(
                version,
                catalog.settings(),
                catalog.generation(),
                catalog.last_file(),
                {kind: catalog.scale(kind) for kind in KINDS},
                {kind: catalog.scale_measured(kind) for kind in KINDS},
            )
        return self._last
