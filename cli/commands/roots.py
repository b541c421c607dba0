"""`nmm roots`: the indexed folders."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nmm.cli.console.signals import stopping
from nmm.cli.console.stdout import emit
from nmm.cli.console.text import printable
from nmm.cli.framework import completion
from nmm.cli.framework.click_classes import Commands
from nmm.cli.options.common import IndexOption, JsonOption, WaitOption

EXAMPLES = """\b
Examples:
  nmm roots
  nmm roots add ~/Pictures
  nmm roots move /media/disk /mnt/disk
  nmm roots remove ~/Notes
"""

app = typer.Typer(
    help="List, add, move and remove the indexed folders.",
    epilog=EXAMPLES,
    invoke_without_command=True,
    rich_markup_mode=None,
    cls=Commands,
)


@app.callback()
def roots(
    context: typer.Context, index_path: IndexOption = None, as_json: JsonOption = False
) -> None:
    """List, add, move and remove the indexed folders.

    Without a command, this is nmm roots list.
    """
    if context.invoked_subcommand is None:
        list_(index_path, as_json)


@app.command("list")
def list_(index_path: IndexOption = None, as_json: JsonOption = False) -> None:
    """List the roots with their number of files, and whether the folder is available."""
    from nmm.index.indexing.scopes import State
    from nmm.index.maintenance.roots import list_roots
    from nmm.index.store.layout import index_folder

    found = list_roots(index_folder(index_path))
    if as_json:
        emit(json.dumps([asdict(root) for root in found], ensure_ascii=False, indent=2) + "\n")
        return
    for root in found:
        away = "" if root.state is State.THERE else f" ({root.state.value})"
        emit(
            f"{printable(root.path)}{away}\n"
            f"    {root.files} files: {root.images} images, {root.texts} texts; "
            f"{root.skipped} skipped\n"
        )


@app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Folders and files to add.")],
    index_path: IndexOption = None,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add roots without indexing them. The next nmm index without a path does that."""
    from nmm.index.maintenance.roots import add_roots
    from nmm.index.store.layout import index_folder
    from nmm.index.store.lock import Wait

    with stopping() as stop:
        added = add_roots(paths, index_folder(index_path), wait=Wait(stop) if wait else None)
    if as_json:
        emit(json.dumps([asdict(root) for root in added], ensure_ascii=False, indent=2) + "\n")
        return
    for root in added:
        held = "" if root.root == root.path else f" is in {printable(root.root)}, which"
        emit(f"{printable(root.path)}{held} is a root. Index it with: nmm index\n")


@app.command()
def move(
    old: Annotated[
        Path,
        typer.Argument(
            metavar="OLD",
            help="The former root, or a folder above several roots.",
            autocompletion=completion.roots,
        ),
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The new place of OLD.")],
    index_path: IndexOption = None,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Tell the index that folders have moved, for example to another mount point.

    All roots at or below OLD are moved to the same place below NEW. Nothing is embedded
    again, and no files are moved on the disk.
    """
    from nmm.index.maintenance.roots import move_roots
    from nmm.index.store.layout import index_folder
    from nmm.index.store.lock import Wait

    with stopping() as stop:
        moved = move_roots(old, new, index_folder(index_path), wait=Wait(stop) if wait else None)
    if as_json:
        emit(json.dumps([asdict(root) for root in moved], ensure_ascii=False, indent=2) + "\n")
        return
    for root in moved:
        away = "" if root.is_there else " (not there yet: its files are kept)"
        emit(f"{printable(root.old)} -> {printable(root.new)}{away}\n")


@app.command()
def remove(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A root, or a folder above several roots.",
            autocompletion=completion.roots,
        ),
    ],
    index_path: IndexOption = None,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove a root and its files from the index. The files stay on the disk."""
    from nmm.index.maintenance.roots import remove_root
    from nmm.index.store.layout import index_folder
    from nmm.index.store.lock import Wait

    with stopping() as stop:
        removed = remove_root(path, index_folder(index_path), wait=Wait(stop) if wait else None)
    emit(f'{{"removed": {removed}}}\n' if as_json else f"{removed} removed.\n")
