r"""`--format`: print results by a template such as ``{score:.3f}\t{path}``.

The braces are those of Python's format strings, but only with names of fields. A template may come
from a script's argument or a configuration file, so it must not access attributes of objects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from string import Formatter
from typing import TYPE_CHECKING, Any

from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from nmm.index.search.result import SearchResult

FIELDS = (
    "rank", "score", "path", "name", "folder", "type", "lines", "text", "width", "height",
    "by_words", "weak", "copies", "query", "model",
)  # fmt: skip
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "0": "\0", "\\": "\\"}


class Template:
    r"""A parsed template for results.

    A line break ends each result, unless the template itself ends in ``\n`` or ``\0``.

    Raises:
        UsageError: It is malformed, or names a field that does not exist.
    """

    def __init__(self, template: str) -> None:
        self._text = _unescaped(template)
        self.end = "" if self._text.endswith(("\n", "\0")) else "\n"
        self._formatter = _Names()
        self._fill(dict.fromkeys(FIELDS, ""), names_only=True)

    def filled(self, query: str, model: str, results: Sequence[SearchResult]) -> str:
        """Return all results, one after the other."""
        return "".join(self._fill(_values(query, model, r)) + self.end for r in results)

    def _fill(self, values: Mapping[str, Any], *, names_only: bool = False) -> str:
        self._formatter.names_only = names_only
        try:
            return self._formatter.vformat(self._text, (), values)
        except UsageError:
            raise
        except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
            raise UsageError(
                f"--format {self._text!r} cannot be filled in.",
                why=f"{str(error) or type(error).__name__}.",
                hint="Write, for instance: --format '{score:.3f}\\t{path}'",
            ) from error


class _Names(Formatter):
    """Looks up fields by plain names, without the attributes and indexes of format strings."""

    names_only = False

    def get_field(
        self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Any, str]:
        del args
        if field_name not in kwargs:
            raise UsageError(
                f"--format has no field {field_name!r}.",
                hint=f"The fields are: {', '.join(FIELDS)}.",
            )
        return kwargs[field_name], field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        if self.names_only:
            return ""
        if value is None:
            # A missing value has the width of its specification, whatever the type.
            width = re.fullmatch(r".*?(\d+)?(?:\.\d+)?[a-zA-Z%]?", format_spec)
            return " " * int(width[1] or 0) if width else ""
        return str(super().format_field(value, format_spec))


def _values(query: str, model: str, result: SearchResult) -> dict[str, Any]:
    path = PurePath(result.path)
    return {
        "rank": result.rank,
        "score": result.score,
        "path": result.path,
        "name": path.name,
        "folder": str(path.parent),
        "type": str(result.type),
        "lines": "{}-{}".format(*result.lines) if result.lines else None,
        "text": result.text,
        "width": result.width,
        "height": result.height,
        "by_words": "yes" if result.by_words else "no",
        "weak": "yes" if result.weak else "no",
        "copies": len(result.copies),
        "query": query,
        "model": model,
    }


def _unescaped(template: str) -> str:
    def character(match: re.Match[str]) -> str:
        try:
            return _ESCAPES[match[1]]
        except KeyError:
            raise UsageError(
                f"--format has no escape {match[0]!r}.".replace("\\\\", "\\"),
                hint="The escapes are \\t, \\n, \\r, \\0 and \\\\.",
            ) from None

    return re.sub(r"\\(.?)", character, template, flags=re.DOTALL)
