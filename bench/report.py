"""What a bench hands on for the one table that `scripts/bench` writes.

A bench prints tables of its own, for whoever runs it alone. The figures that stand for it in the
whole go, a line of JSON each, to the file that the environment variable `NMM_BENCH_FIGURES`
names; without it, nowhere. What it cannot measure, for want of a peer for instance, goes there
too, so that nothing is left out in silence.

Whatever in this folder has a `main` and calls `note` is a bench, and is run by `scripts/bench`.
Its constant `QUICK` holds the options of small sizes, as one would type them.
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
        value: What came out, in `unit`.
        unit: As in images/s, s, ms or MB; empty for recall and the like.
        beside: What it is compared with, measured in the same run; empty if with nothing.
        other: What came out there, in the same unit.
        ratio: What is better than 1 if nmm is better: a median over rounds, so it need not be the
            quotient of the two.
        goal: What was aimed at, empty if nothing was: "<= 0.45 s", in `unit`, is of the value;
            ">= 1.3 x", ">= 0.9" or ">= 90 %" of the ratio.
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
    for figure in figures:
        _write(figure._asdict())


def left_out(what: str, why: str) -> None:
    """Say, here and in the table, that something could not be measured."""
    print(f"{what}: left out, {why}", flush=True)
    _write({"left_out": what, "why": why})


def _write(line: dict[str, Any]) -> None:
    if path := os.environ.get("NMM_BENCH_FIGURES"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
