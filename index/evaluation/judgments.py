"""Queries with what is right for them: JSON lines with `query` and `relevant`, a list of paths."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nmm.index.errors import UsageError
from nmm.index.evaluation.line_reader import BadLine, json_lines, read_text

HINT = 'Write each line as in this example: {"query": "a cat", "relevant": ["photos/chelsea.jpg"]}'


@dataclass(frozen=True)
class Captions:
    """What is to be found.

    Attributes:
        relevant: Absolute paths of what is right, by query; lines of one query are one.
        bad: Lines that say nothing of the kind.
    """

    relevant: dict[str, list[str]] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)


def read_captions(file: Path) -> Captions:
    """Read queries and what is right for them.

    Paths are absolute, or relative to the folder that the file is in.

    Raises:
        UsageError: It cannot be read, or no line of it is as it should be.
    """
    found = Captions()
    folder = file.expanduser().absolute().parent
    for number, line in json_lines(read_text(file.expanduser())):
        if isinstance(line, BadLine):
            found.bad.append(line)
        elif reason := _wrong(line):
            found.bad.append(BadLine(number, reason))
        else:
            # No surrogates that UTF-8 cannot say, which nothing could be found by.
            query = line["query"].encode("utf-8", "replace").decode()
            paths = line["relevant"] if isinstance(line["relevant"], list) else [line["relevant"]]
            known = found.relevant.setdefault(query, [])
            for path in paths:
                absolute = os.path.normpath(folder / path)
                if absolute not in known:
                    known.append(absolute)
    if not found.relevant:
        why = f"line {found.bad[0].line}: {found.bad[0].reason}" if found.bad else "It is empty."
        raise UsageError(
            f"{file} holds no valid query.",
            code="judgments-empty",
            why=why,
            hint=HINT,
            path=file,
        )
    return found


def _wrong(line: dict[str, Any]) -> str:
    """Why a line cannot be used; empty if it can."""
    for name in ("query", "relevant"):
        if name not in line:
            return f"no {name!r}"
    query, relevant = line["query"], line["relevant"]
    if not isinstance(query, str) or not query.strip():
        return "'query' is not a text"
    paths = relevant if isinstance(relevant, list) else [relevant]
    if not paths:
        return "'relevant' is empty"
    return "" if all(map(_may_be_path, paths)) else "'relevant' is not a list of paths"


def _may_be_path(path: object) -> bool:
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        return False
    try:
        os.fsencode(path)
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can say
        return False
    return True
