"""The commands of nmm, each imported when it is asked for: a search needs one of them."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from nmm.cli.framework import click_classes
from nmm.cli.framework.settings import name_variables
from nmm.index.common.tracing import span

if TYPE_CHECKING:
    from nmm.cli.framework.click_types import Command, Context, HelpFormatter

# In the order of `nmm --help`, each with what that says of it, which is known so before any
# is imported. Each has a module of its name, in that a function of its name and EXAMPLES;
# COMMAND is its class, and SETTINGS are those of its context, if it has any.
COMMANDS = {
    "index": "Index folders of images and texts, or update their index.",
    "search": "Find the images and texts that fit a query best.",
    "similar": "Find the images and texts that are most like a file.",
    "save": "Save a query and options under a name, for nmm search @NAME.",
    "history": "List the searches you made, the last one last.",
    "classify": "Tell which of some labels fits each file best, and how surely.",
    "cluster": "Group the files by what they are of, and name the groups.",
    "dupes": "Find files of which one would do, and say which to keep.",
    "map": "Draw a map on which files that are alike lie together.",
    "status": "Show where the index is and what it holds.",
    "watch": "Bring the index up to date, then keep it so until Ctrl-C.",
    "remove": "Take files or whole folders out of the index; on disk they stay.",
    "doctor": "Check all of the index; with --repair, mend what can be.",
    "compact": "Make the index smaller and its searches faster.",
    "export": "Write the index to a file: an archive, or a table.",
    "import": "Make an index of an archive that nmm export wrote.",
}
# Each has a module of its name, with an app.
GROUPS = {
    "tags": "List the tags that nmm classify gave, and remove them.",
    "eval": "Measure how good results are, where the answers are known.",
    "roots": "List the folders of the index, add, move and forget them.",
    "models": "List the models, download them, check them, delete them.",
    "embed": "Print the vectors of texts or images, for other programs.",
    "config": "See and set what options are by default.",
}
# Modules of other names: Python has `import` itself, and `eval` is a package.
MODULES = {"import": "import_", "eval": "eval.app"}
# Functions of other names, which Python has itself.
FUNCTIONS = {"import": "import_", "map": "map_"}


class Loading(click_classes.Commands):
    """All commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Loaded()

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write what there is to choose from, of which nothing is loaded."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items(), *GROUPS.items()])


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
    module = import_module(f"nmm.cli.commands.{MODULES.get(name, name)}")
    if name in GROUPS:
        for one in module.app.registered_commands:
            if one.cls in (None, TyperCommand):
                one.cls = click_classes.Command
        app.add_typer(module.app, name=name, short_help=GROUPS[name])
    else:
        app.command(
            name,
            short_help=COMMANDS[name],
            epilog=module.EXAMPLES,
            cls=getattr(module, "COMMAND", click_classes.Command),
            context_settings=getattr(module, "SETTINGS", None),
        )(getattr(module, FUNCTIONS.get(name, name)))
    group: Any = typer.main.get_command(app)
    command: Command = group.commands[name]
    name_variables(name, command)
    return command
