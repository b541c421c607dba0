"""Record searches in the history file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from nmm.cli.framework.click_classes import Command

if TYPE_CHECKING:
    from nmm.cli.framework.click_types import Context


# The context's key for the command and its arguments as they were typed.
ARGUMENTS = "nmm.arguments"


class RecordedCommand(Command):
    """A command whose typed arguments :func:`record_search` can record."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        ctx.meta.setdefault(ARGUMENTS, [str(ctx.info_name), *args])
        return super().parse_args(ctx, args)


def record_search(
    context: typer.Context, query: str, results: int, *, wanted: bool | None, several: bool
) -> None:
    """Record a search when its command ends.

    Args:
        context: The command's context.
        query: The query's label.
        results: The number of results.
        wanted: Whether to record it; if None, it is recorded if a person typed it.
        several: Whether the queries come from standard input.
    """
    from nmm.cli.console.text import valid
    from nmm.index.search.history import HistoryEntry, history_file, now, record

    # Only a person who types has a terminal as stdin; a script, a pipe, cron or an editor has none.
    is_typed = not several and sys.stdin.isatty()
    if wanted if wanted is not None else is_typed:
        arguments = tuple(valid(one) for one in context.meta.get(ARGUMENTS, ()))
        entry = HistoryEntry(now(), query, arguments, results)
        context.call_on_close(lambda: record(entry, history_file()))
