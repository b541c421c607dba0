"""Checks whether an index is sound, and repairs it.

Files that changed on disk since they were indexed are no damage, and neither are leftovers of a
crash. Both are only reported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nmm.index.maintenance.index_checks import Finding, examine
from nmm.index.maintenance.index_repairs import repair_index
from nmm.index.store.lock import locked

if TYPE_CHECKING:
    from nmm.index.store.layout import IndexFolder

UNREPAIRABLE = (
    "It cannot be repaired. Restore the index from a backup, or delete its folder and index again."
)


@dataclass(frozen=True, slots=True)
class Report:
    """The folder of an index, and a finding for each check."""

    index: str
    findings: list[Finding]

    @property
    def sound(self) -> bool:
        """Return whether nothing is wrong, or everything was repaired."""
        return all(finding.ok for finding in self.findings)


def doctor(folder: IndexFolder, *, repair: bool = False) -> Report:
    """Check an index, and repair it with `repair`.

    Without `repair` nothing is written, and another process may be writing to the index.

    Raises:
        NoIndexError: There is no index, or it was never finished.
        IndexLockedError: A repair is needed, and another process is writing to the index.
        CatalogError: The catalog cannot be opened for a reason other than damage, or a repair
            cannot write to it.
    """
    folder.existing()
    if not repair:
        return Report(str(folder.path), examine(folder))
    with locked(folder):
        before = examine(folder)
        done = repair_index(folder, before)
        after = examine(folder) if done else before
    earlier = {finding.check: finding for finding in before}
    return Report(str(folder.path), [_compare(earlier, finding, done) for finding in after])


def _compare(earlier: dict[str, Finding], now: Finding, done: dict[str, str]) -> Finding:
    """Return the finding of a check after a repair, with what the check found before."""
    if not now.ok:
        return replace(now, hint=UNREPAIRABLE, code="")
    before = earlier.get(now.check, now)
    repair = done.get(now.check, "" if before.ok else "Another repair fixed it.")
    if not repair:
        return now
    found = before.found if before.hint else now.found
    return replace(now, found=found, hint=repair, repaired=True, code="")
