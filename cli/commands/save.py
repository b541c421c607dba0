"""`nmm save`: save a query with options under a name."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.stdout import emit
from nmm.cli.console.text import printable, valid
from nmm.cli.framework.completion import saved_names
from nmm.cli.framework.config_file import SAVED, config_file, edit, native, read
from nmm.cli.framework.saved_queries import (
    NAME,
    QUERY,
    SavedQuery,
    is_from_saved_query,
    load,
    names,
    options_of,
    unknown,
)
from nmm.cli.options.common import JsonOption
from nmm.cli.options.filters import FilterOptions
from nmm.cli.options.output import read_output
from nmm.cli.options.search import SearchOptions
from nmm.cli.render.formats import result_writer
from nmm.index.errors import UsageError
from nmm.index.search.image_files import find_image
from nmm.index.search.query import Query
from nmm.index.search.query_syntax import parse

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

    from nmm.cli.framework.click_types import Command, Context

EXAMPLES = """\b
Examples:
  nmm save cats cute cats --type image --after '2 years ago'
  nmm search @cats
  nmm search @cats -k 3
  nmm save --list
  nmm save --remove cats
"""
# The arguments after the name are parsed like those of a search.
SETTINGS = {"allow_interspersed_args": False}
# Options whose values can be paths of files.
PATH_OPTIONS = frozenset({"add", "minus"})


def save(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="The name of the query.", show_default=False),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY [OPTIONS]",
            help="The query, and options of nmm search.",
            show_default=False,
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="List the saved queries.")] = False,
    remove: Annotated[
        str | None,
        typer.Option(
            "--remove", metavar="NAME", help="Delete a saved query.", autocompletion=saved_names
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Save a query and options under a name, to run with nmm search @NAME.

    Options of nmm save come before the name. The rest is the same as for nmm search. A search can
    add words and options, and override saved options.
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

    names(read(config_file()))  # refuses a malformed file before it is changed
    edit(config_file(), put)
    emit(f"Saved: {_as_typed(saved, search)}\nRun it with: nmm search @{name}\n")


def _parsed(context: typer.Context, search: Command, arguments: list[str]) -> SavedQuery:
    """Parse and check arguments of `nmm search`; return the query and options.

    Raises:
        UsageError: There are none, or a search would refuse them.
    """
    asked = search.make_context("search", list(arguments), parent=context.parent)
    options = {}
    for key, option in options_of(search).items():
        source = asked.get_parameter_source(option.name)
        is_typed = source is not None and source.name == "COMMANDLINE"
        if is_typed or is_from_saved_query(asked, str(option.name)):
            value = native(asked.params[option.name])
            options[key] = [_absolute(one) for one in value] if key in PATH_OPTIONS else value
    query = _absolute(valid(" ".join(asked.params["words"] or [])))
    if not query and not options:
        raise UsageError("There is nothing to save.", hint="For example: nmm save cats cute cats")
    _check(asked, query)
    return SavedQuery(query, options)


def _check(asked: Context, query: str) -> None:
    """Refuse options that a search with this query would refuse.

    Raises:
        UsageError: See :class:`.SearchRequest` and :func:`.read_output`.
    """
    given = asked.params
    outputs = ("as_json", "as_jsonl", "as_csv", "as_paths", "as_nul", "template")
    result_writer(read_output(asked, **{name: given[name] for name in outputs}), several=False)
    considered = FilterOptions(**{field.name: given[field.name] for field in fields(FilterOptions)})
    shared = ("limit", "drop_weak", "min_score", "show_all", "mode", "raw_prompt")
    options = SearchOptions(
        filters=considered.read(),
        kinds=considered.kinds,
        mark_weak=True,
        **{name: given[name] for name in shared},
    )
    # Options alone are checked with any text.
    options.request(parse(query, find_image) if query else Query.of_text("text"))


def _absolute(text: str) -> str:
    """Return a text with the same meaning in any folder: the path of a file becomes absolute."""
    with suppress(OSError, ValueError):
        if Path(text).is_file():
            return str(Path(text).absolute())
    return text


def _checked(name: str) -> str:
    plain = name.removeprefix("@")
    if not NAME.fullmatch(plain):
        raise UsageError(
            f"{name!r} is not a valid name for a query.",
            why="A name begins with a letter or digit and has at most 64 letters, digits, - and _.",
            hint="For example: nmm save cats cute cats",
        )
    return plain


def _as_typed(saved: SavedQuery, search: Command) -> str:
    """Return the query and its options as a person types them, for display."""
    options = options_of(search)
    parts = [saved.query] if saved.query else []
    for name, value in saved.options.items():
        option = options[name]
        if option.is_bool_flag:
            parts += (option.opts if value else option.secondary_opts)[:1]
        else:
            values = value if isinstance(value, list) else [value]
            parts += [part for one in values for part in (option.opts[0], str(one))]
    return printable(join(parts))
