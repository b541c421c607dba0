"""Reads files with one record per line, and reports invalid lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmm.index.errors import UsageError


@dataclass(frozen=True, slots=True)
class BadLine:
    """An invalid line: its number, from 1, and the reason."""

    line: int
    reason: str


def read_text(file: Path) -> str:
    """Read a UTF-8 file, with or without a byte order mark.

    Raises:
        UsageError: The file cannot be read or is not UTF-8.
    """
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{file} is not in UTF-8.",
            code="input-file-not-utf-8",
            hint="Save it in UTF-8, and try again.",
            path=file,
        ) from error
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read.",
            code="input-file-unreadable",
            why=f"{error.strerror or error}.",
            hint="Give another file.",
            path=file,
        ) from error


def json_lines(text: str) -> Iterator[tuple[int, dict[str, Any] | BadLine]]:
    """Yield the objects of JSON lines with their line numbers; blank lines are skipped."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as error:
            yield number, BadLine(number, f"not JSON: {error}")
            continue
        except RecursionError:
            yield number, BadLine(number, "not JSON that can be read: too deeply nested")
            continue
        if isinstance(found, dict):
            yield number, found
        else:
            yield number, BadLine(number, "not a JSON object")
