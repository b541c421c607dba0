"""What a classification has found, in the forms of output."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nmm.cli.console.stdout import emit
from nmm.cli.console.text import current_folder, printable
from nmm.cli.render.formats import AS_ON_DISK, csv_row
from nmm.cli.render.json_schema import VERSION

if TYPE_CHECKING:
    from nmm.index.analysis.classification.classifier import Classification
    from nmm.index.store.catalog.file_vectors import Item

# Rows that are printed at once.
BLOCK = 4096
DIGITS = 6


class Row(NamedTuple):
    """A file and what it is.

    Attributes:
        place: Of the file in the classification.
        item: The file.
        label: The likeliest.
        score: The probability of that.
    """

    place: int
    item: Item
    label: str
    score: float


def rows(found: Classification, only: Sequence[str], least: float) -> list[Row]:
    """The files by label, in the order of the labels, the surest first.

    Args:
        found: What they are.
        only: Labels that are wanted; if none, all.
        least: The score that is wanted.
    """
    import numpy as np

    best = found.scores[np.arange(len(found.files)), found.best]
    # Sorted by path already, and stable.
    order = np.lexsort((-best, found.best)).tolist()
    wanted = {found.labels.index(label) for label in only or found.labels}
    return [
        Row(place, found.files[place], found.labels[found.best[place]], float(best[place]))
        for place in order
        if int(found.best[place]) in wanted and best[place] >= least
    ]


def show(name: str, found: Classification, shown: Sequence[Row]) -> None:
    """Print rows in the form of an option; in a table, if it is empty."""
    lines = LINES[name](found, shown)
    block = []
    for line in lines:
        block.append(line)
        if len(block) == BLOCK:
            emit("".join(block), AS_ON_DISK if name in AS_PATHS else "backslashreplace")
            block.clear()
    emit("".join(block), AS_ON_DISK if name in AS_PATHS else "backslashreplace")


def counts(shown: Sequence[Row], labels: Sequence[str]) -> str:
    """How many files have each label, as a person says it."""
    by_label = Counter(row.label for row in shown)
    said = [f"{by_label[label]} {printable(label)}" for label in labels if by_label[label]]
    return ", ".join(said)


def _fields(found: Classification, shown: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Rows by the names of the JSON."""
    import numpy as np

    for start in range(0, len(shown), BLOCK):
        block = shown[start : start + BLOCK]
        scores = found.scores[[row.place for row in block]].astype(np.float64)
        for row, rounded in zip(block, np.round(scores, DIGITS).tolist(), strict=True):
            yield {
                "path": row.item.path,
                "label": row.label,
                "score": round(row.score, DIGITS),
                "scores": dict(zip(found.labels, rounded, strict=True)),
            }


def _json(found: Classification, shown: Sequence[Row]) -> Iterator[str]:
    """One object, of which each result has a line of its own."""
    yield f'{{"version": {VERSION}, "results": ['
    for number, named in enumerate(_fields(found, shown)):
        line = json.dumps(named, ensure_ascii=False)
        yield f"{',' if number else ''}\n  {line}"
    yield "\n]}\n"


def _json_lines(found: Classification, shown: Sequence[Row]) -> Iterator[str]:
    for named in _fields(found, shown):
        yield json.dumps(named, ensure_ascii=False) + "\n"


def _csv(found: Classification, shown: Sequence[Row]) -> Iterator[str]:
    """RFC 4180 but for the line ends; a column for each label, after the three that are fixed."""
    yield csv_row(("path", "label", "score", *found.labels))
    for named in _fields(found, shown):
        yield csv_row((named["path"], named["label"], named["score"], *named["scores"].values()))


def _paths(_: Classification, shown: Sequence[Row]) -> Iterator[str]:
    for row in shown:
        yield f"{row.item.path}\n"


def _nul_paths(_: Classification, shown: Sequence[Row]) -> Iterator[str]:
    for row in shown:
        yield f"{row.item.path}\0"


def _table(found: Classification, shown: Sequence[Row]) -> Iterator[str]:
    if not shown:
        return
    width = max(len("label"), *(len(printable(label)) for label in found.labels))
    yield f"score  {'label':<{width}}  file\n"
    here = current_folder()
    for row in shown:
        label, path = printable(row.label), printable(row.item.path.removeprefix(here))
        yield f"{row.score:>5.2f}  {label:<{width}}  {path}\n"


LINES = {
    "": _table,
    "--json": _json,
    "--jsonl": _json_lines,
    "--csv": _csv,
    "--paths": _paths,
    "-0": _nul_paths,
}
# A name that is no UTF-8 comes out as it is on disk, where it stands by itself.
AS_PATHS = {"--csv", "--paths", "-0"}
