"""What options and arguments become, without the time that it takes to import pydantic.

Typer 0.29 converts every value with pydantic, also what is not given and what is of its type
already; importing that and making its validators takes longer than importing numpy does.
What is as plain as a number is converted here. Whatever may be wrong, or is anything else, Typer
converts as ever, and says what is wrong with it. A Typer that does not ask for its converter in
this way is left alone.
"""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from typer.core import TyperArgument, TyperOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from nmm.cli.framework.click_types import Context, Parameter

UNSURE = object()
FLAGS = {"1": True, "true": True, "0": False, "false": False}


def converting(parameters: list[Parameter]) -> list[Parameter]:
    """The same parameters, which now convert so."""
    for parameter in parameters:
        if type(parameter) is TyperOption:
            parameter.__class__ = _Option
        elif type(parameter) is TyperArgument:
            parameter.__class__ = _Argument
    return parameters


def converted(value: Any, annotation: Any, constraints: Any) -> Any:
    """A value that was typed, or is a default, as its parameter takes it; else `UNSURE`.

    Args:
        value: A text, or what is converted already; of a list, a sequence of those.
        annotation: The type that it is to be of.
        constraints: What `typer.Option` was called with.
    """
    if get_origin(annotation) is list and isinstance(value, list | tuple):
        (of_each,) = get_args(annotation)
        found = [converted(one, of_each, constraints) for one in value]
        return UNSURE if UNSURE in found else found
    if constraints.parser is not None or not isinstance(annotation, type):
        return UNSURE
    if issubclass(annotation, Enum):
        return next((one for one in annotation if value in (one, one.value)), UNSURE)
    if annotation in (int, float):
        return _number(value, annotation, constraints)
    return _of_text(value, annotation, constraints) if type(value) is str else UNSURE


def _of_text(text: str, annotation: type, constraints: Any) -> Any:
    if annotation is bool:
        return FLAGS.get(text, UNSURE)
    if annotation is Path:
        return _path(text, constraints)
    return text if annotation is str else UNSURE


def _number(value: Any, annotation: type[int | float], constraints: Any) -> Any:
    if isinstance(value, str) and value.isascii():
        digits = value if annotation is int else value.replace(".", "", 1)
        number = annotation(value) if digits.isdigit() else UNSURE
    else:
        number = value if type(value) is annotation else UNSURE
    if number is UNSURE:
        return UNSURE
    least, most = constraints.min, constraints.max
    fits = (least is None or number >= least) and (most is None or number <= most)
    return number if fits else UNSURE


def _path(text: str, constraints: Any) -> Any:
    if constraints.exists or constraints.resolve_path:
        return UNSURE
    # What is there and cannot be read, Typer refuses.
    return UNSURE if os.path.lexists(text) and not os.access(text, os.R_OK) else Path(text)


class _Converter:
    """Stands before that of Typer, which is not made as long as it is not needed."""

    def __init__(self, parameter: Any, typers: Callable[[], Any]) -> None:
        self._kind = parameter.type_descriptor
        self._typers = typers

    def coerce(self, value: Any, param: Any, ctx: Context) -> Any:
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        found = converted(value, self._kind.annotation, self._kind.parameter_info)
        return self._typers().coerce(value, param=param, ctx=ctx) if found is UNSURE else found


class _Option(TyperOption):
    def get_runtime_param(self) -> Any:
        return _Converter(self, super().get_runtime_param)


class _Argument(TyperArgument):
    def get_runtime_param(self) -> Any:
        return _Converter(self, super().get_runtime_param)
