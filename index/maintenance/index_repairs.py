"""Repairs a damaged index, in the order in which the damage can be reached."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from nmm.index.errors import CatalogError
from nmm.index.maintenance.index_checks import Finding
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.removal import drop_orphans
from nmm.index.store.catalog.transactions import connect_to_write
from nmm.index.store.catalog.vacuum import rebuild_fts
from nmm.index.store.catalog.writer import CatalogWriter
from nmm.index.store.recovery import integrity, row_repair
from nmm.index.store.recovery.row_repair import counted
from nmm.index.store.recovery.salvage import SalvageResult, salvage
from nmm.index.store.vectors.factory import open_vector_index

if TYPE_CHECKING:
    from nmm.index.store.layout import IndexFolder


def repair_index(folder: IndexFolder, before: Sequence[Finding]) -> dict[str, str]:
    """Repair what can be repaired. The caller holds the lock of the index.

    Args:
        folder: The index.
        before: What the checks found.

    Returns:
        What was done, by the name of the check; empty if nothing can be repaired.

    Raises:
        CatalogError: The catalog cannot be written to.
    """
    bad = {finding.check for finding in before if not finding.ok}
    untidy = any(finding.check == "leftovers" and finding.hint for finding in before)
    done: dict[str, str] = {}
    if bad & {"catalog", "integrity"}:
        done = _repair_file(folder)
        if not done:
            return {}
    if bad or untidy:
        with CatalogWriter(connect_to_write(folder.catalog)) as writer:
            if "words" in bad:  # first: triggers update these tables when rows change
                rebuild_fts(writer)
                done["words"] = "The full-text tables were rebuilt from the catalog."
            done |= _repair_rows(writer)
            done |= _repair_search_files(writer, folder)
    return {check: did for check, did in done.items() if did}


def _repair_file(folder: IndexFolder) -> dict[str, str]:
    """Rebuild the SQLite indexes of a damaged catalog, or salvage its rows."""
    with suppress(CatalogError):
        with Catalog.open(folder.catalog) as catalog:
            broken = integrity.broken_pages(catalog)
        if all(" index " in line for line in broken):
            with CatalogWriter(connect_to_write(folder.catalog)) as writer:
                row_repair.reindex(writer)
                if not integrity.broken_pages(writer):
                    return {"integrity": "SQLite's indexes were rebuilt; nothing was lost."}
    try:
        saved = salvage(folder)
    except OSError as error:
        raise CatalogError(
            f"The damaged catalog {folder.catalog} cannot be replaced.",
            code="catalog-not-replaceable",
            why=str(error),
            hint="Free some space on its disk, and check that it is writable.",
            path=folder.catalog,
        ) from error
    if saved is None:
        return {}
    return dict.fromkeys(("catalog", "integrity"), _describe(saved))


def _describe(saved: SalvageResult) -> str:
    """Return what was salvaged, in a sentence for the user."""
    kept = ", ".join(f"{saved.rows.get(table, 0)} {table}" for table in ("files", "vectors"))
    lost = f" Some rows could not be read of: {', '.join(saved.broken)}." if saved.broken else ""
    return (
        f"The readable rows are in a new catalog: {kept}.{lost} The damaged one is kept as "
        f"{saved.kept.name}. The next indexing run adds lost files again."
    )


def _repair_rows(writer: CatalogWriter) -> dict[str, str]:
    """Drop or correct rows that are wrong."""
    dropped = row_repair.drop_dangling(writer)
    done = {
        "references": f"{counted(dropped, 'row')} were dropped." if dropped else "",
        "settings": row_repair.repair_settings(writer),
    }
    if settings := writer.settings():
        done["vectors"] = row_repair.drop_bad_vectors(writer, settings)
    done["rows"] = row_repair.drop_contradictions(writer)
    drop_orphans(writer)
    return done


def _repair_search_files(writer: CatalogWriter, folder: IndexFolder) -> dict[str, str]:
    """Rebuild damaged search files, and delete files that are not used."""
    done = {}
    index = open_vector_index(folder, writer)
    leftovers = index.leftovers(writer)
    if problems := index.verify(writer).problems:
        index.repair(writer, problems)
        done["search files"] = "They were rebuilt from the catalog."
    index.sync(writer)
    if leftovers:
        done["leftovers"] = f"{counted(len(leftovers), 'file')} deleted."
    return done
