"""How `nmm search` and `nmm similar` read their command lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.cli.history import NotedCommand
from nmm.cli.optional_value import GalleryCommand
from nmm.cli.saved import QueryCommand
from nmm.index.timing import span

if TYPE_CHECKING:
    from typer._click import Context


class SearchCommand(GalleryCommand, QueryCommand):
    """A query, which may be a saved one."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        with span("command line read"):
            return super().parse_args(ctx, args)


class SimilarCommand(GalleryCommand, NotedCommand):
    """A file."""
