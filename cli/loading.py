"""The commands of nmm, each imported when it is asked for: a search needs one of them."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from nmm.cli import commands
from nmm.cli.defaults import name_variables
from nmm.index.timing import span

if TYPE_CHECKING:
    from typer._click import Command

# In the order of `nmm --help`. Each has a module of its name, in that a function of its name and
# EXAMPLES; COMMAND is its class, and SETTINGS are those of its context, if it has any.
COMMANDS = (
    "index",
    "search",
    "similar",
    "save",
    "history",
    "classify",
    "cluster",
    "dupes",
    "map",
    "status",
    "watch",
    "remove",
    "doctor",
    "compact",
    "export",
    "import",
)
# Each has a module of its name, with an app.
GROUPS = ("tags", "eval", "roots", "models", "embed", "config")
# Names that Python has itself.
MODULES = {"import": "import_", "map": "map_"}


class Loading(commands.Commands):
    """All commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Loaded()


class Loaded(MutableMapping[str, "Command"]):
    """The commands by name, those that were asked for and those that may be."""

    def __init__(self) -> None:
        self._commands: dict[str, Command | None] = dict.fromkeys((*COMMANDS, *GROUPS))

    def __getitem__(self, name: str) -> Command:
        found = self._commands[name]
        if found is None:
            with span(f"command {name} loaded"):
                found = self._commands[name] = load(name)
        return found

    def __setitem__(self, name: str, command: Command) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)

    def __contains__(self, name: object) -> bool:
        return name in self._commands


def load(name: str) -> Command:
    """A command or group of commands, of which nothing was imported before."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.callback()(lambda: None)
    module = import_module(f"nmm.cli.{MODULES.get(name, name)}")
    if name in GROUPS:
        for one in module.app.registered_commands:
            if one.cls in (None, TyperCommand):
                one.cls = commands.Command
        app.add_typer(module.app, name=name)
    else:
        app.command(
            name,
            epilog=module.EXAMPLES,
            cls=getattr(module, "COMMAND", commands.Command),
            context_settings=getattr(module, "SETTINGS", None),
        )(getattr(module, MODULES.get(name, name)))
    group: Any = typer.main.get_command(app)
    command: Command = group.commands[name]
    name_variables(name, command)
    return command
