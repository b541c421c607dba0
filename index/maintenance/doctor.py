"""Whether an index is sound, check by check; and what is wrong, put right.

What the files on disk have become since they were indexed is no damage, and neither is what a
crash left to be tidied up: both are only told.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.errors import CatalogError
from nmm.index.indexing.scopes import is_there
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.removal import drop_orphans
from nmm.index.store.catalog.transactions import connect_to_write
from nmm.index.store.catalog.types import locate
from nmm.index.store.catalog.vacuum import fts_problem, rebuild_fts
from nmm.index.store.catalog.writer import CatalogWriter
from nmm.index.store.lock import locked
from nmm.index.store.recovery import integrity, row_repair
from nmm.index.store.recovery.row_repair import counted
from nmm.index.store.recovery.salvage import Salvaged, salvage
from nmm.index.store.vectors.factory import open_vector_index

if TYPE_CHECKING:
    from nmm.index.store.layout import IndexFolder

NAMED = 3
REPAIRABLE = "It can be repaired."
UNREPAIRABLE = (
    "It cannot be repaired. Restore the index from a backup, or delete its folder and index again."
)
OUTDATED = "The next indexing run updates the index."


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        check: What was looked at.
        ok: Whether all is well with it; if `repaired`, since then.
        found: What there is to say of it, before it was repaired.
        hint: What to do; what was done, if it was repaired.
        repaired: Whether it was not well, or not tidy, and is now.
        code: The stable name of the advice, such as `finding-repairable`; empty without one.
    """

    check: str
    ok: bool
    found: str
    hint: str = ""
    repaired: bool = False
    code: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found in an index: its folder, and a finding for each check."""

    index: str
    findings: list[Finding]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong, or not any more."""
        return all(finding.ok for finding in self.findings)


def doctor(folder: IndexFolder, *, repair: bool = False) -> Report:
    """Look at all of an index, and with `repair` put right what is wrong.

    Without `repair` nothing is written, and a writer may be at work.

    Raises:
        NoIndexError: There is no index, or it was never finished.
        IndexLockedError: It is to be repaired, and another process is writing to it.
        CatalogError: The catalog cannot be opened for another reason than that it is damaged,
            or it is to be repaired and cannot be written to.
    """
    folder.existing()
    if not repair:
        return Report(str(folder.path), _examine(folder))
    with locked(folder):
        before = _examine(folder)
        done = _mend(folder, before)
        after = _examine(folder) if done else before
    earlier = {finding.check: finding for finding in before}
    return Report(str(folder.path), [_compare(earlier, finding, done) for finding in after])


def _compare(earlier: dict[str, Finding], now: Finding, done: dict[str, str]) -> Finding:
    if not now.ok:
        return replace(now, hint=UNREPAIRABLE, code="")
    was = earlier.get(now.check, now)
    did = done.get(now.check, "" if was.ok else "It went with what else was repaired.")
    if not did:
        return now
    found = was.found if was.hint else now.found
    return replace(now, found=found, hint=did, repaired=True, code="")


# Checks: each says what is wrong, or what it has to say of what is not.


def _examine(folder: IndexFolder) -> list[Finding]:
    try:
        opened = Catalog.open(folder.catalog)
    except CatalogError as error:
        if not _is_damage(error):
            raise
        return [Finding("catalog", False, error.why, REPAIRABLE, code="finding-repairable")]
    with opened as catalog:
        return [_guarded(name, check, catalog, folder) for name, check in CHECKS.items()]


def _is_damage(error: CatalogError) -> bool:
    """Whether SQLite could read a file, and found no catalog in it."""
    cause = error.__cause__
    return isinstance(cause, sqlite3.DatabaseError) and not isinstance(
        cause, sqlite3.OperationalError
    )


class _Verdict(NamedTuple):
    """What a check says: what is wrong, if anything is; else what there is to say."""

    wrong: str
    fine: str
    hint: str = ""
    code: str = ""


def _guarded(
    name: str,
    check: Callable[[Catalog, IndexFolder], _Verdict],
    catalog: Catalog,
    folder: IndexFolder,
) -> Finding:
    """What a check finds, which can be that a damaged catalog does not let it look."""
    try:
        said = check(catalog, folder)
    except CatalogError as error:
        said = _Verdict(error.why or error.what, "")
    if said.wrong:
        return Finding(name, False, said.wrong, REPAIRABLE, code="finding-repairable")
    return Finding(name, True, said.fine, said.hint, code=said.code)


def _catalog(catalog: Catalog, _: IndexFolder) -> _Verdict:
    return _Verdict("", f"schema {integrity.schema_version(catalog)}")


def _integrity(catalog: Catalog, _: IndexFolder) -> _Verdict:
    return _Verdict(_some(integrity.broken_pages(catalog), "; "), "SQLite finds nothing wrong")


def _references(catalog: Catalog, _: IndexFolder) -> _Verdict:
    dangling = [
        f"{counted(n, 'row')} of {table}" for table, n in integrity.dangling_rows(catalog).items()
    ]
    wrong = f"{', '.join(dangling)} without what they refer to" if dangling else ""
    return _Verdict(wrong, "all rows have what they refer to")


