"""`nmm tags`: list and remove the tags of files."""

from __future__ import annotations

import json
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
  nmm tags
  nmm tags remove receipt
  nmm search --tag receipt 'train to Vienna'
"""

app = typer.Typer(
    help="List and remove the tags written by nmm classify --write-tags.",
    epilog=EXAMPLES,
    invoke_without_command=True,
    rich_markup_mode=None,
    cls=Commands,
)


@app.callback()
def tags(
    context: typer.Context, index_path: IndexOption = None, as_json: JsonOption = False
) -> None:
    """List and remove the tags written by nmm classify --write-tags.

    Without a command: nmm tags list.
    """
    if context.invoked_subcommand is None:
        list_(index_path, as_json)


@app.command("list")
def list_(index_path: IndexOption = None, as_json: JsonOption = False) -> None:
    """List the tags and the number of files with each."""
    from nmm.index.analysis.classification.tags import list_tags
    from nmm.index.store.layout import index_folder

    found = list_tags(index_folder(index_path))
    if as_json:
        emit(json.dumps([tag._asdict() for tag in found], ensure_ascii=False, indent=2) + "\n")
        return
    width = max((len(str(tag.files)) for tag in found), default=0)
    emit("".join(f"{tag.files:>{width}}  {printable(tag.label)}\n" for tag in found))
    if not found:
        typer.echo("No file has a tag. Add tags with: nmm classify --write-tags", err=True)


@app.command()
def remove(
    labels: Annotated[
        list[str],
        typer.Argument(metavar="LABEL", help="Tags.", autocompletion=completion.tags),
    ],
    index_path: IndexOption = None,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove tags from all files. The files stay as they are."""
    from nmm.cli.options.filters import parse_label
    from nmm.index.analysis.classification.tags import remove_tags
    from nmm.index.store.layout import index_folder
    from nmm.index.store.lock import Wait

    parsed = [parse_label("A tag", label) for label in labels]
    with stopping() as stop:
        removed = remove_tags(parsed, index_folder(index_path), wait=Wait(stop) if wait else None)
    files = "1 file" if removed == 1 else f"{removed} files"
    emit(f'{{"files": {removed}}}\n' if as_json else f"Tags removed from {files}.\n")
