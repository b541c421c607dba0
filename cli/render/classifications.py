"""Prints classification results: as a table, JSON, CSV or paths."""

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

ROWS_PER_WRITE = 4096
DIGITS = 6


class Row(NamedTuple):
    """A file with its label.

    Attributes:
        position: The position of the file in the classification.
        item: The file.
        label: The most probable label.
        score: Its probability.
    """

    position: int
    item: Item
    label: str
    score: float


def select_rows(result: Classification, only: Sequence[str], min_score: float) -> list[Row]:
    """Return files by label, in the order of the labels, the most probable first.

    Args:
        result: The classification.
        only: The labels to select; if empty, all.
        min_score: The minimum probability.
    """
    import numpy as np

    best = result.scores[np.arange(len(result.files)), result.best]
    # The sort is stable, and the files are sorted by path.
    order = np.lexsort((-best, result.best)).tolist()
    wanted = {result.labels.index(label) for label in only or result.labels}
    return [
        Row(
            position,
            result.files[position],
            result.labels[result.best[position]],
            float(best[position]),
        )
        for position in order
        if int(result.best[position]) in wanted and best[position] >= min_score
    ]


def print_rows(name: str, result: Classification, rows: Sequence[Row]) -> None:
    """Print rows in the form of an option; as a table if it is empty."""
    lines = FORMATTERS[name](result, rows)
    block = []
    for line in lines:
        block.append(line)
        if len(block) == ROWS_PER_WRITE:
            emit("".join(block), AS_ON_DISK if name in RAW_PATH_FORMS else "backslashreplace")
            block.clear()
    emit("".join(block), AS_ON_DISK if name in RAW_PATH_FORMS else "backslashreplace")


def describe_counts(rows: Sequence[Row], labels: Sequence[str]) -> str:
    """Return how many files have each label, as text."""
    by_label = Counter(row.label for row in rows)
    parts = [f"{by_label[label]} {printable(label)}" for label in labels if by_label[label]]
    return ", ".join(parts)


def _fields(result: Classification, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Yield the JSON object of each row."""
    import numpy as np

    for start in range(0, len(rows), ROWS_PER_WRITE):
        block = rows[start : start + ROWS_PER_WRITE]
        scores = result.scores[[row.position for row in block]].astype(np.float64)
        for row, rounded in zip(block, np.round(scores, DIGITS).tolist(), strict=True):
            yield {
                "path": row.item.path,
                "label": row.label,
                "score": round(row.score, DIGITS),
                "scores": dict(zip(result.labels, rounded, strict=True)),
            }


def _json(result: Classification, rows: Sequence[Row]) -> Iterator[str]:
    """Yield one JSON object with one line per result."""
    yield f'{{"version": {VERSION}, "results": ['
    for number, values in enumerate(_fields(result, rows)):
        line = json.dumps(values, ensure_ascii=False)
        yield f"{',' if number else ''}\n  {line}"
    yield "\n]}\n"


def _json_lines(result: Classification, rows: Sequence[Row]) -> Iterator[str]:
    for values in _fields(result, rows):
        yield json.dumps(values, ensure_ascii=False) + "\n"


def _csv(result: Classification, rows: Sequence[Row]) -> Iterator[str]:
    """Yield RFC 4180 rows with LF line ends: path, label, score, and a column per label."""
    yield csv_row(("path", "label", "score", *result.labels))
    for values in _fields(result, rows):
        yield csv_row(
            (values["path"], values["label"], values["score"], *values["scores"].values())
        )


def _paths(_: Classification, rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        yield f"{row.item.path}\n"


def _nul_paths(_: Classification, rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        yield f"{row.item.path}\0"


def _table(result: Classification, rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        return
    width = max(len("label"), *(len(printable(label)) for label in result.labels))
    yield f"score  {'label':<{width}}  file\n"
    here = current_folder()
    for row in rows:
        label, path = printable(row.label), printable(row.item.path.removeprefix(here))
        yield f"{row.score:>5.2f}  {label:<{width}}  {path}\n"


FORMATTERS = {
    "": _table,
    "--json": _json,
    "--jsonl": _json_lines,
    "--csv": _csv,
    "--paths": _paths,
    "-0": _nul_paths,
}
# In these forms, paths that are not valid UTF-8 are printed as the bytes on disk.
RAW_PATH_FORMS = {"--csv", "--paths", "-0"}
