"""Report figures for the table that `scripts/bench` writes.

A benchmark prints tables of its own for whoever runs it alone. Its main figures go, one line of
JSON each, to the file that the environment variable `NMM_BENCH_FIGURES` names; without it, nowhere.
Omissions, for example for a missing peer, go there too, so that nothing is left out silently.

Every module in this folder that has a `main` and calls `note` is a benchmark and is run by
`scripts/bench`. Its constant `QUICK` holds the options for small sizes, as typed in a shell.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """One row of the table.

    Attributes:
        what: What was measured, in a few words.
        value: The result, in `unit`.
        unit: For example images/s, s, ms or MB; empty for recall and the like.
        beside: What it is compared with, measured in the same run; empty if nothing.
        other: The result of the comparison, in the same unit.
        ratio: Greater than 1 if nmm is better. It is a median over rounds, so it need not be the
            quotient of the two.
        goal: The goal, if any: "<= 0.45 s", in `unit`, applies to the value; ">= 1.3 x", ">= 0.9"
            or ">= 90 %" to the ratio.
    """

    what: str
    value: float
    unit: str
    beside: str = ""
    other: float | None = None
    ratio: float | None = None
    goal: str = ""


def note(*figures: Figure) -> None:
    """Report figures."""
    for figure in figures:
        _write(figure._asdict())


def left_out(what: str, why: str) -> None:
    """Report, here and in the table, that something could not be measured."""
    print(f"{what}: left out, {why}", flush=True)
    _write({"left_out": what, "why": why})


def _write(line: dict[str, Any]) -> None:
    if path := os.environ.get("NMM_BENCH_FIGURES"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
