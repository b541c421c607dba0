"""`nmm save`: queries under a name."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.stdout import emit
from nmm.cli.console.text import printable, valid
from nmm.cli.framework.completion import saved_names
from nmm.cli.framework.config_file import SAVED, config_file, edit, native, read
from nmm.cli.framework.saved_queries import NAME, QUERY, Saved, load, names, options_of, unknown
from nmm.cli.options.common import JsonOption
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

    from nmm.cli.framework.click_types import Command

EXAMPLES = """\b
Examples:
  nmm save cats cute cats --type image --after '2 years ago'
  nmm search @cats
  nmm search @cats -k 3
  nmm save --list
  nmm save --remove cats
"""
# What follows the name is read as a search reads it.
SETTINGS = {"allow_interspersed_args": False}
# Options of texts that can be names of files.
FILES = frozenset({"add", "minus"})


def save(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="What it is called.", show_default=False),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY [OPTIONS]",
            help="What to look for, and options of nmm search.",
            show_default=False,
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="List what is saved.")] = False,
    remove: Annotated[
        str | None,
        typer.Option("--remove", metavar="NAME", help="Forget one.", autocompletion=saved_names),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Save a query and options under a name, for nmm search @NAME.

    Its own options stand before the name; all that follows it is as with nmm search. In a
    search, more options and words can be added, and options given again.
    """
    root: Any = context.find_root().command
    search: Command = root.commands["search"]
    if show:
        _list(context, search, as_json=as_json)
    elif remove is not None:
        _remove(remove.removeprefix("@"))
    elif name is None:
        context.fail("Missing argument 'NAME'.")
    else:
        _save(context, search, _checked(name), arguments or [])


def _list(context: typer.Context, search: Command, *, as_json: bool) -> None:
    known = {name: load(context, search, name) for name in names(read(config_file()))}
    if as_json:
        shown = [{"name": n, QUERY: s.query, "options": s.options} for n, s in known.items()]
        emit(json.dumps(shown, ensure_ascii=False, indent=2) + "\n")
    else:
        emit("".join(f"@{name}  {_as_typed(saved, search)}\n" for name, saved in known.items()))
    if not known:
        raise typer.Exit(Exit.NOTHING_FOUND)


def _remove(name: str) -> None:
    known = names(read(config_file()))
    if name not in known:
        raise unknown(name, known)

    def take_out(document: TOMLDocument) -> None:
        table: Any = document[SAVED]
        del table[name]

    edit(config_file(), take_out)


def _save(context: typer.Context, search: Command, name: str, arguments: list[str]) -> None:
    saved = _parsed(context, search, arguments)

    def put(document: TOMLDocument) -> None:
        import tomlkit

        if SAVED not in document:
            document[SAVED] = tomlkit.table(is_super_table=True)
        table = tomlkit.table()
        table.update({QUERY: saved.query, **saved.options})
        all_saved: Any = document[SAVED]
        all_saved[name] = table

    names(read(config_file()))  # what is there already is what it should be
    edit(config_file(), put)
    emit(f"Saved: {_as_typed(saved, search)}\nAsk it with: nmm search @{name}\n")


def _parsed(context: typer.Context, search: Command, arguments: list[str]) -> Saved:
    """What the arguments of a search say, as the search itself reads them."""
    asked = search.make_context("search", list(arguments), parent=context.parent)
    options = {}
    for key, option in options_of(search).items():
        source = asked.get_parameter_source(option.name)
        if source is not None and source.name == "COMMANDLINE":
            value = native(asked.params[option.name])
            options[key] = [_absolute(one) for one in value] if key in FILES else value
    query = _absolute(valid(" ".join(asked.params["words"] or [])))
    if not query and not options:
        raise UsageError("There is nothing to save.", hint="As in: nmm save cats cute cats")
    return Saved(query, options)


def _absolute(text: str) -> str:
    """What means the same in any folder: the name of a file there is made absolute."""
    with suppress(OSError, ValueError):
        if Path(text).is_file():
            return str(Path(text).absolute())
    return text


def _checked(name: str) -> str:
    plain = name.removeprefix("@")
    if not NAME.fullmatch(plain):
        raise UsageError(
            f"A query cannot be called {name!r}.",
            why="A name is of letters, digits, - and _, at most 64, the first a letter or digit.",
            hint="As in: nmm save cats cute cats",
        )
    return plain


def _as_typed(saved: Saved, search: Command) -> str:
    typed = [part for _, parts in saved.arguments(options_of(search)) for part in parts]
    return printable(join([*filter(None, [saved.query]), *typed]))
