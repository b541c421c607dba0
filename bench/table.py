"""Write the table of all benchmarks in Markdown, from their stored results."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from report import Figure
from results import Result

GOAL = re.compile(r"(<=|>=)\s*([\d,.]+)\s*(.*)")
COLUMNS = ("what", "nmm", "beside", "there", "ratio", "goal", "met")


def table(results: Mapping[str, Result], benches: Sequence[str]) -> str:
    """Return two lines on machine and versions, then the rows of each benchmark under its name.

    The date, machine and versions that most results share are stated once, at the top; others are
    stated beside the benchmark. A benchmark that failed, left something out or was never run has a
    row that says so. Benchmarks without a unit, such as recall, come after those of time and
    memory, and those never run come last.
    """
    run = {name: results[name] for name in benches if name in results}
    lines = []
    most = ("", "", "")
    if run:
        setups = Counter((kept.date, kept.machine, kept.versions) for kept in run.values())
        most = max(setups, key=lambda setup: (setups[setup], setup))
        lines += [f"Measured on {most[0]}, on {most[1]}.", "", f"Versions: {most[2]}.", ""]
    lines += [_row(COLUMNS), _row(["---"] * len(COLUMNS))]
    for name in sorted(benches, key=lambda name: _place(run.get(name))):
        if name in run:
            lines += _rows(name, run[name], most)
        else:
            lines.append(_row([f"**bench/{name}.py**: not measured yet"]))
    return "\n".join(lines) + "\n"


def _place(result: Result | None) -> int:
    if result is None:
        return 2
    return 0 if any(figure.unit for figure in result.figures) else 1


def _rows(name: str, result: Result, most: tuple[str, str, str]) -> list[str]:
    apart = ["small sizes, which say nothing"] if result.is_quick else []
    if result.date != most[0]:
        apart.append(f"on {result.date}")
    if result.machine != most[1]:
        apart.append(f"on {result.machine}")
    if result.versions != most[2]:
        usual = most[2].split(", ")
        apart += ["with " + ", ".join(v for v in result.versions.split(", ") if v not in usual)]
    title = f"**bench/{name}.py**"
    lines = [_row([f"{title}: {'; '.join(apart)}" if apart else title])]
    lines += [_row(_cells(figure, result)) for figure in result.figures]
    lines += [_row([f"left out: {what}"]) for what in result.left_out]
    if result.failure:
        lines.append(_row([f"**failed**: {result.failure}"]))
    return lines


def _cells(figure: Figure, result: Result) -> list[str]:
    is_judged = not (result.is_quick or result.failure)
    met = {True: "yes", False: "**no**", None: ""}[is_met(figure) if is_judged else None]
    return [
        figure.what,
        f"{number(figure.value)} {figure.unit}",
        figure.beside,
        "" if figure.other is None else f"{number(figure.other)} {figure.unit}",
        "" if figure.ratio is None else number(figure.ratio),
        figure.goal,
        met,
    ]


def _row(cells: Sequence[str]) -> str:
    padded = [*cells, *[""] * (len(COLUMNS) - len(cells))]
    return f"| {' | '.join(cell.strip().replace('|', chr(92) + '|') for cell in padded)} |"


def number(value: float) -> str:
    """Return three significant digits, or more if there are more before the point."""
    decimals = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{decimals}f}"


def is_met(figure: Figure) -> bool | None:
    """Return whether a goal is reached; None if there is none.

    Raises:
        ValueError: The goal is neither in the figure's unit nor of its ratio.
    """
    if not figure.goal:
        return None
    found = GOAL.fullmatch(figure.goal)
    if found and found[3] == figure.unit:
        reached: float | None = figure.value
    elif found and found[3] in {"", "x", "%"}:
        reached = figure.ratio
    else:
        reached = None
    if found is None or reached is None:
        raise ValueError(f"What is the goal {figure.goal!r} of {figure.what!r}?")
    goal = float(found[2].replace(",", "")) / (100 if found[3] == "%" != figure.unit else 1)
    return reached <= goal if found[1] == "<=" else reached >= goal