def _rows(catalog: Catalog, _: IndexFolder) -> _Verdict:
    with catalog.snapshot():
        found = integrity.contradictions(catalog)
    wrong = "; ".join(f"{count} times: {name}" for name, count in found.items())
    return _Verdict(wrong, "no rows contradict each other")


def _settings(catalog: Catalog, _: IndexFolder) -> _Verdict:
    with catalog.snapshot():
        settings = catalog.settings()
        wrong = integrity.bad_settings(catalog)
    told = f"{settings.model}, {settings.dimension} dimensions" if settings else "none yet"
    return _Verdict(wrong, told)


def _vectors(catalog: Catalog, _: IndexFolder) -> _Verdict:
    with catalog.snapshot():
        dimension = integrity.true_dimension(catalog)
        faults = integrity.bad_vectors(catalog, dimension) if dimension else {}
        count = catalog.vector_count()
    wrong = [f"{len(chunks)} {fault}" for fault, chunks in faults.items()]
    told = f"{counted(count, 'vector')}, finite and of unit length" if count else "none yet"
    return _Verdict(f"of {counted(count, 'vector')}, {', '.join(wrong)}" if wrong else "", told)


def _words(catalog: Catalog, _: IndexFolder) -> _Verdict:
    return _Verdict(fts_problem(catalog), "all words are found where they stand")


def _search_files(catalog: Catalog, folder: IndexFolder) -> _Verdict:
    found = open_vector_index(folder, catalog).verify(catalog)
    wrong = [f"{name}: {problem}" for name, problem in found.problems.items()]
    return _Verdict(
        _some(wrong, "; "),
        f"{counted(found.parts, 'file')}, as the catalog"
        if found.parts
        else "none, the catalog is small enough",
    )


def _leftovers(catalog: Catalog, folder: IndexFolder) -> _Verdict:
    leftovers = open_vector_index(folder, catalog).leftovers(catalog)
    if not leftovers:
        return _Verdict("", "none")
    said = f"{counted(len(leftovers), 'search file')} that nothing names"
    return _Verdict("", said, "The next indexing run deletes them.", "finding-leftovers")


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
    said = [
        f"{len(paths)} {what}: {_some(paths, ', ')}"
        for what, paths in (("not there", away), ("gone", gone), ("changed", changed))
        if paths
    ]
    state = "; ".join(said) or f"{counted(count, 'file')} as they were"
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


def _some(things: Sequence[str], between: str) -> str:
    """The first of some things, and how many more there are."""
    more = len(things) - NAMED
    return between.join(things[:NAMED]) + (f"{between}and {more} more" if more > 0 else "")


# Repairs: each says what was done.


def _mend(folder: IndexFolder, before: Sequence[Finding]) -> dict[str, str]:
    """Put right what can be; what was done, by check. Only for the holder of the lock."""
    bad = {finding.check for finding in before if not finding.ok}
    untidy = any(finding.check == "leftovers" and finding.hint for finding in before)
    done: dict[str, str] = {}
    if bad & {"catalog", "integrity"}:
        done = _mend_file(folder)
        if not done:
            return {}
    if bad or untidy:
        with CatalogWriter(connect_to_write(folder.catalog)) as writer:
            if "words" in bad:  # first, for they follow what is done to rows
                rebuild_fts(writer)
                done["words"] = "Their tables were made again from the catalog."
            done |= _mend_rows(writer)
            done |= _mend_search_files(writer, folder)
    return {check: did for check, did in done.items() if did}


def _mend_file(folder: IndexFolder) -> dict[str, str]:
    """Put right what SQLite cannot read."""
    with suppress(CatalogError):
        with Catalog.open(folder.catalog) as catalog:
            broken = integrity.broken_pages(catalog)
        if all(" index " in line for line in broken):
            with CatalogWriter(connect_to_write(folder.catalog)) as writer:
                row_repair.reindex(writer)
                if not integrity.broken_pages(writer):
                    return {"integrity": "SQLite's indexes were made again; nothing was lost."}
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
    return dict.fromkeys(("catalog", "integrity"), _told(saved))


def _told(saved: Salvaged) -> str:
    kept = ", ".join(f"{saved.rows.get(table, 0)} {table}" for table in ("files", "vectors"))
    lost = f" Not all could be read of: {', '.join(saved.broken)}." if saved.broken else ""
    return (
        f"What can be read is in a new catalog: {kept}.{lost} The damaged one is kept: "
        f"{saved.kept.name}. The next indexing run adds lost files again."
    )


def _mend_rows(writer: CatalogWriter) -> dict[str, str]:
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


def _mend_search_files(writer: CatalogWriter, folder: IndexFolder) -> dict[str, str]:
    done = {}
    index = open_vector_index(folder, writer)
    leftovers = index.leftovers(writer)
    if problems := index.verify(writer).problems:
        index.repair(writer, problems)
        done["search files"] = "They were written again from the catalog."
    index.sync(writer)
    if leftovers:
        done["leftovers"] = f"{counted(len(leftovers), 'file')} deleted."
    return done
