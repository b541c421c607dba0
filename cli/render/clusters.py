"""The forms in which groups of files are printed."""

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

    Write: TypeAlias = Callable[[FileCollection, Sequence[Cluster], Method], None]

VERSION = 1
UNKNOWN_WIDTH, LEAST_WIDTH = 160, 40
# Central files that the table names.
NAMED = 4


def chosen(*, as_json: bool, as_jsonl: bool, as_csv: bool) -> Write | None:
    """The form for scripts that was asked for, or None.

    Raises:
        UsageError: More than one was.
    """
    forms = {"--json": print_json, "--jsonl": print_lines, "--csv": print_csv}
    return forms.get(only_one({"--json": as_json, "--jsonl": as_jsonl, "--csv": as_csv}))


def print_json(collection: FileCollection, clusters: Sequence[Cluster], method: Method) -> None:
    """One object: the groups, each with all its files, the nearest to its centre first."""
    shown = {
        "version": VERSION,
        "model": collection.model,
        "method": method.value,
        "clusters": [
            {
                "name": one.name,
                "words": list(one.words),
                "count": len(one.files),
                **counts(collection, one),
                "central": [collection.files[file].path for file in one.central],
                "files": [collection.files[file].path for file in one.files.tolist()],
            }
            for one in clusters
        ],
        "in_none": [collection.files[file].path for file in _in_none(collection, clusters)],
    }
    emit(json.dumps(shown, ensure_ascii=False, indent=2) + "\n")


def print_lines(collection: FileCollection, clusters: Sequence[Cluster], method: Method) -> None:
    """One object for a file, with the number and name of its group, on a line."""
    del method
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(collection, clusters))
    emit("".join(lines))


def print_csv(collection: FileCollection, clusters: Sequence[Cluster], method: Method) -> None:
    """The same in RFC 4180, but for the line ends; a file in no group has an empty number."""
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
    for position in _in_none(collection, clusters):
        file = collection.files[position]
        yield dict(zip(COLUMNS, (file.path, file.kind, None, None, None), strict=True))


def _in_none(collection: FileCollection, clusters: Sequence[Cluster]) -> list[int]:
    inside = {file for one in clusters for file in one.files.tolist()}
    return [file for file in range(len(collection.files)) if file not in inside]


def counts(collection: FileCollection, one: Cluster) -> dict[str, int]:
    """How many images and texts are in a group."""
    images = sum(collection.files[file].kind == "image" for file in one.files.tolist())
    return {"images": images, "texts": len(one.files) - images}


def print_table(collection: FileCollection, clusters: Sequence[Cluster]) -> None:
    """For people: counts and name of each group, and below these its central files."""
    from rich.console import Console
    from rich.style import Style
    from rich.text import Text

    from nmm.cli.render.table import uri

    terminal = sys.stdout.isatty()
    width = max(shutil.get_terminal_size((UNKNOWN_WIDTH, 24)).columns, LEAST_WIDTH)
    console = Console(file=io.StringIO(), force_terminal=terminal, highlight=False, width=width)
    heads = ("files", "images", "texts")
    most = [len(collection.files)] * len(heads)
    wide = [max(len(head), len(f"{one:,}")) for head, one in zip(heads, most, strict=True)]
    indent = sum(wide) + 2 * len(wide)

    def numbers(values: Sequence[object]) -> str:
        return "".join(f"{value:>{room}}  " for value, room in zip(values, wide, strict=True))

    lines = [Text(f"{numbers(heads)}group", "bold")]
    for one in clusters:
        of_kinds = counts(collection, one)
        line = Text(numbers([f"{n:,}" for n in (len(one.files), *of_kinds.values())]))
        line.append(printable(one.name), "bold")
        line.truncate(width, overflow="ellipsis")
        below = Text(" " * indent)
        for place, position in enumerate(one.central[:NAMED]):
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
