"""`nmm compact`: the index in its smallest and fastest form."""

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
    """Make the index smaller and its searches faster, after much was added or removed.

    An index takes care of itself; this does at once what it would do in time. Searches go
    on meanwhile. As much room as the index takes may be needed while it is done.
    """
    from nmm.index.maintenance.compact import compact as make_compact
    from nmm.index.store.layout import index_folder

    done = make_compact(index_folder(index_path))
    if as_json:
        emit(json.dumps(asdict(done)) + "\n")
        return
    emit(f"{done.before / 1e6:.1f} MB before, {done.after / 1e6:.1f} MB now.\n")
