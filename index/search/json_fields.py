"""Conversion of dataclasses to and from values of JSON and TOML, with checks.

A reader is a function of a value and of its path in the whole, such as ``filters.after``. It
returns the checked value or raises a :class:`.UsageError` that names the path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Reader = Callable[[Any, str], Any]


def plain(value: DataclassInstance) -> dict[str, Any]:
    """Return a dataclass as values of JSON and TOML.

    The result is a dictionary without the fields that are None or an empty tuple. Tuples become
    lists.
    """
    named = ((field.name, getattr(value, field.name)) for field in fields(value))
    return {name: _plain(each) for name, each in named if each is not None and each != ()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return plain(value) if is_dataclass(value) and not isinstance(value, type) else value


def read(data: Any, path: str, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Return the checked fields of an object; missing fields are left out.

    Args:
        data: The object.
        path: Its path; empty for the whole value.
        readers: The reader of each field, by name.

    Raises:
        UsageError: It is not an object, a field is unknown, or a reader refuses a value.
    """
    if not isinstance(data, Mapping):
        raise invalid(path or "The request", "an object with named fields")
    found = {}
    for name, value in data.items():
        inner = f"{path}.{name}" if path else str(name)
        if name not in readers:
            raise UsageError(
                f"There is no field {inner}.",
                code="field-unknown",
                hint=f"The fields are: {', '.join(readers)}.",
                field=inner,
            )
        found[name] = readers[name](value, inner)
    return found


def require(found: Mapping[str, Any], path: str, *names: str) -> None:
    """Refuse an object in which a field is missing.

    Raises:
        UsageError: One of these fields is missing.
    """
    for name in names:
        if name not in found:
            missing = f"{path}.{name}" if path else name
            raise UsageError(
                f"The field {missing} is missing.", code="field-missing", field=missing
            )


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Put the path of a field before the text of errors that its value causes."""
    try:
        yield
    except UsageError as error:
        raise UsageError(
            f"{path}: {error.what}",
            code=error.code,
            why=error.why,
            hint=error.hint,
            **error.params,
        ) from error


def invalid(path: str, expected: str) -> UsageError:
    """Return the error for a field with an unexpected value."""
    return UsageError(
        f"{path} has to be {expected}.", code="field-invalid", path=path, expected=expected
    )


def text(value: Any, path: str) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise invalid(path, "a string")
    return value


def boolean(value: Any, path: str) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise invalid(path, "true or false")
    return value


def integer(value: Any, path: str) -> int:
    """Read a whole number, 0 or more."""
    return _at_least(value, path, 0)


def positive_integer(value: Any, path: str) -> int:
    """Read a whole number, 1 or more."""
    return _at_least(value, path, 1)


def number(value: Any, path: str) -> float:
    """Read a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(path, "a number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise invalid(path, "a finite number")
    return found


def texts(value: Any, path: str) -> tuple[str, ...]:
    """Read a list of strings."""
    return items(text)(value, path)


def items(reader: Reader) -> Callable[[Any, str], tuple[Any, ...]]:
    """Return a reader of lists whose items `reader` reads."""

    def read_items(value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise invalid(path, "a list")
        return tuple(reader(each, f"{path}[{place}]") for place, each in enumerate(value))

    return read_items


def one_of(choices: Collection[str]) -> Callable[[Any, str], str]:
    """Return a reader of strings that allows only some."""

    def read_choice(value: Any, path: str) -> str:
        if not isinstance(value, str) or value not in choices:
            raise invalid(path, f"one of {', '.join(choices)}")
        return value

    return read_choice


def _at_least(value: Any, path: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise invalid(path, f"a whole number, {least} or more")
    return value
