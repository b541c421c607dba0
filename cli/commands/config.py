"""`nmm config`: the default values of options."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.stdout import emit
from nmm.cli.console.text import printable
from nmm.cli.framework.click_classes import Commands
from nmm.cli.framework.completion import keys, keys_in_file
from nmm.cli.framework.config_file import Configuration, config_file, native, nearest, read
from nmm.cli.framework.config_file import edit as change
from nmm.cli.framework.settings import (
    ALL,
    Setting,
    all_settings,
    commands,
    settings_of,
    variable_in_force,
)
from nmm.cli.options.common import JsonOption
from nmm.index.errors import OutputError, UsageError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from typer.core import TyperGroup

EXAMPLES = """\b
Examples:
  nmm config set quiet true
  nmm config set search.k 20
  nmm config set index.exclude '*.log' build/
  nmm config
"""
# Environment variables that do not belong to an option.
VARIABLES = frozenset({"NMM_CACHE", "NMM_CONFIG", "NMM_DEBUG", "NMM_TIMING"})
TEMPLATE = """\
# Default values of the options of nmm.
#
# [defaults]                 # for all commands
# index = "~/my-index"
#
# [search]                   # for one command
# k = 20
"""

KeyArgument = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help="Setting name, for example search.k, or quiet for all commands.",
        autocompletion=keys,
    ),
]

app = typer.Typer(
    help="View and change the default values of options.",
    epilog=EXAMPLES,
    invoke_without_command=True,
    rich_markup_mode=None,
    cls=Commands,
)


@dataclass(frozen=True, slots=True)
class InForce:
    """A default value in effect, and where it comes from."""

    key: str
    value: Any
    source: str


@app.callback()
def config(context: typer.Context, as_json: JsonOption = False) -> None:
    """View and change the default values of options.

    Without a command, this is nmm config list.
    """
    if context.invoked_subcommand is None:
        list_(context, as_json=as_json)


@app.command("list")
def list_(
    context: typer.Context,
    every: Annotated[
        bool, typer.Option("--all", help="Print all keys, with their environment variables.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the values that are set, with their source. The environment overrides the file."""
    root = _root(context)
    known = all_settings(root)
    if every:
        rows = [
            {"key": s.key, "variable": s.variable, "help": s.option.help} for s in _sorted(known)
        ]
        if as_json:
            emit(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
        else:
            emit("".join(f"{row['key']:28} {row['variable']}\n" for row in rows))
        return
    found = _all_in_force(context, known)
    if as_json:
        shown = [{"key": f.key, "value": f.value, "source": f.source} for f in found]
        emit(json.dumps(shown, ensure_ascii=False, indent=2) + "\n")
    else:
        emit(
            "".join(
                f"{f.key} = {printable(_shown(f.value))}    ({printable(f.source)})\n"
                for f in found
            )
        )
    _name_unknown_variables(known)


@app.command()
def get(context: typer.Context, key: KeyArgument, as_json: JsonOption = False) -> None:
    """Print the value of an option, set or built in. Status 1 if it has none."""
    root = _root(context)
    known = all_settings(root)
    setting = _known(key, known)
    values = _checked(context, read(config_file()), known)
    found = _in_force(_narrow_to_wide(root, setting), values)
    value = found.value if found else native(setting.option.default)
    if as_json:
        emit(json.dumps(value, ensure_ascii=False) + "\n")
    elif value is not None:
        lines = value if isinstance(value, list) else [_plain(value)]
        emit("".join(f"{line}\n" for line in lines))
    if value is None:
        raise typer.Exit(Exit.NOTHING_FOUND)


# A value may begin with a dash.
@app.command("set", context_settings={"ignore_unknown_options": True})
def set_(
    context: typer.Context,
    key: KeyArgument,
    value: Annotated[
        list[str],
        typer.Argument(
            metavar="VALUE", help="The value. Give several for an option that can be repeated."
        ),
    ],
) -> None:
    """Set an option in the configuration file, which is created if needed."""
    setting = _known(key, all_settings(_root(context)))
    option = setting.option
    if len(value) > 1 and not option.multiple:
        raise UsageError(
            f"{setting.key} has one value, and {len(value)} are given.",
            hint="Quote a value that contains spaces.",
        )
    try:
        taken = native(option.process_value(context, value if option.multiple else value[0]))
    except typer.BadParameter as error:
        raise UsageError(f"{setting.key} cannot be {value[0]!r}.", why=error.message) from error

    def put(document: TOMLDocument) -> None:
        import tomlkit

        table: Any = document
        for word in setting.key.split(".")[:-1]:
            if word not in table:
                table[word] = tomlkit.table(is_super_table=False)
            table = table[word]
            if not isinstance(table, dict):
                raise read(file).error((word,), f"{word} has to be a table of options")
        table[setting.name] = taken

    file = config_file()
    change(file, put)


@app.command()
def unset(
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY", help="Setting name, for example search.k.", autocompletion=keys_in_file
        ),
    ],
) -> None:
    """Remove an option from the configuration file. Status 1 if it is not set there."""
    words = _full(key).split(".")
    was_there = False

    def take_out(document: TOMLDocument) -> None:
        nonlocal was_there
        table: Any = document
        for word in words[:-1]:
            table = table.get(word, {}) if isinstance(table, dict) else {}
        was_there = isinstance(table, dict) and words[-1] in table
        if was_there:
            del table[words[-1]]

    file = config_file()
    if file.exists():
        change(file, take_out)
    if not was_there:
        raise typer.Exit(Exit.NOTHING_FOUND)


