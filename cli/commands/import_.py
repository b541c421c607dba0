"""`nmm import`: create an index from an archive that `nmm export` wrote."""

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
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that nmm export wrote.")],
    index_path: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create an index from an archive. An existing index is never replaced.

    The archive may come from an untrusted source: an invalid one is refused. Files keep
    the paths that they had. If they are elsewhere on this machine, use nmm roots move.
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
    """Print on stderr which roots are not on this machine, and what to do about it."""
    lines = [f"Not on this machine: {printable(root)}" for root in away[:ROOTS_SHOWN]]
    if len(away) > ROOTS_SHOWN:
        lines.append(f"and {len(away) - ROOTS_SHOWN} more: nmm status --json")
    lines.append("Tell nmm where they are now: nmm roots move OLD NEW")
    print("\n".join(lines), file=sys.stderr)  # noqa: T201
