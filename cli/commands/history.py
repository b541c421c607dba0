"""`nmm history`: list recorded searches."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.stdout import emit
from nmm.cli.console.text import printable
from nmm.cli.options.common import JsonOption

if TYPE_CHECKING:
    from nmm.index.search.history import HistoryEntry

EXAMPLES = """\b
Examples:
  nmm history
  nmm history -n 100 --json
  nmm history --clear
  nmm config set history false
"""


def history(
    count: Annotated[
        int, typer.Option("-n", min=1, metavar="N", help="List at most N searches.")
    ] = 20,
    as_json: JsonOption = False,
    clear: Annotated[bool, typer.Option("--clear", help="Delete all recorded searches.")] = False,
) -> None:
    """List your past searches, the latest last.

    Searches typed at a terminal are recorded in a file that only you can read. Searches of scripts
    are not recorded. To turn this off, use NMM_HISTORY=0 or nmm config set history false.
    """
    from nmm.index.search import history as recorded

    file = recorded.history_file()
    if clear:
        removed = recorded.clear(file)
        emit(f'{{"removed": {removed}}}\n' if as_json else f"{removed} removed.\n")
        return
    found = recorded.entries(file)[-count:]
    if as_json:
        emit(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=2) + "\n")
    else:
        emit("".join(_line(one) for one in found))
    if not found:
        raise typer.Exit(Exit.NOTHING_FOUND)


def _line(entry: HistoryEntry) -> str:
    from shlex import join

    when = entry.time[:16].replace("T", " ")
    return f"{when} {entry.results:5}  {printable(join(('nmm', *entry.arguments)))}\n"
