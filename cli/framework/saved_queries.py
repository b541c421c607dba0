"""Saved queries: a query with options under a name, in the configuration file.

::

    [saved.cats]
    query = "cute cats"
    type = "image"

``nmm search @cats -k 3`` is then ``nmm search --type image 'cute cats' -k 3``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typer.core import TyperOption

from nmm.cli.framework.config_file import SAVED, Configuration, config_file, read
from nmm.cli.framework.search_history import NotedCommand
from nmm.cli.framework.settings import Setting, option_name
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from nmm.cli.framework.click_types import Command, Context

NAME = re.compile(r"[^\W_][\w-]{0,63}")
QUERY = "query"
# Options of which one is in force: that of the command line, before one that is saved or set.
FORMS = frozenset({"0", "csv", "format", "json", "jsonl", "paths"})


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved query.

    Attributes:
        query: Its words; none if it is of options only, for queries of all sorts.
        options: Values by the names of options, as TOML has them.
    """

    query: str
    options: Mapping[str, Any]

    def arguments(self, options: Mapping[str, TyperOption]) -> Iterator[tuple[str, list[str]]]:
        """Its options, each with how it is typed."""
        for name, value in self.options.items():
            option = options[name]
            if option.is_bool_flag:
                yield name, (option.opts if value else option.secondary_opts)[:1]
            else:
                values = value if isinstance(value, list) else [value]
                yield name, [part for one in values for part in (option.opts[0], str(one))]


class QueryCommand(NotedCommand):
    """A search, whose query may be a saved one, and whose form is one of several."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        given, words = self._given(ctx, args)
        first = words[0] if words else ""
        saved = None if ctx.resilient_parsing else _meant(first)
        if saved is not None:
            found = load(ctx, self, saved)
            forms = FORMS & given
            added = found.arguments(options_of(self))
            args = [a for n, typed in added if not (forms and n in FORMS) for a in typed] + args
        rest = super().parse_args(ctx, args)
        if saved is not None:
            ctx.params["words"] = [*filter(None, [found.query]), *ctx.params["words"][1:]]
        elif first.startswith("@@"):
            ctx.params["words"] = [first[1:], *ctx.params["words"][1:]]
        self._settle_form(ctx)
        return rest

    def _given(self, ctx: Context, args: list[str]) -> tuple[set[str], list[str]]:
        """The names of options on the command line, and its words."""
        found, _, _ = self.make_parser(ctx).parse_args(list(args))
        names = {o.name: name for name, o in options_of(self).items()}
        words = found.get("words")  # without any, some versions of Click have a mark of their own
        given = {names[n] for n in found if n in names}
        return given, list(words) if isinstance(words, list | tuple) else []

    def _settle_form(self, ctx: Context) -> None:
        """Let a form on the command line stand in the place of one that is set for good."""
        forms = [option for name, option in options_of(self).items() if name in FORMS]
        sources = {o.name: str(ctx.get_parameter_source(o.name)) for o in forms}
        if any("COMMANDLINE" in source for source in sources.values()):
            for option in forms:
                if "COMMANDLINE" not in sources[option.name]:
                    ctx.params[option.name] = False if option.is_bool_flag else None


def options_of(command: Command) -> dict[str, TyperOption]:
    """The options that a query can be saved with, by name."""
    found = {option_name(o): o for o in command.params if isinstance(o, TyperOption)}
    return {name: option for name, option in found.items() if name != "help"}


def names(configuration: Configuration) -> list[str]:
    """The names of all saved queries.

    Raises:
        UsageError: What should be a table of them is none.
    """
    table = configuration.tables.get(SAVED, {})
    if not isinstance(table, dict):
        raise configuration.error((SAVED,), f"{SAVED} is a table of queries")
    return sorted(table)


def load(context: Context, command: Command, name: str) -> Saved:
    """A saved query, checked.

    Raises:
        UsageError: There is none of that name, or something in it is wrong.
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
    return Saved(table.get(QUERY, ""), found)


def unknown(name: str, known: list[str]) -> UsageError:
    """That no query of a name is saved, with the nearest that is."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, 1)
    return UsageError(
        f"There is no saved query @{name}.",
        why=f"Did you mean @{close[0]}?" if close else "",
        hint=f"See them with: nmm save --list. To look for the text itself: nmm search @@{name}",
    )


def _meant(word: str) -> str | None:
    """The name of the saved query that a word stands for."""
    return word[1:] if word.startswith("@") and NAME.fullmatch(word[1:]) else None
