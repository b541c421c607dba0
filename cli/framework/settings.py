"""What options are where the command line does not say: keys, and environment variables.

A key names an option of one command, ``search.k``; of a group of commands, ``roots.json``;
or of all commands that have it, ``defaults.quiet``. In capitals it is an environment
variable: NMM_SEARCH_K, NMM_ROOTS_JSON, NMM_QUIET. The command line comes first, then the
environment, then the configuration file, and in each the narrower key before the wider.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup, TyperOption

if TYPE_CHECKING:
    from nmm.cli.framework.click_types import Command

# The table of what holds for all commands. It is no command's name, while `index` is that of
# a command and of an option: hence no table in this one.
ALL = "defaults"
# Options that mean the same wherever they stand.
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
# Options that say what one run is to do; for good they would be a trap.
NEVER = frozenset(
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
# Commands that work whatever the file says, for they are what puts it right.
UNREACHED = frozenset({"config", "save"})


@dataclass(frozen=True, slots=True)
class Setting:
    """An option that can be set.

    Attributes:
        table: The words of the command or group; none for all commands.
        name: The option without its dashes.
        option: It, or that of the first command that has it.
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
    """The commands and groups that can be set, each with its words."""
    for name, command in root.commands.items():
        if name not in UNREACHED:
            yield from _with_those_in_it((name,), command)


def _with_those_in_it(
    words: tuple[str, ...], command: Command
) -> Iterator[tuple[tuple[str, ...], Command]]:
    yield words, command
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from _with_those_in_it((*words, name), inner)


def settings_of(words: tuple[str, ...], command: Command) -> Iterator[list[Setting]]:
    """For each option of a command what sets it, the narrowest first."""
    for option in command.params:
        if not isinstance(option, TyperOption) or option.hidden:
            continue
        name = option_name(option)
        if name in NEVER:
            continue
        tables = [words[:length] for length in range(len(words), 0, -1)]
        # One that may stand several times means something else there.
        shared = name in SHARED and not option.multiple
        yield [Setting(table, name, option) for table in [*tables, *[()] * shared]]


def all_settings(root: TyperGroup) -> dict[str, Setting]:
    """All that can be set, by key."""
    found: dict[str, Setting] = {}
    for words, command in commands(root):
        for settings in settings_of(words, command):
            for setting in settings:
                found.setdefault(setting.key, setting)
    return found


def option_name(option: TyperOption) -> str:
    """The option as it is typed, without dashes: the long form, if it has one."""
    return next((o for o in option.opts if o.startswith("--")), option.opts[0]).lstrip("-")


def name_variables(name: str, command: Command) -> None:
    """Have each option of a command look at its environment variables, which help leaves out."""
    if name in UNREACHED:
        return
    for words, inner in _with_those_in_it((name,), command):
        for settings in settings_of(words, inner):
            settings[0].option.envvar = [setting.variable for setting in settings]
            settings[0].option.show_envvar = False


def variable_in_force(settings: list[Setting]) -> Setting | None:
    """Of what sets an option the one whose environment variable does."""
    return next((s for s in settings if os.environ.get(s.variable)), None)


def default_map(
    root: TyperGroup, first: str, values: Mapping[str, Any], usable: Callable[[Setting], Any]
) -> dict[str, Any]:
    """Values by key, as Click takes them: by command and parameter, of one command or group.

    `usable` makes of a setting with a value that value as its option takes it.
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
