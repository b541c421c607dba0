"""`nmm compact`: make the index smaller and faster."""

from __future__ import annotations

import json
from dataclasses import asdict

from nmm.cli.console.stdout import emit
from nmm.cli.options.common import IndexOption, JsonOption

EXAMPLES = """\b
Examples:
  nmm compact
  nmm compact --json
"""


def compact(index_path: IndexOption = None, as_json: JsonOption = False) -> None:
    """Make the index smaller and its searches faster, after many changes.

    Indexing does this gradually. This command does all of it at once. Searches work in the
    meantime. It may temporarily need as much disk space as the index.
    """
    from nmm.index.maintenance.compact import compact as make_compact
    from nmm.index.store.layout import index_folder

    done = make_compact(index_folder(index_path))
    if as_json:
        emit(json.dumps(asdict(done)) + "\n")
        return
    emit(f"{done.before / 1e6:.1f} MB before, {done.after / 1e6:.1f} MB now.\n")
