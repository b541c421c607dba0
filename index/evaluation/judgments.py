"""Reads relevance judgments: JSON lines with `query` and `relevant`, a list of paths."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nmm.index.errors import UsageError
from nmm.index.evaluation.line_reader import BadLine, json_lines, read_text

FORMAT_HINT = (
    'Write each line as in this example: {"query": "a cat", "relevant": ["photos/chelsea.jpg"]}'
)


@dataclass(frozen=True)
class Judgments:
    """Queries and their relevant files.

    Attributes:
        relevant: Absolute paths of relevant files by query. Lines with the same query are merged.
        bad: Invalid lines.
    """

    relevant: dict[str, list[str]] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)


def read_judgments(file: Path) -> Judgments:
    """Read queries and their relevant files.

    Paths are absolute, or relative to the folder of the file.

    Raises:
        UsageError: The file cannot be read, or has no valid line.
    """
    judgments = Judgments()
    folder = file.expanduser().absolute().parent
    for number, line in json_lines(read_text(file.expanduser())):
        if isinstance(line, BadLine):
            judgments.bad.append(line)
        elif reason := _find_fault(line):
            judgments.bad.append(BadLine(number, reason))
        else:
            # Replace lone surrogates, which UTF-8 cannot encode.
            query = line["query"].encode("utf-8", "replace").decode()
            paths = line["relevant"] if isinstance(line["relevant"], list) else [line["relevant"]]
            known = judgments.relevant.setdefault(query, [])
            for path in paths:
                absolute = os.path.normpath(folder / path)
                if absolute not in known:
                    known.append(absolute)
    if not judgments.relevant:
        why = (
            f"line {judgments.bad[0].line}: {judgments.bad[0].reason}"
            if judgments.bad
            else "It is empty."
        )
        raise UsageError(
            f"{file} holds no valid query.",
            code="judgments-empty",
            why=why,
            hint=FORMAT_HINT,
            path=file,
        )
    return judgments


def _find_fault(line: dict[str, Any]) -> str:
    """Return why a line is invalid, or an empty string."""
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
    except UnicodeEncodeError:  # a lone surrogate, which JSON can contain
        return False
    return True
