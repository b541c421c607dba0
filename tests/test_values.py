"""Conversion of options: equal to Typer's, and without pydantic for simple types."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import typer
from support import Nmm
from typer.core import TyperGroup

from nmm.cli.app import app
from nmm.cli.framework.converters import NOT_CONVERTED, _Option, convert


class Colour(str, Enum):
    RED = "red"


def parameters(group: Any, words: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Return every parameter of every command, with its name and its command's context."""
    for name, command in group.commands.items():
        context = typer.Context(command, info_name=name)
        for parameter in command.get_params(context):
            yield f"{words}{name} {parameter.name}", parameter, context
        if isinstance(command, TyperGroup):
            yield from parameters(command, f"{words}{name} ")


def test_every_default_becomes_what_typer_makes_of_it() -> None:
    checked = 0
    for name, parameter, context in parameters(typer.main.get_command(app)):
        if not hasattr(parameter, "get_runtime_param") or parameter.default is None:
            continue
        value = parameter.get_default(context)
        ours = parameter.get_runtime_param().coerce(value, parameter, context)
        typers = typer.core._TyperParameter.get_runtime_param(parameter)
        assert ours == typers.coerce(value, param=parameter, ctx=context), name
        checked += 1
    assert checked > 50


def option(annotation: Any, **constraints: Any) -> Any:
    """Return an option of that type, as Typer makes it."""
    one = typer.Typer()

    def command(value: Any = None) -> None: ...

    command.__annotations__ = {"value": annotation}
    command.__defaults__ = (typer.Option(None, **constraints),)
    one.command()(command)
    return typer.main.get_command(one).params[0]


@pytest.mark.parametrize(
    ("annotation", "value", "constraints"),
    [
        (str, "a cat", {}),
        (str, "", {}),
        (int, "3", {}),
        (int, "007", {"min": 1}),
        (int, 3, {"min": 1, "max": 3}),
        (float, "0.5", {}),
        (float, "2", {}),
        (float, ".5", {}),
        (bool, "1", {}),
        (bool, "false", {}),
        (Path, "~/photos", {}),
        (Path, ".", {}),
        (Path, "", {}),
        (Colour, "red", {}),
        (Colour, Colour.RED, {}),
        (list[str], ("a", "b"), {}),
        (list[Path], ["a"], {}),
    ],
)
def test_plain_types_become_the_same(
    annotation: Any, value: Any, constraints: dict[str, Any]
) -> None:
    parameter = option(annotation, **constraints)
    found = convert(value, annotation, parameter.type_descriptor.parameter_info)
    context = typer.Context(typer.main.get_command(app))
    typers = parameter.get_runtime_param().coerce(value, param=parameter, ctx=context)
    assert (found, type(found)) == (typers, type(typers))


@pytest.mark.parametrize(
    ("annotation", "value", "constraints"),
    [
        (int, "0", {"min": 1}),
        (int, "4", {"max": 3}),
        (int, "-1", {}),
        (int, "٣", {}),
        (int, "1.0", {}),
        (int, True, {}),
        (float, "1e3", {}),
        (float, "nan", {}),
        (bool, "perhaps", {}),
        (Colour, "RED", {}),
        (list[int], ["1", "x"], {}),
        (Path, ".", {"exists": True}),
    ],
)
def test_other_types_are_left_to_typer(
    annotation: Any, value: Any, constraints: dict[str, Any]
) -> None:
    info = option(annotation, **constraints).type_descriptor.parameter_info
    assert convert(value, annotation, info) is NOT_CONVERTED


def test_errors_are_those_of_typer(here: Nmm) -> None:
    said = here("search", "a cat", "-k", "0").stderr
    assert "Invalid value for '-k'" in said
    assert "1" in said
    assert "is not one of 'image', 'text', 'all'" in here("search", "x", "--type", "song").stderr
    assert "'--min-score'" in here("search", "x", "--min-score", "much").stderr


def test_parameters_of_all_commands_are_converted_so() -> None:
    root: Any = typer.main.get_command(app)
    found = {type(one) for one in root.commands["search"].get_params(typer.Context(root))}
    assert _Option in found
    assert typer.core.TyperOption not in found
