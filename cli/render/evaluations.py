"""What `nmm eval` prints: figures with their intervals, as a table, JSON or CSV."""

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

# Grows when a name changes its meaning.
VERSION = 1
LABEL, CELL = 20, 12
TITLES = {
    "mrr": "MRR", "ndcg@10": "nDCG@10", "top1": "top-1", "top5": "top-5",
    "spearman": "Spearman", "pearson": "Pearson",
}  # fmt: skip


@dataclass(frozen=True)
class System:
    """One of what is measured, by a name that no other has, and what JSON says of it besides."""

    name: str
    statistics: Statistics
    about: dict[str, Any]


@dataclass(frozen=True)
class Figures:
    """Figures of each system, and how much those after the first differ from it."""

    metrics: Sequence[str]
    sampling: Sampling
    systems: Sequence[System]
    measured: list[list[Estimate]] = field(default_factory=list)
    differences: list[list[Estimate]] = field(default_factory=list)


def measured(metrics: Sequence[str], systems: Sequence[System], sampling: Sampling) -> Figures:
    """Measure systems on the same observations."""
    first, *others = (system.statistics for system in systems)
    return Figures(
        metrics,
        sampling,
        systems,
        [estimate(system.statistics, sampling) for system in systems],
        [estimate(other - first, sampling) for other in others],
    )


def named_apart(names: Sequence[tuple[str, str]]) -> list[str]:
    """Names, each with what tells it apart where another is the same."""
    plain = [name for name, _ in names]
    return [name if plain.count(name) == 1 else f"{name}, {rest}" for name, rest in names]


# Limits


@dataclass(frozen=True, slots=True)
class Limit:
    """What a figure must not be below."""

    metric: str
    least: float


def limits(texts: Sequence[str], metrics: Sequence[str]) -> list[Limit]:
    """Read limits as they are typed: recall@10=0.5.

    Raises:
        UsageError: One names no figure, or no number.
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
                f"{text!r} is no limit of a figure.",
                why=f"The figures are: {', '.join(metrics)}.",
                hint=f"Write it as in --fail-under {metrics[-1]}=0.5",
            )
        found.append(Limit(metric, least))
    return found


def missed(figures: Figures, wanted: Iterable[Limit]) -> list[dict[str, Any]]:
    """The limits that are not reached, as JSON says them."""
    return [
        {
            "name": system.name,
            "metric": limit.metric,
            "value": _number(value),
            "least": limit.least,
        }
        for limit in wanted
        for system, row in zip(figures.systems, figures.measured, strict=True)
        if not (value := row[figures.metrics.index(limit.metric)].value) >= limit.least
    ]


# Forms


def table(figures: Figures) -> str:
    """The figures, a line for each system, and a line for its intervals."""
    head = "".join(f"{TITLES.get(name, name):>{CELL}}" for name in figures.metrics)
    lines = [" " * LABEL + head]
    for system, row in zip(figures.systems, figures.measured, strict=True):
        lines += [_label(_short(system.name)) + "".join(f"{m.value:{CELL}.3f}" for m in row)]
        lines += [_intervals(row, figures.sampling, "")]
    first, *others = figures.systems
    for system, row in zip(others, figures.differences, strict=True):
        lines += ["", printable(f"{_short(system.name)} minus {_short(first.name)}")]
        lines += [_label("") + "".join(f"{m.value:+{CELL}.3f}" for m in row)]
        lines += [_intervals(row, figures.sampling, "+")]
    if others:
        lines += ["", "A difference whose interval has no 0 in it is hardly chance."]
    return "\n".join(lines) + "\n"


def _label(name: str) -> str:
    shown = printable(name)
    return f"{shown if len(shown) < LABEL else shown[: LABEL - 2] + '…':{LABEL}}"


def _short(name: str) -> str:
    """The name of a folder for its path: of weights, or of an index."""
    return ", ".join(Path(part).name if part.startswith("/") else part for part in name.split(", "))


def _intervals(row: Sequence[Estimate], sampling: Sampling, sign: str) -> str:
    cells = (
        "–" if m.low is None or m.high is None else f"{m.low:{sign}.2f}…{m.high:{sign}.2f}"
        for m in row
    )
    label = f"  {100 * sampling.confidence:g} % interval"
    return f"{label:{LABEL}}" + "".join(f"{cell:>{CELL}}" for cell in cells)


def as_json(kind: str, figures: Figures, about: dict[str, Any], below: Sequence[Any]) -> str:
    """Everything, as one object; see docs/evaluation.md."""
    first, *others = figures.systems
    answer = {
        "version": VERSION,
        "evaluation": kind,
        **about,
        "sampling": asdict(figures.sampling),
        "results": [
            {"name": system.name, "metrics": _by_name(figures.metrics, row), **system.about}
            for system, row in zip(figures.systems, figures.measured, strict=True)
        ],
        "differences": [
            {"name": other.name, "minus": first.name, "metrics": _by_name(figures.metrics, row)}
            for other, row in zip(others, figures.differences, strict=True)
        ],
        "below": list(below),
    }
    return json.dumps(answer, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _by_name(metrics: Sequence[str], row: Sequence[Estimate]) -> dict[str, Any]:
    return {
        name: {"value": _number(one.value), "low": one.low, "high": one.high}
        for name, one in zip(metrics, row, strict=True)
    }


def _number(value: float) -> float | None:
    """A figure as JSON knows numbers: a correlation with what is always the same is none."""
    return value if math.isfinite(value) else None


def print_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """RFC 4180 but for the line ends, as of every other output here."""
    emit("".join(map(csv_row, [header, *rows])))