@app.command()
def path() -> None:
    """Print the path of the configuration file, which may not exist."""
    emit(f"{config_file()}\n")


@app.command()
def edit(context: typer.Context) -> None:
    """Open the configuration file in the editor that VISUAL or EDITOR names."""
    import shlex
    import subprocess

    file = config_file()
    if not file.exists():
        change(file, _fill)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or _usual_editor()
    try:
        command = [*shlex.split(editor, posix=os.name != "nt"), str(file)]
        status = subprocess.run(command, check=False).returncode  # noqa: S603
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The editor {editor} cannot be run.",
            why=str(error),
            hint=f"Set EDITOR to another editor, or open the file yourself: {file}",
        ) from error
    if status:
        raise OutputError(f"The editor {editor} ended with status {status}.")
    _checked(context, read(file), all_settings(_root(context)))


def _fill(document: TOMLDocument) -> None:
    import tomlkit

    for line in TEMPLATE.splitlines():
        document.add(tomlkit.comment(line.removeprefix("#").strip()))


def _usual_editor() -> str:
    import shutil

    if sys.platform == "win32":
        return "notepad"
    return next((name for name in ("nano", "vi") if shutil.which(name)), "vi")


def _root(context: typer.Context) -> TyperGroup:
    root: Any = context.find_root().command
    return root  # type: ignore[no-any-return]


def _full(key: str) -> str:
    return key if "." in key else f"{ALL}.{key}"


def _known(key: str, known: Mapping[str, Setting]) -> Setting:
    full = _full(key)
    if full not in known:
        raise UsageError(f"There is no option {key} that can be set.", hint=nearest(full, known))
    return known[full]


def _checked(
    context: typer.Context, configuration: Configuration, known: Mapping[str, Setting]
) -> dict[str, Any]:
    values = configuration.values(known)
    return {key: configuration.usable(context, known[key], v) for key, v in values.items()}


def _all_in_force(context: typer.Context, known: Mapping[str, Setting]) -> list[InForce]:
    """Return the value in effect of each key in the file or the environment."""
    values = _checked(context, read(config_file()), known)
    return [found for s in _sorted(known) if (found := _in_force([s], values))]


def _in_force(settings: list[Setting], values: Mapping[str, Any]) -> InForce | None:
    if setting := variable_in_force(settings):
        source = f"the environment variable {setting.variable}"
        return InForce(settings[0].key, os.environ[setting.variable], source)
    for setting in settings:
        if setting.key in values:
            return InForce(settings[0].key, values[setting.key], str(config_file()))
    return None


def _narrow_to_wide(root: TyperGroup, wanted: Setting) -> list[Setting]:
    """Return a setting and the more general ones that it overrides."""
    for words, command in commands(root):
        for settings in settings_of(words, command):
            keys_of = [setting.key for setting in settings]
            if wanted.key in keys_of:
                return settings[keys_of.index(wanted.key) :]
    return [wanted]


def _sorted(known: Mapping[str, Setting]) -> list[Setting]:
    return sorted(known.values(), key=lambda s: (bool(s.table), s.key))


def _name_unknown_variables(known: Mapping[str, Setting]) -> None:
    """Print on stderr the variables that begin with NMM_ but have no effect."""
    from difflib import get_close_matches

    own = {*VARIABLES, *(s.variable for s in known.values())}
    for name in sorted(os.environ):
        if name.startswith("NMM_") and name not in own:
            close = get_close_matches(name, own, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            typer.echo(f"{printable(name)} sets nothing.{hint}", err=True)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
