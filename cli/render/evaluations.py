"""Prints evaluations: figures with confidence intervals as a table, JSON or CSV."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmm.cli.console.stdout import emit
from nmm.cli.console.text import printable
from nmm.cli.render.formats import csv_row
from nmm.index.errors import UsageError
from nmm.index.evaluation.bootstrap import Estimate, estimate

if TYPE_CHECKING:
    from nmm.index.evaluation.bootstrap import Sampling, Statistics

# The version of the JSON; increased when a name changes its meaning.
VERSION = 1
LABEL_WIDTH, CELL_WIDTH = 20, 12
TITLES = {
    "mrr": "MRR", "ndcg@10": "nDCG@10", "top1": "top-1", "top5": "top-5",
    "spearman": "Spearman", "pearson": "Pearson",
}  # fmt: skip


@dataclass(frozen=True)
class System:
    """A measured system: a unique name, its statistics, and further JSON fields."""

    name: str
    statistics: Statistics
    about: dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Figures of each system, and the differences of the others from the first."""

    metrics: Sequence[str]
    sampling: Sampling
    systems: Sequence[System]
    estimates: list[list[Estimate]] = field(default_factory=list)
    differences: list[list[Estimate]] = field(default_factory=list)


def compare_systems(
    metrics: Sequence[str], systems: Sequence[System], sampling: Sampling
) -> Comparison:
    """Compute the figures of systems measured on the same observations."""
    first, *others = (system.statistics for system in systems)
    return Comparison(
        metrics,
        sampling,
        systems,
        [estimate(system.statistics, sampling) for system in systems],
        [estimate(other - first, sampling) for other in others],
    )


def unique_names(names: Sequence[tuple[str, str]]) -> list[str]:
    """Return the names, extended by a distinction where two are equal."""
    plain = [name for name, _ in names]
    return [name if plain.count(name) == 1 else f"{name}, {rest}" for name, rest in names]


# Limits


@dataclass(frozen=True, slots=True)
class Limit:
    """The minimum of a figure."""

    metric: str
    least: float


def parse_limits(texts: Sequence[str], metrics: Sequence[str]) -> list[Limit]:
    """Parse limits such as recall@10=0.5.

    Raises:
        UsageError: A limit has an unknown figure or an invalid number.
    """
    found = []
    for text in texts:
        name, _, number = text.partition("=")
        metric = name.strip().lower().replace("top-", "top")
        try:
            least = float(number)
        except ValueError:
            least = math.nan
        if metric not in metrics or math.isnan(least):
            raise UsageError(
                f"{text!r} is not a minimum for a figure.",
                why=f"The figures are: {', '.join(metrics)}.",
                hint=f"For example: --fail-under {metrics[-1]}=0.5",
            )
        found.append(Limit(metric, least))
    return found


def missed_limits(comparison: Comparison, limits: Iterable[Limit]) -> list[dict[str, Any]]:
    """Return the limits that are not reached, as JSON objects."""
    return [
        {
            "name": system.name,
            "metric": limit.metric,
            "value": _json_number(value),
            "least": limit.least,
        }
        for limit in limits
        for system, row in zip(comparison.systems, comparison.estimates, strict=True)
        if not (value := row[comparison.metrics.index(limit.metric)].value) >= limit.least
    ]


# Formats


def format_table(comparison: Comparison) -> str:
    """Return a table with a line of figures and a line of intervals per system."""
    head = "".join(f"{TITLES.get(name, name):>{CELL_WIDTH}}" for name in comparison.metrics)
    lines = [" " * LABEL_WIDTH + head]
    for system, row in zip(comparison.systems, comparison.estimates, strict=True):
        lines += [
            _format_label(_shorten(system.name))
            + "".join(f"{m.value:{CELL_WIDTH}.3f}" for m in row)
        ]
        lines += [_format_intervals(row, comparison.sampling, "")]
    first, *others = comparison.systems
    for system, row in zip(others, comparison.differences, strict=True):
        lines += ["", printable(f"{_shorten(system.name)} minus {_shorten(first.name)}")]
        lines += [_format_label("") + "".join(f"{m.value:+{CELL_WIDTH}.3f}" for m in row)]
        lines += [_format_intervals(row, comparison.sampling, "+")]
    if others:
        lines += ["", "A difference is significant if its interval excludes 0."]
    return "\n".join(lines) + "\n"


def _format_label(name: str) -> str:
    shown = printable(name)
    return f"{shown if len(shown) < LABEL_WIDTH else shown[: LABEL_WIDTH - 2] + '…':{LABEL_WIDTH}}"


def _shorten(name: str) -> str:
    """Replace the paths of weights or indexes in a name by the names of their folders."""
    return ", ".join(Path(part).name if part.startswith("/") else part for part in name.split(", "))


def _format_intervals(row: Sequence[Estimate], sampling: Sampling, sign: str) -> str:
    cells = (
        "–" if m.low is None or m.high is None else f"{m.low:{sign}.2f}…{m.high:{sign}.2f}"
        for m in row
    )
    label = f"  {100 * sampling.confidence:g} % interval"
    return f"{label:{LABEL_WIDTH}}" + "".join(f"{cell:>{CELL_WIDTH}}" for cell in cells)


def format_json(
    kind: str, comparison: Comparison, about: dict[str, Any], below: Sequence[Any]
) -> str:
    """Return everything as one JSON object; see docs/guide/evaluation.md."""
    first, *others = comparison.systems
    document = {
        "version": VERSION,
        "evaluation": kind,
        **about,
        "sampling": asdict(comparison.sampling),
        "results": [
            {
                "name": system.name,
                "metrics": _metrics_as_json(comparison.metrics, row),
                **system.about,
            }
            for system, row in zip(comparison.systems, comparison.estimates, strict=True)
        ],
        "differences": [
            {
                "name": other.name,
                "minus": first.name,
                "metrics": _metrics_as_json(comparison.metrics, row),
            }
            for other, row in zip(others, comparison.differences, strict=True)
        ],
        "below": list(below),
    }
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _metrics_as_json(metrics: Sequence[str], row: Sequence[Estimate]) -> dict[str, Any]:
    return {
        name: {"value": _json_number(one.value), "low": one.low, "high": one.high}
        for name, one in zip(metrics, row, strict=True)
    }


def _json_number(value: float) -> float | None:
    """Return the value, or None for NaN: the correlation with a constant is undefined."""
    return value if math.isfinite(value) else None


def print_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print RFC 4180 rows with LF line ends."""
    emit("".join(map(csv_row, [header, *rows])))
