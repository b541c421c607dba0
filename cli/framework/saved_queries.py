"""Saved queries: named queries with options, in the configuration file.

::

    [saved.cats]
    query = "cute cats"
    type = "image"

The keys are names of options of `nmm search`. Values are parsed and checked by these options. They
become the parameters of the command that its command line does not give. So
``nmm search @cats -k 3`` makes the same request as ``nmm search cute cats --type image -k 3``.
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
# The context's key for the names of parameters with values from a saved query.
FROM_SAVED = "nmm.from_saved_query"


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A saved query.

    Attributes:
        query: Its words; empty if it has options only.
        options: Values in types of TOML, by the names of options.
    """

    query: str
    options: Mapping[str, Any]


class QueryCommand(RecordedCommand):
    """A command that accepts a saved query. Its command line adds to the query and overrides it."""

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
    """Set the parameters that are not on the command line to a saved query's values.

    Values of an option that can be repeated come before those on the command line.
    """
    given: set[str] = ctx.meta.setdefault(FROM_SAVED, set())
    for key, value in saved.options.items():
        option = options[key]
        if option.is_bool_flag and not value and not option.secondary_opts:
            continue  # a flag without an opposite, saved as false, has no effect
        parameter = str(option.name)
        source = ctx.get_parameter_source(parameter)
        is_typed = source is not None and source.name == "COMMANDLINE"
        if is_typed and not option.multiple:
            continue
        taken = option.process_value(ctx, value)
        ctx.params[parameter] = [*taken, *ctx.params[parameter]] if is_typed else taken
        given.add(parameter)


def is_from_saved_query(ctx: Context, parameter: str) -> bool:
    """Return whether the value of a parameter comes from a saved query."""
    return parameter in ctx.meta.get(FROM_SAVED, ())


def options_of(command: Command) -> dict[str, TyperOption]:
    """Return the options that a query can be saved with, by name."""
    found = {option_name(o): o for o in command.params if isinstance(o, TyperOption)}
    return {name: option for name, option in found.items() if name != "help"}


def names(configuration: Configuration) -> list[str]:
    """Return the names of all saved queries.

    Raises:
        UsageError: The value of the table is not a table.
    """
    table = configuration.tables.get(SAVED, {})
    if not isinstance(table, dict):
        raise configuration.error((SAVED,), f"{SAVED} has to be a table of queries")
    return sorted(table)


def load(context: Context, command: Command, name: str) -> SavedQuery:
    """Return a saved query with checked options.

    Raises:
        UsageError: There is no query with that name, or a value in it is invalid.
    """
    configuration = read(config_file())
    known = names(configuration)
    if name not in known:
        raise unknown(name, known)
    table = configuration.tables[SAVED][name]
    if not isinstance(table, dict) or not isinstance(table.get(QUERY, ""), str):
        raise configuration.error((SAVED, name), f"{SAVED}.{name} has to be a table with a query")
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
    """Return the error for an unknown saved query, with the most similar name."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, 1)
    return UsageError(
        f"There is no saved query @{name}.",
        why=f"Did you mean @{close[0]}?" if close else "",
        hint=f"See them with: nmm save --list. To search for the text itself: nmm search @@{name}",
    )


def _name_in(word: str) -> str | None:
    """Return the name of the saved query in a word such as ``@cats``, or None."""
    return word[1:] if word.startswith("@") and NAME.fullmatch(word[1:]) else None
