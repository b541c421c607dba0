"""The forms in which results are printed for scripts, and the choice of one.

Machine output keeps every path as it is on disk, whatever characters are in it.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from nmm.cli.console.stdout import emit
from nmm.cli.render.json_schema import VERSION, fields
from nmm.cli.render.template import Template
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from nmm.index.search.result import Result

# How the bytes of a name that is no UTF-8 came into a string, and come out of it again.
AS_ON_DISK = sys.getfilesystemencodeerrors()


class Form(Protocol):
    """How the results of a query are printed; made once for all queries of a run."""

    def write(self, query: str, model: str, results: Sequence[Result]) -> None:
        """Print the results of one query, which that model answered."""


def chosen(
    *,
    several: bool,
    as_json: bool = False,
    as_jsonl: bool = False,
    as_csv: bool = False,
    as_paths: bool = False,
    as_nul: bool = False,
    template: str | None = None,
) -> Form | None:
    """The form for scripts that was asked for, or None.

    Raises:
        UsageError: More than one was, or the template is none.
    """
    forms: dict[str, tuple[bool, Callable[[], Form]]] = {
        "--json": (as_json, lambda: Json(several)),
        "--jsonl": (as_jsonl, JsonLines),
        "--csv": (as_csv, Csv),
        "--paths": (as_paths, Paths),
        "-0": (as_nul, NulPaths),
        "--format": (template is not None, lambda: Formatted(template or "")),
    }
    wanted = only_one({option: given for option, (given, _) in forms.items()})
    return forms[wanted][1]() if wanted else None


def only_one(given: Mapping[str, bool]) -> str:
    """The option that was given, of some of which each is a form of output; empty if none was.

    Raises:
        UsageError: More than one was.
    """
    wanted = [option for option, is_given in given.items() if is_given]
    if len(wanted) > 1:
        *first, last = given
        raise UsageError(
            "Only one form of output can be printed.",
            hint=f"Give one of {', '.join(first)} and {last}.",
        )
    return wanted[0] if wanted else ""


class Json:
    """One object for a query: over several lines, or, of several queries, on one each."""

    def __init__(self, several: bool) -> None:
        self._indent = None if several else 2

    def write(self, query: str, model: str, results: Sequence[Result]) -> None:
        answer = {
            "version": VERSION,
            "query": query,
            "model": model,
            "results": [fields(result) for result in results],
        }
        emit(json.dumps(answer, ensure_ascii=False, indent=self._indent) + "\n")


class JsonLines:
    """One object for a result, with its query, on a line."""

    def write(self, query: str, model: str, results: Sequence[Result]) -> None:
        del model
        for result in results:
            emit(json.dumps({"query": query, **fields(result)}, ensure_ascii=False) + "\n")


class Csv:
    """RFC 4180 but for the line ends, which are those of every other output here.

    Lists, true and false are as in the JSON, but for `lines`.
    """

    COLUMNS = (
        "query", "rank", "score", "path", "type", "lines", "text", "width", "height",
        "spans", "by_words", "weak", "copies",
    )  # fmt: skip

    def __init__(self) -> None:
        self._header = True

    def write(self, query: str, model: str, results: Sequence[Result]) -> None:
        del model
        rows = [csv_row(self.COLUMNS)] if self._header else []
        self._header = False
        for result in results:
            named = {"query": query, **fields(result)}
            for name in ("spans", "by_words", "weak", "copies"):
                if name in named:
                    named[name] = json.dumps(named[name], ensure_ascii=False)
            if result.lines:
                named["lines"] = "{}-{}".format(*result.lines)
            rows.append(csv_row([named.get(column) for column in self.COLUMNS]))
        emit("".join(rows), AS_ON_DISK)


def csv_row(values: Sequence[object]) -> str:
    row = io.StringIO()
    # With this line end, which is cut off again, a lone \r in a value is quoted, too.
    csv.writer(row, lineterminator="\r\n").writerow(values)
    return row.getvalue()[:-2] + "\n"


class Paths:
    """Absolute paths and nothing else."""

    end = "\n"

    def write(self, query: str, model: str, results: Sequence[Result]) -> None:
        del query, model
        emit("".join(result.path + self.end for result in results), AS_ON_DISK)


class NulPaths(Paths):
    """Absolute paths for `xargs -0`."""

    end = "\0"


class Formatted:
    """As a template says, see :mod:`nmm.cli.render.template`."""

    def __init__(self, template: str) -> None:
        self._template = Template(template)

    def write(self, query: str, model: str, results: Sequence[Result]) -> None:
        emit(self._template.filled(query, model, results), AS_ON_DISK)
