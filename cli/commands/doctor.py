"""`nmm doctor`: check the index for damage."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.hints import hint_of_finding
from nmm.cli.console.stdout import emit
from nmm.cli.console.text import printable
from nmm.cli.options.common import IndexOption, JsonOption

EXAMPLES = """\b
Examples:
  nmm doctor
  nmm doctor --repair
  nmm doctor --json
"""


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Repair the damage.")] = False,
    index_path: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the whole index: the catalog, its vectors, the search files, the files on disk.

    Ends with status 3 if damage remains. A repair drops invalid entries, and the next nmm
    index embeds those files again. It also rewrites damaged search files. From a damaged
    catalog it saves the readable part, and keeps the damaged file.
    """
    from nmm.index.maintenance.doctor import doctor as examine
    from nmm.index.store.layout import index_folder

    report = examine(index_folder(index_path), repair=repair)
    if as_json:
        shown = {"index": report.index, "sound": report.sound}
        findings = [
            {
                "check": finding.check,
                "ok": finding.ok,
                "found": finding.found,
                "hint": hint_of_finding(finding),
                "repaired": finding.repaired,
            }
            for finding in report.findings
        ]
        emit(json.dumps({**shown, "findings": findings}, ensure_ascii=False, indent=2) + "\n")
    else:
        for finding in report.findings:
            state = "repaired" if finding.repaired else "ok" if finding.ok else "WRONG"
            emit(f"{state:8}  {finding.check:12}  {printable(finding.found)}\n")
            if hint := hint_of_finding(finding):
                emit(f"{'':24}{printable(hint)}\n")
    if not report.sound:
        raise typer.Exit(Exit.STILL_WRONG)
