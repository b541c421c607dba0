"""`nmm similar`: what is like a file."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from nmm.cli.commands.search import search
from nmm.cli.framework.query_commands import SimilarCommand

EXAMPLES = """\b
Examples:
  nmm similar photos/chelsea.jpg
  nmm similar notes/garden_diary.md --type text -k 3
  nmm similar house.jpg --add 'at night' --minus people
"""
COMMAND = SimilarCommand

# Parameters of a search that say what is looked for, in words or not.
OTHERS = ("words", "images", "mode", "raw", "like")


def similar(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An image or a text, in the index or not.")
    ],
    **options: Any,
) -> None:
    """Find the images and texts that are most like a file, which is left out itself.

    A text is taken as a whole: by the mean of its passages. A file that is in the index,
    under any name, is not embedded again.
    """
    search(like=file, **options)


def _parameters() -> list[inspect.Parameter]:
    """The file, then those of a search but :data:`OTHERS`."""
    own = inspect.signature(similar, eval_str=True).parameters["file"]
    shared = inspect.signature(search, eval_str=True).parameters.values()
    return [own, *(one for one in shared if one.name not in OTHERS)]


cast("Any", similar).__signature__ = inspect.Signature(_parameters())
