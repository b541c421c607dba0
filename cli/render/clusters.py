"""Prints clusters of files: as a table, JSON or CSV."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from nmm.cli.console.stdout import emit
from nmm.cli.console.text import printable
from nmm.cli.render.formats import AS_ON_DISK, csv_row, only_one

if TYPE_CHECKING:
    from typing import TypeAlias

    from nmm.index.analysis.clustering.clusters import Cluster, Method
    from nmm.index.analysis.collection import FileCollection

    Writer: TypeAlias = Callable[[FileCollection, Sequence[Cluster], Method], None]

VERSION = 1
UNKNOWN_WIDTH, MIN_WIDTH = 160, 40
# Central files per cluster in the table.
CENTRAL_FILES_SHOWN = 4


def select_writer(*, as_json: bool, as_jsonl: bool, as_csv: bool) -> Writer | None:
    """Return the function that prints the requested script format, or None.

    Raises:
        UsageError: More than one format was requested.
    """
    forms = {"--json": print_json, "--jsonl": print_jsonl, "--csv": print_csv}
    return forms.get(only_one({"--json": as_json, "--jsonl": as_jsonl, "--csv": as_csv}))


def print_json(collection: FileCollection, clusters: Sequence[Cluster], method: Method) -> None:
    """Print one object: the clusters, each with its files, the nearest to the centre first."""
    document = {
        "version": VERSION,
        "model": collection.model,
        "method": method.value,
        "clusters": [
            {
                "name": one.name,
                "words": list(one.words),
                "count": len(one.files),
                **count_kinds(collection, one),
                "central": [collection.files[file].path for file in one.central],
                "files": [collection.files[file].path for file in one.files.tolist()],
            }
            for one in clusters
        ],
        "in_none": [
            collection.files[file].path for file in _outside_clusters(collection, clusters)
        ],
    }
    emit(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def print_jsonl(collection: FileCollection, clusters: Sequence[Cluster], method: Method) -> None:
    """Print one object per line for each file, with the number and name of its cluster."""
    del method
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(collection, clusters))
    emit("".join(lines))


def print_csv(collection: FileCollection, clusters: Sequence[Cluster], method: Method) -> None:
    """Print RFC 4180 rows with LF line ends; the number is empty for a file in no cluster."""
    del method
    rows = (csv_row(tuple(row.values())) for row in _rows(collection, clusters))
    emit("".join([csv_row(COLUMNS), *rows]), AS_ON_DISK)


COLUMNS = ("path", "type", "cluster", "name", "rank")


def _rows(collection: FileCollection, clusters: Sequence[Cluster]) -> Iterator[dict[str, Any]]:
    for number, one in enumerate(clusters, 1):
        for rank, position in enumerate(one.files.tolist(), 1):
            file = collection.files[position]
            values = (file.path, file.kind, number, one.name, rank)
            yield dict(zip(COLUMNS, values, strict=True))
    for position in _outside_clusters(collection, clusters):
        file = collection.files[position]
        yield dict(zip(COLUMNS, (file.path, file.kind, None, None, None), strict=True))


def _outside_clusters(collection: FileCollection, clusters: Sequence[Cluster]) -> list[int]:
    inside = {file for one in clusters for file in one.files.tolist()}
    return [file for file in range(len(collection.files)) if file not in inside]


def count_kinds(collection: FileCollection, one: Cluster) -> dict[str, int]:
    """Return how many images and texts are in a cluster."""
    images = sum(collection.files[file].kind == "image" for file in one.files.tolist())
    return {"images": images, "texts": len(one.files) - images}


def print_table(collection: FileCollection, clusters: Sequence[Cluster]) -> None:
    """Print a table: counts and name of each cluster, and its central files below."""
    from rich.console import Console
    from rich.style import Style
    from rich.text import Text

    from nmm.cli.render.table import uri

    terminal = sys.stdout.isatty()
    width = max(shutil.get_terminal_size((UNKNOWN_WIDTH, 24)).columns, MIN_WIDTH)
    console = Console(file=io.StringIO(), force_terminal=terminal, highlight=False, width=width)
    headers = ("files", "images", "texts")
    totals = [len(collection.files)] * len(headers)
    widths = [
        max(len(header), len(f"{one:,}")) for header, one in zip(headers, totals, strict=True)
    ]
    indent = sum(widths) + 2 * len(widths)

    def numbers(values: Sequence[object]) -> str:
        return "".join(
            f"{value:>{column_width}}  " for value, column_width in zip(values, widths, strict=True)
        )

    lines = [Text(f"{numbers(headers)}group", "bold")]
    for one in clusters:
        kind_counts = count_kinds(collection, one)
        line = Text(numbers([f"{n:,}" for n in (len(one.files), *kind_counts.values())]))
        line.append(printable(one.name), "bold")
        line.truncate(width, overflow="ellipsis")
        below = Text(" " * indent)
        for place, position in enumerate(one.central[:CENTRAL_FILES_SHOWN]):
            path = collection.files[position].path
            below.append(", " if place else "", "dim")
            link = uri(path) if terminal else None
            below.append(printable(PurePath(path).name), Style(dim=True, link=link))
        below.truncate(width, overflow="ellipsis")
        lines += [line, below]
    with console.capture() as captured:
        for line in lines:
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
    emit(captured.get())
