"""Click classes of the commands and groups, with suggestions for mistyped names."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from nmm.cli.framework.converters import use_converters
from nmm.cli.framework.settings import UNCONFIGURED, Setting, all_settings, default_map
from nmm.index.common.tracing import span
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from nmm.cli.framework.click_types import Command as AnyCommand
    from nmm.cli.framework.click_types import Context, Parameter

# Names that other tools use for a command, and the commands of nmm to suggest.
COMMAND_SYNONYMS = {
    "add": ("index",),
    "cat": ("get",),
    "check": ("doctor", "verify"),
    "dedupe": ("dupes",),
    "del": ("remove",),
    "delete": ("remove",),
    "download": ("pull",),
    "dump": ("export",),
    "duplicates": ("dupes",),
    "fetch": ("pull",),
    "find": ("search",),
    "forget": ("remove",),
    "get": ("search", "pull"),
    "grep": ("search",),
    "info": ("status",),
    "init": ("index",),
    "install": ("pull",),
    "label": ("classify",),
    "like": ("similar", "search"),
    "list": ("status",),
    "load": ("import",),
    "ls": ("list", "status"),
    "mv": ("move",),
    "query": ("search",),
    "rename": ("move",),
    "repair": ("doctor",),
    "restore": ("import",),
    "rm": ("remove",),
    "scan": ("index",),
    "settings": ("config",),
    "sort": ("classify",),
    "stats": ("status",),
    "sync": ("index",),
    "tag": ("tags", "classify"),
    "uninstall": ("remove",),
    "unset": ("remove",),
    "update": ("index",),
    "vacuum": ("compact",),
}
# Names that other tools use for an option, and the option of nmm to suggest.
OPTION_SYNONYMS = {
    "--count": "-k",
    "--dir": "--in",
    "--exclude-dir": "--exclude",
    "--extension": "--ext",
    "--filetype": "--type",
    "--folder": "--in",
    "--kind": "--type",
    "--limit": "-k",
    "--location": "--near",
    "--newer": "--after",
    "--null": "-0",
    "--older": "--before",
    "--path": "--in",
    "--print0": "-0",
    "--recursive": "--hidden",
    "--since": "--after",
    "--size": "--larger",
    "--threshold": "--min-score",
    "--top": "-k",
    "--top-k": "-k",
    "--until": "--before",
    "-l": "--paths",
    "-m": "--model",
    "-n": "-k",
    "-t": "--type",
}


class Command(TyperCommand):
    """A command."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        return use_converters(super().get_params(ctx))

    def make_context(
        self, info_name: str | None, args: list[str], parent: Context | None = None, **extra: Any
    ) -> Context:
        with span("command line read"):
            return super().make_context(info_name, args, parent, **extra)


class Commands(TyperGroup):
    """The commands of nmm, or of one of its groups."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        return use_converters(super().get_params(ctx))

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, AnyCommand | None, list[str]]:
        name = args[0]
        if ctx.parent is None:
            with span("configuration read"):
                ctx.default_map = configured(ctx, name)
        if not (self.get_command(ctx, name) or ctx.resilient_parsing or name.startswith("-")):
            found = self._suggest(name)
            hint = (
                _did_you_mean(found) if found or ctx.parent else " To search for it: nmm search …"
            )
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def _suggest(self, name: str) -> list[str]:
        """Return the commands that a word may mean: synonyms first, then similar names."""
        lower = name.lower()
        synonyms = [word for word in COMMAND_SYNONYMS.get(lower, ()) if word in self.commands]
        close = get_close_matches(lower, [n for n, c in self.commands.items() if not c.hidden])
        return synonyms or close

    def invoke(self, ctx: Context) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            _name_variable(error)
            raise
        except Exception as error:
            # Click's NoSuchOption, which Typer does not export.
            if hasattr(error, "possibilities") and hasattr(error, "option_name"):
                _suggest_option(error)
            raise


def configured(context: Context, command: str) -> dict[str, Any]:
    """Return the configured values for a command or group, as Click takes them.

    Raises:
        UsageError: The file is not valid. It is ignored while the shell completes a line.
    """
    from nmm.cli.framework.config_file import config_file, read

    if command in UNCONFIGURED:
        return {}
    try:
        configuration = read(config_file())
        if not configuration.tables:
            return {}
        root: Any = context.command
        known = all_settings(root)
        values = configuration.values(known)

        def usable(setting: Setting) -> Any:
            return configuration.usable(context, setting, values[setting.key])

        return default_map(root, command, values, usable)
    except UsageError:
        if context.resilient_parsing:
            return {}
        raise


def _name_variable(error: typer.BadParameter) -> None:
    """Add to an error the environment variable that the invalid value comes from."""
    option = error.param
    if option is None or error.ctx is None or not isinstance(option.envvar, list):
        return
    source = error.ctx.get_parameter_source(option.name)
    if source is not None and source.name == "ENVIRONMENT":
        name = next(name for name in option.envvar if os.environ.get(name))
        error.message += f" The value comes from the environment variable {name}."


def _suggest_option(error: Any) -> None:
    """Suggest the synonym of an option instead of options with a similar name."""
    meant = OPTION_SYNONYMS.get(error.option_name, "")
    options = {name for parameter in error.ctx.command.params for name in parameter.opts}
    if meant in options:
        error.possibilities = None
        error.message += "." + _did_you_mean([meant])


def _did_you_mean(names: list[str]) -> str:
    return f" Did you mean {', '.join(names)}?" if names else ""
