"""The commands of nmm, each imported only when it is used."""

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

# Commands in the order of `nmm --help`, with the line that it prints, so that help imports no
# command. Each command is a module with EXAMPLES and a function of the same name. Optionally,
# COMMAND is the command's class and SETTINGS are the settings of its context.
COMMANDS = {
    "index": "Index folders of images and texts, or update an existing index.",
    "search": "Find the images and texts that best match a query.",
    "similar": "Find the images and texts most similar to a file.",
    "save": "Save a query with its options, to run with nmm search @NAME.",
    "history": "List your past searches, the latest last.",
    "classify": "Assign the best of your labels to each file, with a confidence.",
    "cluster": "Group files by subject and name each group.",
    "dupes": "Find duplicate and near-duplicate files; suggest which to keep.",
    "map": "Draw a 2-D map that places similar files close together.",
    "status": "Show where the index is and what it contains.",
    "watch": "Update the index, then keep it up to date until Ctrl-C.",
    "remove": "Remove files or folders from the index, not from the disk.",
    "doctor": "Check the whole index for damage; with --repair, repair it.",
    "compact": "Make the index smaller and its searches faster.",
    "export": "Write the index to a file: an archive or a table.",
    "import": "Create an index from an archive that nmm export wrote.",
}
# Groups of commands. Each is a module with an `app`.
GROUPS = {
    "tags": "List and remove the tags that nmm classify assigned.",
    "eval": "Measure search and classification quality on labelled data.",
    "roots": "List, add, move and remove the indexed folders.",
    "models": "List, download, verify and delete models.",
    "embed": "Print embeddings of texts or images, for other programs.",
    "config": "View and change the default values of options.",
}
# Modules with another name than the command: `import` is a keyword, and `eval` is a package.
MODULES = {"import": "import_", "eval": "eval.app"}
# Functions with another name than the command: a keyword and a built-in function of Python.
FUNCTIONS = {"import": "import_", "map": "map_"}


class LazyCommands(click_classes.Commands):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = LazyCommandMap()

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the list of commands without loading them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items(), *GROUPS.items()])


class LazyCommandMap(MutableMapping[str, "Command"]):
    """The commands by name. Reading one loads it."""

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
    """Import a command or a group of commands."""
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
