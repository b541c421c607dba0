"""Caches what a search reads of a catalog before each query, until another process writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS, Calibration, Kind, Settings


class CatalogState(NamedTuple):
    """The state of a catalog at one moment.

    Attributes:
        version: See :meth:`.Catalog.version`; unchanged until another process writes.
        settings: None until something is embedded.
        generation, last_file: See the methods of :class:`.Catalog` with these names.
        calibrations: By kind, see :meth:`.Catalog.calibration`.
        bases: By kind, see :meth:`.Catalog.calibration_basis`.
    """

    version: int
    settings: Settings | None
    generation: int
    last_file: int
    calibrations: Mapping[Kind, Calibration | None]
    bases: Mapping[Kind, tuple[int, int] | None]


class CatalogStateCache:
    """The last state of a catalog that this process only reads.

    Args:
        catalog: Open only for reading: SQLite does not count what its own connection writes.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._last: CatalogState | None = None

    @property
    def last(self) -> CatalogState:
        """Return the state that was read last."""
        return self._last or self.read()

    def read(self) -> CatalogState:
        """Return the current state; inside :meth:`.Catalog.snapshot`, that of the snapshot.

        Raises:
            CatalogError: SQLite cannot read the catalog.
        """
        catalog, version = self._catalog, self._catalog.version()
        if self._last is None or self._last.version != version:
            self._last = CatalogState(
                version,
                catalog.settings(),
                catalog.generation(),
                catalog.last_file(),
                {kind: catalog.calibration(kind) for kind in KINDS},
                {kind: catalog.calibration_basis(kind) for kind in KINDS},
            )
        return self._last
