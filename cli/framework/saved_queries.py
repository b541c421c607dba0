"""SavedQuery queries: named queries with options, in the configuration file.

::

    [saved.cats]
    query = "cute cats"
    type = "image"

The keys are names of options of `nmm search`. Values are read and checked as the options read
theirs, and become the parameters of the command that are not given on its command line. So
``nmm search @cats -k 3`` makes the request that ``nmm search cute cats --type image -k 3`` makes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typer.core import TyperOption

from nmm.cli.framework.config_file import SAVED, Configuration, config_file, read
from nmm.cli.framework.search_history import RecordedCommand
from nmm.cli.framework.settings import Setting, option_name
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from nmm.cli.framework.click_types import Command, Context

NAME = re.compile(r"[^\W_][\w-]{0,63}")
QUERY = "query"
# The key under which the context keeps the names of parameters that a saved query gave.
FROM_SAVED = "nmm.from_saved_query"


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A saved query.

    Attributes:
        query: Its words; empty if it has options only, for queries of all sorts.
        options: Values by the names of options, as TOML has them.
    """

    query: str
    options: Mapping[str, Any]


class QueryCommand(RecordedCommand):
    """A command whose query may be a saved one, which its command line adds to or overrides."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        words = list(ctx.params.get("words") or [])
        first = words[0] if words else ""
        name = None if ctx.resilient_parsing else _name_in(first)
        if name is not None:
            saved = load(ctx, self, name)
            _use(saved, ctx, options_of(self))
            ctx.params["words"] = [*filter(None, [saved.query]), *words[1:]]
        elif first.startswith("@@"):
            ctx.params["words"] = [first[1:], *words[1:]]
        return rest


def _use(saved: SavedQuery, ctx: Context, options: Mapping[str, TyperOption]) -> None:
    """Give a saved query's values to the parameters that are not on the command line.

    Values of an option that can be repeated come before those on the command line.
    """
    given: set[str] = ctx.meta.setdefault(FROM_SAVED, set())
    for key, value in saved.options.items():
        option = options[key]
        if option.is_bool_flag and not value and not option.secondary_opts:
            continue  # as if it was not saved: a flag without an opposite
        parameter = str(option.name)
        source = ctx.get_parameter_source(parameter)
        is_typed = source is not None and source.name == "COMMANDLINE"
        if is_typed and not option.multiple:
            continue
        taken = option.process_value(ctx, value)
        ctx.params[parameter] = [*taken, *ctx.params[parameter]] if is_typed else taken
        given.add(parameter)


def is_from_saved_query(ctx: Context, parameter: str) -> bool:
    """Return whether a saved query gave a parameter its value."""
    return parameter in ctx.meta.get(FROM_SAVED, ())


def options_of(command: Command) -> dict[str, TyperOption]:
    """Return the options that a query can be saved with, by name."""
    found = {option_name(o): o for o in command.params if isinstance(o, TyperOption)}
    return {name: option for name, option in found.items() if name != "help"}


def names(configuration: Configuration) -> list[str]:
    """Return the names of all saved queries.

    Raises:
        UsageError: The value that should be a table of them is not one.
    """
    table = configuration.tables.get(SAVED, {})
    if not isinstance(table, dict):
        raise configuration.error((SAVED,), f"{SAVED} is a table of queries")
    return sorted(table)


def load(context: Context, command: Command, name: str) -> SavedQuery:
    """Return a saved query whose options are checked.

    Raises:
        UsageError: There is none of that name, or a value in it makes no sense.
    """
    configuration = read(config_file())
    known = names(configuration)
    if name not in known:
        raise unknown(name, known)
    table = configuration.tables[SAVED][name]
    if not isinstance(table, dict) or not isinstance(table.get(QUERY, ""), str):
        raise configuration.error((SAVED, name), f"{SAVED}.{name} is no table with a query")
    options = options_of(command)
    found = {}
    for key, value in table.items():
        if key == QUERY:
            continue
        if key not in options:
            from nmm.cli.framework.config_file import nearest

            words = (SAVED, name, key)
            settings = {k: Setting(words[:2], k, option) for k, option in options.items()}
            raise configuration.error(
                words, f"there is no option {key}", nearest(key, settings, "nmm search --help")
            )
        found[key] = configuration.usable(context, Setting((SAVED, name), key, options[key]), value)
    return SavedQuery(table.get(QUERY, ""), found)


def unknown(name: str, known: list[str]) -> UsageError:
    """Return the error that no query of a name is saved, with the most similar name."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, 1)
    return UsageError(
        f"There is no saved query @{name}.",
        why=f"Did you mean @{close[0]}?" if close else "",
        hint=f"See them with: nmm save --list. To look for the text itself: nmm search @@{name}",
    )


def _name_in(word: str) -> str | None:
    """Return the name of the saved query that a word stands for."""
    return word[1:] if word.startswith("@") and NAME.fullmatch(word[1:]) else None
