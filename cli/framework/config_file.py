"""The configuration file: find, read, validate, and edit it without losing comments."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nmm.cli.framework.settings import ALL, Setting
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

    from nmm.cli.framework.click_types import Context

# The table of saved queries, see :mod:`nmm.cli.framework.saved_queries`.
SAVED = "saved"
EDIT = "Correct it with: nmm config edit"


def config_file() -> Path:
    """Return the file's path: `NMM_CONFIG`, else one in the user's configuration directory."""
    if named := os.environ.get("NMM_CONFIG"):
        return Path(named).expanduser().absolute()
    from platformdirs import user_config_path

    return user_config_path("nmm", appauthor=False) / "config.toml"


@dataclass(frozen=True, slots=True)
class Configuration:
    """A parsed configuration file.

    Attributes:
        file: Its path. The file may not exist.
        text: Its text.
        tables: Its parsed text.
    """

    file: Path
    text: str
    tables: Mapping[str, Any]

    def values(self, known: Mapping[str, Setting]) -> dict[str, Any]:
        """Return the values by key.

        Raises:
            UsageError: A key is unknown or in the wrong place.
        """
        return dict(self._values((), self.tables, known))

    def _values(
        self, words: tuple[str, ...], table: Mapping[str, Any], known: Mapping[str, Setting]
    ) -> Iterator[tuple[str, Any]]:
        tables = {(ALL,), *(setting.table for setting in known.values())}
        for name, value in table.items():
            inner = (*words, name)
            if inner == (SAVED,):
                continue
            if isinstance(value, dict) and inner in tables:
                yield from self._values(inner, value, known)
            elif (key := ".".join(inner)) in known and not isinstance(value, dict):
                yield key, value
            else:
                raise self.error(inner, f"there is no option {key}", nearest(key, known))

    def usable(self, context: Context, setting: Setting, value: Any) -> Any:
        """Return a value in the type that the command takes, with absolute paths.

        Raises:
            UsageError: The option does not accept the value.
        """
        words = tuple(setting.key.split("."))
        option = setting.option
        if problem := _wrong_type(setting, value):
            raise self.error(words, f"{setting.key} has to be {problem}")
        try:
            plain = _as_typed(value)
            taken = option.process_value(context, plain)
        except typer.BadParameter as error:
            raise self.error(words, f"{setting.key}: {error.message}") from error
        if isinstance(taken, Path):
            return str(self.file.parent / taken.expanduser())
        return plain

    def error(self, words: tuple[str, ...], what: str, hint: str = "") -> UsageError:
        """Return an error about the file, with the line it concerns."""
        line = _line_of(self.text, words)
        place = f"{self.file}, line {line}" if line else str(self.file)
        return UsageError(f"{place}: {what}.", hint=hint or EDIT)


def read(file: Path) -> Configuration:
    """Read the file. A missing file reads as an empty one.

    Raises:
        UsageError: It cannot be read, or is not TOML.
    """
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return Configuration(file, "", {})
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"The configuration file {file} cannot be read.",
            why=why,
            hint="To use another file, set NMM_CONFIG.",
        ) from error
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return Configuration(file, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not TOML: {error}.", hint=EDIT) from error


def edit(file: Path, change: Callable[[TOMLDocument], None]) -> None:
    """Change or create the file atomically. Comments and order stay.

    Raises:
        UsageError: The existing file is not TOML.
        OutputError: It cannot be written.
    """
    import tomlkit

    from nmm.index.common.atomic_files import replace_atomically, translate_write_errors

    document = tomlkit.parse(read(file).text)
    change(document)
    with translate_write_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        # Saved queries are private, so a new file is readable by its owner only.
        mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
    with replace_atomically(file) as part:
        part.touch(mode=mode)
        part.write_text(tomlkit.dumps(document), "utf-8")
        part.chmod(mode)


def native(taken: Any) -> Any:
    """Convert a parsed value of an option to a type of TOML."""
    if isinstance(taken, list | tuple):
        return [native(one) for one in taken]
    if isinstance(taken, Enum):
        return taken.value
    if isinstance(taken, Path) and str(taken) != "-":
        return str(taken.expanduser().absolute())
    return str(taken) if isinstance(taken, Path) else taken


def nearest(key: str, known: Mapping[str, Setting], see: str = "nmm config list --all") -> str:
    """Return a hint for an unknown key."""
    from difflib import get_close_matches

    same = [other for other in known if other.rpartition(".")[2] == key.rpartition(".")[2]]
    found = get_close_matches(key, same, 1, cutoff=0) or get_close_matches(key, known, 1)
    named = f"Did you mean {found[0]}? " if found else ""
    return f"{named}See all with: {see}"


def _wrong_type(setting: Setting, value: Any) -> str:
    """Return what is wrong with the type of a value. Click itself would accept 1 for true."""
    option = setting.option
    if option.is_bool_flag:
        return "" if isinstance(value, bool) else "true or false"
    if option.multiple:
        fits = isinstance(value, list) and not any(isinstance(v, bool | list | dict) for v in value)
        return "" if fits else f'a list, such as {setting.name} = ["…"]'
    if isinstance(value, bool | list | dict):
        return "a single text or number"
    return ""


def _as_typed(value: Any) -> Any:
    """Convert dates of TOML to text, as on the command line."""
    if isinstance(value, list):
        return [_as_typed(one) for one in value]
    return value.isoformat() if isinstance(value, date | datetime) else value


def _line_of(text: str, words: tuple[str, ...]) -> int | None:
    """Return the line of a key or table, else the first line of its table."""
    table: tuple[str, ...] = ()
    found = None
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\[?([^\]]+)\]", line):
            table = _words(header[1])
            if table == words[: len(table)]:
                found = number
        elif (key := re.match(r"\s*([^=#]+?)\s*=", line)) and (
            (*table, *_words(key[1])) == words[: len(table) + len(_words(key[1]))]
        ):
            return number
        if table == words:
            return number
    return found


def _words(dotted: str) -> tuple[str, ...]:
    return tuple(word.strip().strip("\"'") for word in dotted.split("."))
