"""`nmm remove`: take files out of an index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmm.cli.console.signals import stopping
from nmm.cli.console.stdout import emit
from nmm.cli.framework.completion import roots_or_files
from nmm.cli.options.common import IndexOption, JsonOption, WaitOption

EXAMPLES = """\b
Examples:
  nmm remove ~/Pictures/private
  nmm remove notes/draft.md
"""


def remove(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Files and folders to remove from the index.",
            autocompletion=roots_or_files,
        ),
    ],
    index_path: IndexOption = None,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove files or folders from the index. The files stay on the disk.

    The next nmm index of a folder that contains them adds them again. To exclude them
    permanently, list them in a file named .nmmignore.
    """
    from nmm.index.maintenance.remove import remove as take_out
    from nmm.index.store.layout import index_folder
    from nmm.index.store.lock import Wait

    with stopping() as stop:
        removed = take_out(paths, index_folder(index_path), wait=Wait(stop) if wait else None)
    emit(f'{{"removed": {removed}}}\n' if as_json else f"{removed} removed.\n")
