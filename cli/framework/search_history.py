"""Record searches in the history file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from nmm.cli.framework.click_classes import Command

if TYPE_CHECKING:
    from nmm.cli.framework.click_types import Context


# Where the context keeps the command and what stood after it.
ARGUMENTS = "nmm.arguments"


class NotedCommand(Command):
    """A command that :func:`note` writes down as it was typed."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = [str(ctx.info_name), *args]
        return super().parse_args(ctx, args)


def note(
    context: typer.Context, query: str, results: int, *, wanted: bool | None, several: bool
) -> None:
    """Write a search down, if it is to be: as `wanted` says, else if a person typed it.

    That is done when the results have been shown.
    """
    from nmm.cli.console.text import valid
    from nmm.index.search.history import Entry, history_file, now, record

    # Whoever types has a terminal there; a script, a pipe, cron or an editor has none.
    typed = not several and sys.stdin.isatty()
    if wanted if wanted is not None else typed:
        arguments = tuple(valid(one) for one in context.meta.get(ARGUMENTS, ()))
        entry = Entry(now(), query, arguments, results)
        context.call_on_close(lambda: record(entry, history_file()))
