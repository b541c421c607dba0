"""What a bench hands on for the one table that `scripts/bench` writes.

A bench prints tables of its own, for whoever runs it alone. The figures that stand for it in the
whole go, a line of JSON each, to the file that the environment variable `NMM_BENCH_FIGURES`
names; without it, nowhere.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple


class Figure(NamedTuple):
    """One row of the table.

    Attributes:
        what: What was measured, in a few words.
        value: What came out, in `unit`.
        unit: As in images/s, s, ms or MB.
        beside: What it is compared with, measured in the same run; empty if with nothing.
        other: What came out there, in the same unit.
        ratio: What is better than 1 if nmm is better: a median over rounds, so it need not be the
            quotient of the two.
        goal: What was aimed at, as in "<= 0.45 s"; empty if nothing was.
    """

    what: str
    value: float
    unit: str
    beside: str = ""
    other: float | None = None
    ratio: float | None = None
    goal: str = ""


def note(*figures: Figure) -> None:
    """Hand figures on."""
    if path := os.environ.get("NMM_BENCH_FIGURES"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(figure._asdict()) + "\n" for figure in figures)
