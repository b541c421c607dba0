"""`nmm import`: make an index of an archive that `nmm export` made."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nmm.cli.console.signals import interrupt_on_sigterm
from nmm.cli.console.stdout import emit
from nmm.cli.console.text import printable
from nmm.cli.options.common import IndexOption, JsonOption

EXAMPLES = """\b
Examples:
  nmm import photos.nmm
  nmm import photos.nmm --index ~/photos-index
"""
ROOTS_SHOWN = 5


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that nmm export made.")],
    index_path: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an index of an archive; one that is there is never replaced.

    The archive need not be trusted: one that is anything else than nmm export writes is
    refused. Files stay known by the paths that they had. Where they are elsewhere on this
    machine, say so with nmm roots move.
    """
    from nmm.index.maintenance.archive import import_archive
    from nmm.index.store.layout import index_folder

    interrupt_on_sigterm()
    done = import_archive(file, index_folder(index_path))
    if as_json:
        shown = {name: value for name, value in asdict(done).items() if name != "manifest"}
        emit(json.dumps({**shown, **asdict(done.manifest)}, ensure_ascii=False, indent=2) + "\n")
        return
    made = done.manifest
    emit(
        f"Imported {made.files} files ({made.images} images, {made.texts} texts) of the model "
        f"{printable(made.model)} into {printable(done.index)}.\n"
    )
    if done.away:
        _say_away(done.away)


def _say_away(away: list[str]) -> None:
    """Name on stderr what is not on this machine, and what to do about it."""
    lines = [f"Not on this machine: {printable(root)}" for root in away[:ROOTS_SHOWN]]
    if len(away) > ROOTS_SHOWN:
        lines.append(f"and {len(away) - ROOTS_SHOWN} more: nmm status --json")
    lines.append("Say where they are now with: nmm roots move OLD NEW")
    print("\n".join(lines), file=sys.stderr)  # noqa: T201
