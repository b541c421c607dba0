"""Output formats for scripts.

They print every path unchanged, whatever characters it contains.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from nmm.cli.console.stdout import emit
from nmm.cli.options.output import Output, OutputFormat
from nmm.cli.render.json_schema import VERSION, fields
from nmm.cli.render.template import Template

if TYPE_CHECKING:
    from nmm.index.search.result import SearchResult

# The error handler that decodes file names that are not UTF-8, and encodes them again.
AS_ON_DISK = sys.getfilesystemencodeerrors()


class ResultWriter(Protocol):
    """Prints the results of queries in one format. One instance prints all queries of a run."""

    def write(self, query: str, model: str, results: Sequence[SearchResult]) -> None:
        """Print the results of one query, which `model` ranked."""


def result_writer(output: Output, *, several: bool) -> ResultWriter | None:
    """Return the writer for a format, or None for the table.

    Args:
        output: The chosen format.
        several: Whether there may be several queries.

    Raises:
        UsageError: The template is malformed.
    """
    writers: Mapping[OutputFormat, Callable[[], ResultWriter]] = {
        OutputFormat.JSON: lambda: Json(several),
        OutputFormat.JSONL: JsonLines,
        OutputFormat.CSV: Csv,
        OutputFormat.PATHS: Paths,
        OutputFormat.NUL_PATHS: NulPaths,
        OutputFormat.TEMPLATE: lambda: Formatted(output.template),
    }
    return writers[output.format]() if output.format in writers else None


class Json:
    """Prints a JSON object per query: indented, or on one line each for several queries."""

    def __init__(self, several: bool) -> None:
        self._indent = None if several else 2

    def write(self, query: str, model: str, results: Sequence[SearchResult]) -> None:
        answer = {
            "version": VERSION,
            "query": query,
            "model": model,
            "results": [fields(result) for result in results],
        }
        emit(json.dumps(answer, ensure_ascii=False, indent=self._indent) + "\n")


class JsonLines:
    """Prints a JSON object per result, with its query, on one line."""

    def write(self, query: str, model: str, results: Sequence[SearchResult]) -> None:
        del model
        for result in results:
            emit(json.dumps({"query": query, **fields(result)}, ensure_ascii=False) + "\n")


class Csv:
    """Prints CSV by RFC 4180, but with the line ends of all other output.

    Lists and booleans are printed as JSON, except `lines`.
    """

    COLUMNS = (
        "query", "rank", "score", "path", "type", "lines", "text", "width", "height",
        "spans", "by_words", "weak", "copies",
    )  # fmt: skip

    def __init__(self) -> None:
        self._header = True

    def write(self, query: str, model: str, results: Sequence[SearchResult]) -> None:
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
    """Return a row of CSV with its line end."""
    row = io.StringIO()
    # With this line end, which is removed again, a single \r in a value is quoted, too.
    csv.writer(row, lineterminator="\r\n").writerow(values)
    return row.getvalue()[:-2] + "\n"


class Paths:
    """Prints absolute paths, one per line."""

    end = "\n"

    def write(self, query: str, model: str, results: Sequence[SearchResult]) -> None:
        del query, model
        emit("".join(result.path + self.end for result in results), AS_ON_DISK)


class NulPaths(Paths):
    """Prints absolute paths for `xargs -0`."""

    end = "\0"


class Formatted:
    """Prints results by a template, see :mod:`nmm.cli.render.template`."""

    def __init__(self, template: str) -> None:
        self._template = Template(template)

    def write(self, query: str, model: str, results: Sequence[SearchResult]) -> None:
        emit(self._template.filled(query, model, results), AS_ON_DISK)
