"""Default values of options, from environment variables and the configuration file.

A key names an option of one command (``search.k``), of a group of commands (``roots.json``), or
of all commands that have it (``defaults.quiet``). The environment variable has the same name in
capitals: NMM_SEARCH_K, NMM_ROOTS_JSON, NMM_QUIET. The command line takes precedence over the
environment, and the environment over the configuration file. In each, the more specific key
takes precedence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup, TyperOption

if TYPE_CHECKING:
    from nmm.cli.framework.click_types import Command

# The table of settings for all commands. Its name must not be that of a command. It contains no
# tables, because `index` is both a command and an option.
ALL = "defaults"
# Options with the same meaning in every command.
SHARED = frozenset(
    {
        "device",
        "dim",
        "history",
        "index",
        "json",
        "model",
        "offline",
        "precision",
        "quiet",
        "threads",
        "wait",
    }
)
# Options that apply to a single run. A default for them would be dangerous.
NOT_SETTABLE = frozenset(
    {
        "add",
        "clear",
        "copy-to",
        "image",
        "link-to",
        "list",
        "minus",
        "move-to",
        "output",
        "prune",
        "rebuild",
        "remove",
        "repair",
        "undo",
        "write-tags",
        "yes",
    }
)
# Commands that ignore the configuration file, because they are used to correct it.
UNCONFIGURED = frozenset({"config", "save"})


@dataclass(frozen=True, slots=True)
class Setting:
    """An option whose default value can be set.

    Attributes:
        table: The words of the command or group; empty for all commands.
        name: The option without its dashes.
        option: The option of the command, or of the first command that has it.
    """

    table: tuple[str, ...]
    name: str
    option: TyperOption

    @property
    def key(self) -> str:
        return ".".join((*(self.table or (ALL,)), self.name))

    @property
    def variable(self) -> str:
        return "_".join(("NMM", *self.table, self.name)).upper().replace("-", "_")


def commands(root: TyperGroup) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Yield the commands and groups with settings, each with its words."""
    for name, command in root.commands.items():
        if name not in UNCONFIGURED:
            yield from _with_subcommands((name,), command)


def _with_subcommands(
    words: tuple[str, ...], command: Command
) -> Iterator[tuple[tuple[str, ...], Command]]:
    yield words, command
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from _with_subcommands((*words, name), inner)


def settings_of(words: tuple[str, ...], command: Command) -> Iterator[list[Setting]]:
    """Yield the settings of each option of a command, the most specific first."""
    for option in command.params:
        if not isinstance(option, TyperOption) or option.hidden:
            continue
        name = option_name(option)
        if name in NOT_SETTABLE:
            continue
        tables = [words[:length] for length in range(len(words), 0, -1)]
        # An option that can be repeated has another meaning in its command.
        shared = name in SHARED and not option.multiple
        yield [Setting(table, name, option) for table in [*tables, *[()] * shared]]


def all_settings(root: TyperGroup) -> dict[str, Setting]:
    """Return all settings by key."""
    found: dict[str, Setting] = {}
    for words, command in commands(root):
        for settings in settings_of(words, command):
            for setting in settings:
                found.setdefault(setting.key, setting)
    return found


def option_name(option: TyperOption) -> str:
    """Return an option without its dashes: the long form, if it has one."""
    return next((o for o in option.opts if o.startswith("--")), option.opts[0]).lstrip("-")


def name_variables(name: str, command: Command) -> None:
    """Make each option of a command read its environment variables. Help does not list them."""
    if name in UNCONFIGURED:
        return
    for words, inner in _with_subcommands((name,), command):
        for settings in settings_of(words, inner):
            settings[0].option.envvar = [setting.variable for setting in settings]
            settings[0].option.show_envvar = False


def variable_in_force(settings: list[Setting]) -> Setting | None:
    """Return the first setting whose environment variable is set."""
    return next((s for s in settings if os.environ.get(s.variable)), None)


def default_map(
    root: TyperGroup, first: str, values: Mapping[str, Any], usable: Callable[[Setting], Any]
) -> dict[str, Any]:
    """Return the values of one command or group in the form of Click's default map.

    Args:
        root: All commands.
        first: The name of the command or group.
        values: Values by key.
        usable: Returns the value of a setting in the type of its option.
    """
    found: dict[str, Any] = {}
    for words, command in commands(root):
        if words[0] != first:
            continue
        place = found
        for word in words:
            place = place.setdefault(word, {})
        for settings in settings_of(words, command):
            for setting in settings:
                if setting.key in values:
                    place[setting.option.name] = usable(setting)
                    break
    return found
