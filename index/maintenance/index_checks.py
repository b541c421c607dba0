"""Checks an index: each check returns what is wrong, or a note about what is sound."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.errors import CatalogError
from nmm.index.indexing.scopes import is_there
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import locate
from nmm.index.store.catalog.vacuum import fts_problem
from nmm.index.store.recovery import integrity
from nmm.index.store.recovery.row_repair import counted
from nmm.index.store.vectors.factory import open_vector_index

if TYPE_CHECKING:
    from nmm.index.store.layout import IndexFolder

# A finding names at most this many items.
MAX_NAMED = 3
REPAIRABLE = "It can be repaired."
OUTDATED = "The next indexing run updates the index."


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        check: The name of the check.
        ok: Whether nothing is wrong; if `repaired`, after the repair.
        found: What the check found, before the repair if there was one.
        hint: What to do; after a repair, what was done.
        repaired: Whether something was wrong, or left over, and was repaired.
        code: The stable name of the advice, such as `finding-repairable`; empty without one.
    """

    check: str
    ok: bool
    found: str
    hint: str = ""
    repaired: bool = False
    code: str = ""


def examine(folder: IndexFolder) -> list[Finding]:
    """Return a finding for each check; only one if the catalog cannot be opened.

    Raises:
        CatalogError: The catalog cannot be opened for a reason other than damage.
    """
    try:
        opened = Catalog.open(folder.catalog)
    except CatalogError as error:
        if not _is_damage(error):
            raise
        return [Finding("catalog", False, error.why, REPAIRABLE, code="finding-repairable")]
    with opened as catalog:
        return [_run_check(name, check, catalog, folder) for name, check in CHECKS.items()]


def _is_damage(error: CatalogError) -> bool:
    """Return whether SQLite could read a file, but found no valid catalog in it."""
    cause = error.__cause__
    return isinstance(cause, sqlite3.DatabaseError) and not isinstance(
        cause, sqlite3.OperationalError
    )


class _Verdict(NamedTuple):
    """The result of a check.

    Attributes:
        wrong: What is wrong; empty if nothing is.
        note: What to report if nothing is wrong.
        hint: What to do, although nothing is wrong.
        code: The stable name of the hint.
    """

    wrong: str
    note: str
    hint: str = ""
    code: str = ""


def _run_check(
    name: str,
    check: Callable[[Catalog, IndexFolder], _Verdict],
    catalog: Catalog,
    folder: IndexFolder,
) -> Finding:
    """Run a check; a catalog that is too damaged for it is its finding."""
    try:
        verdict = check(catalog, folder)
    except CatalogError as error:
        verdict = _Verdict(error.why or error.what, "")
    if verdict.wrong:
        return Finding(name, False, verdict.wrong, REPAIRABLE, code="finding-repairable")
    return Finding(name, True, verdict.note, verdict.hint, code=verdict.code)


def _catalog(catalog: Catalog, _: IndexFolder) -> _Verdict:
    return _Verdict("", f"schema {integrity.schema_version(catalog)}")


def _integrity(catalog: Catalog, _: IndexFolder) -> _Verdict:
    return _Verdict(_first_few(integrity.broken_pages(catalog), "; "), "SQLite finds nothing wrong")


def _references(catalog: Catalog, _: IndexFolder) -> _Verdict:
    dangling = [
        f"{counted(n, 'row')} of {table}" for table, n in integrity.dangling_rows(catalog).items()
    ]
    wrong = f"{', '.join(dangling)} with dangling references" if dangling else ""
    return _Verdict(wrong, "no dangling references")


def _rows(catalog: Catalog, _: IndexFolder) -> _Verdict:
    with catalog.snapshot():
        found = integrity.contradictions(catalog)
    wrong = "; ".join(f"{count} times: {name}" for name, count in found.items())
    return _Verdict(wrong, "no rows contradict each other")


def _settings(catalog: Catalog, _: IndexFolder) -> _Verdict:
    with catalog.snapshot():
        settings = catalog.settings()
        wrong = integrity.bad_settings(catalog)
    note = f"{settings.model}, {settings.dimension} dimensions" if settings else "none yet"
    return _Verdict(wrong, note)


def _vectors(catalog: Catalog, _: IndexFolder) -> _Verdict:
    with catalog.snapshot():
        dimension = integrity.true_dimension(catalog)
        faults = integrity.bad_vectors(catalog, dimension) if dimension else {}
        count = catalog.vector_count()
    wrong = [f"{len(chunks)} {fault}" for fault, chunks in faults.items()]
    note = f"{counted(count, 'vector')}, finite and of unit length" if count else "none yet"
    return _Verdict(f"of {counted(count, 'vector')}, {', '.join(wrong)}" if wrong else "", note)


def _words(catalog: Catalog, _: IndexFolder) -> _Verdict:
    return _Verdict(fts_problem(catalog), "the full-text tables match the catalog")


def _search_files(catalog: Catalog, folder: IndexFolder) -> _Verdict:
    found = open_vector_index(folder, catalog).verify(catalog)
    wrong = [f"{name}: {problem}" for name, problem in found.problems.items()]
    return _Verdict(
        _first_few(wrong, "; "),
        f"{counted(found.parts, 'file')}, consistent with the catalog"
        if found.parts
        else "none, the catalog is small enough",
    )


def _leftovers(catalog: Catalog, folder: IndexFolder) -> _Verdict:
    leftovers = open_vector_index(folder, catalog).leftovers(catalog)
    if not leftovers:
        return _Verdict("", "none")
    note = f"{counted(len(leftovers), 'unused search file')}"
    return _Verdict("", note, "The next indexing run deletes them.", "finding-leftovers")


def _disk(catalog: Catalog, _: IndexFolder) -> _Verdict:
    away, gone, changed, count = [], [], [], 0
    for root in catalog.roots():
        if not is_there(root.path):
            away.append(str(root.path))
            continue
        for name, size, mtime_ns in integrity.files_below(catalog, root):
            count += 1
            path = locate(str(root.path), name)
            try:
                found = os.stat(path)  # noqa: PTH116
            except OSError:
                gone.append(path)
                continue
            if (found.st_size, found.st_mtime_ns) != (size, mtime_ns):
                changed.append(path)
    notes = [
        f"{len(paths)} {what}: {_first_few(paths, ', ')}"
        for what, paths in (("not there", away), ("gone", gone), ("changed", changed))
        if paths
    ]
    state = "; ".join(notes) or f"{counted(count, 'file')} unchanged"
    if gone or changed:
        return _Verdict("", state, OUTDATED, "finding-outdated")
    return _Verdict("", state)


CHECKS: dict[str, Callable[[Catalog, IndexFolder], _Verdict]] = {
    "catalog": _catalog,
    "integrity": _integrity,
    "references": _references,
    "rows": _rows,
    "settings": _settings,
    "vectors": _vectors,
    "words": _words,
    "search files": _search_files,
    "leftovers": _leftovers,
    "disk": _disk,
}


def _first_few(items: Sequence[str], separator: str) -> str:
    """Return the first items, and how many more there are."""
    more = len(items) - MAX_NAMED
    return separator.join(items[:MAX_NAMED]) + (f"{separator}and {more} more" if more > 0 else "")
