"""The parts of a rebuild: its conditions, an unfinished one, and the replacement of the index."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from nmm.index.encoders.resolve import find_model
from nmm.index.errors import CatalogError, NoIndexError, UsageError
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.replacement import replace_contents_with
from nmm.index.store.catalog.types import locate
from nmm.index.store.vectors.factory import open_vector_index

if TYPE_CHECKING:
    from nmm.index.encoders.base import Model
    from nmm.index.indexing.scopes import Coverage
    from nmm.index.store.catalog.types import Settings
    from nmm.index.store.catalog.writer import CatalogWriter
    from nmm.index.store.layout import IndexFolder


def check_rebuildable(old: Coverage) -> None:
    """Refuse a rebuild while a root of the index, or a disk below one, is not available.

    Raises:
        UsageError: One is not.
    """
    points = [locate(str(root.path), point) for root, point in old.unmounted]
    if away := [*map(str, old.away), *points]:
        raise UsageError(
            f"The index cannot be rebuilt while {away[0]} is not available.",
            code="rebuild-root-away",
            why="The new index would not contain its files.",
            hint="Mount its disk, or remove it from the index.",
            path=away[0],
        )


def check_same_model(
    catalog: Catalog, settings: Settings, asked: Model | None, dimension: int | None
) -> None:
    """Refuse a model that is not that of the index, and say what a rebuild would take.

    Raises:
        UsageError: The model or the dimension is another one.
    """
    name = asked.name if asked else settings.model
    if name != settings.model:
        what = f"This index was made with the model {settings.model}, not {name}."
    elif dimension and dimension != settings.dimension:
        find_model(name).with_dimension(dimension)
        what = f"This index has vectors of {settings.dimension} dimensions, not {dimension}."
    else:
        return
    counts = catalog.file_counts()
    raise UsageError(
        what,
        code="index-other-model",
        why=f"{counts.get('image', 0)} images and {counts.get('text', 0)} texts "
        f"({catalog.vector_count('text')} passages) would be embedded again. Until that is "
        "done, the index answers as before.",
        model=name,
        dimension=dimension or 0,
    )


def find_unfinished_rebuild(writer: CatalogWriter, beside: IndexFolder) -> Settings | None:
    """Return the settings of an unfinished rebuild; None if there is none.

    A rebuild that has replaced the index already, and was killed before it was deleted, is
    deleted. So is a damaged one, or one that had hardly begun.

    Args:
        writer: The index that is to be replaced.
        beside: Where the rebuild lies.
    """
    if not beside.catalog.is_file():
        if beside.path.exists():  # killed while it was deleted
            beside.delete()
        return None
    try:
        with Catalog.open(beside.catalog) as catalog:
            settings, rebuild = catalog.settings(), catalog.rebuild()
    except (CatalogError, NoIndexError):  # killed when it had hardly begun, or damaged
        settings = rebuild = None
    if settings is None or rebuild == writer.rebuild():
        beside.delete()
        return None
    return settings


def replace_index(writer: CatalogWriter, folder: IndexFolder) -> None:
    """Put a rebuild that is whole in the place of the index.

    Whenever the process is killed, the index is the old one or the new one.

    Raises:
        CatalogError: The catalog cannot be written.
    """
    beside = folder.rebuild
    sys.audit("nmm.store", "rebuild whole")
    open_vector_index(folder, writer).adopt(beside)
    sys.audit("nmm.store", "rebuild to be taken over")
    replace_contents_with(writer, beside.catalog)
    sys.audit("nmm.store", "rebuild taken over")
    with suppress(CatalogError):  # the next run deletes it
        beside.delete()
    open_vector_index(folder, writer).sync(writer)
