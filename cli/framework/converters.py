"""Conversion of simple option values without importing pydantic.

Typer 0.29 converts every value with pydantic, even defaults and values of the right type.
Importing pydantic and building its validators takes longer than importing numpy. This module
converts simple values, such as numbers, itself. Typer still converts all others, and reports
errors. A version of Typer that gets its converter in another way is unaffected.
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

# Marks a value that Typer has to convert.
NOT_CONVERTED = object()
FLAGS = {"1": True, "true": True, "0": False, "false": False}


def use_converters(parameters: list[Parameter]) -> list[Parameter]:
    """Make parameters convert simple values with this module, and return them."""
    for parameter in parameters:
        if type(parameter) is TyperOption:
            parameter.__class__ = _Option
        elif type(parameter) is TyperArgument:
            parameter.__class__ = _Argument
    return parameters


def convert(value: Any, annotation: Any, constraints: Any) -> Any:
    """Convert a typed or default value to the type of its parameter, or `NOT_CONVERTED`.

    Args:
        value: A text or a converted value; for a list, a sequence of them.
        annotation: The type of the parameter.
        constraints: The arguments that `typer.Option` was called with.
    """
    if get_origin(annotation) is list and isinstance(value, list | tuple):
        (of_each,) = get_args(annotation)
        found = [convert(one, of_each, constraints) for one in value]
        return NOT_CONVERTED if NOT_CONVERTED in found else found
    if constraints.parser is not None or not isinstance(annotation, type):
        return NOT_CONVERTED
    if issubclass(annotation, Enum):
        return next((one for one in annotation if value in (one, one.value)), NOT_CONVERTED)
    if annotation in (int, float):
        return _number(value, annotation, constraints)
    return _of_text(value, annotation, constraints) if type(value) is str else NOT_CONVERTED


def _of_text(text: str, annotation: type, constraints: Any) -> Any:
    if annotation is bool:
        return FLAGS.get(text, NOT_CONVERTED)
    if annotation is Path:
        return _path(text, constraints)
    return text if annotation is str else NOT_CONVERTED


def _number(value: Any, annotation: type[int | float], constraints: Any) -> Any:
    if isinstance(value, str) and value.isascii():
        digits = value if annotation is int else value.replace(".", "", 1)
        number = annotation(value) if digits.isdigit() else NOT_CONVERTED
    else:
        number = value if type(value) is annotation else NOT_CONVERTED
    if number is NOT_CONVERTED:
        return NOT_CONVERTED
    least, most = constraints.min, constraints.max
    fits = (least is None or number >= least) and (most is None or number <= most)
    return number if fits else NOT_CONVERTED


def _path(text: str, constraints: Any) -> Any:
    if constraints.exists or constraints.resolve_path:
        return NOT_CONVERTED
    # Typer refuses an existing file that cannot be read.
    return NOT_CONVERTED if os.path.lexists(text) and not os.access(text, os.R_OK) else Path(text)


class _Converter:
    """A converter that creates Typer's own only if it is needed."""

    def __init__(self, parameter: Any, typers: Callable[[], Any]) -> None:
        self._kind = parameter.type_descriptor
        self._typers = typers

    def coerce(self, value: Any, param: Any, ctx: Context) -> Any:
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        found = convert(value, self._kind.annotation, self._kind.parameter_info)
        return (
            self._typers().coerce(value, param=param, ctx=ctx) if found is NOT_CONVERTED else found
        )


class _Option(TyperOption):
    def get_runtime_param(self) -> Any:
        return _Converter(self, super().get_runtime_param)


class _Argument(TyperArgument):
    def get_runtime_param(self) -> Any:
        return _Converter(self, super().get_runtime_param)
