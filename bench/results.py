"""List the benchmarks and store the results of their last runs in `results.json`.

`scripts/bench` writes that file; `scripts/readme` fills the README and the pages in docs from it,
so that nothing has to be measured again.
"""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from report import Figure

FOLDER = Path(__file__).parent
KEPT = FOLDER / "results.json"


@dataclass(frozen=True)
class Result:
    """One run of a benchmark.

    Attributes:
        date: Date in UTC, for example 2026-11-25.
        seconds: Duration of the whole run.
        failure: Why it is incomplete; empty if it is complete.
        is_quick: Whether sizes were small, so that the figures mean nothing.
        machine, versions: See :mod:`machine`.
        figures: The reported figures.
        left_out: What could not be measured, with the reason.
        output: The lines that it printed.
    """

    date: str
    seconds: float
    failure: str
    is_quick: bool
    machine: str
    versions: str
    figures: tuple[Figure, ...]
    left_out: tuple[str, ...]
    output: tuple[str, ...]


def benches(folder: Path = FOLDER) -> list[str]:
    """Return the names of the modules that have a `main` and report figures, see :mod:`report`."""
    return [file.stem for file in sorted(folder.glob("*.py")) if _is_bench(file)]


def _is_bench(file: Path) -> bool:
    tree = _parsed(file)
    notes = any(
        isinstance(node, ast.ImportFrom)
        and node.module == "report"
        and any(alias.name == "note" for alias in node.names)
        for node in ast.walk(tree)
    )
    return notes and any(
        isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body
    )


def summary(name: str, folder: Path = FOLDER) -> str:
    """Return the first line of a benchmark's docstring."""
    return (ast.get_docstring(_parsed(folder / f"{name}.py")) or "").partition("\n")[0]


def quick_options(name: str, folder: Path = FOLDER) -> list[str] | None:
    """Return the options for small sizes, `QUICK` in the module; None if it has none."""
    for node in _parsed(folder / f"{name}.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "QUICK":
            return shlex.split(ast.literal_eval(node.value))
    return None


def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def read_results(file: Path = KEPT) -> dict[str, Result]:
    """Return the last run of each benchmark, by name; none if the file does not exist."""
    if not file.exists():
        return {}
    return {
        name: Result(
            **kept
            | {
                "figures": tuple(Figure(**figure) for figure in kept["figures"]),
                "left_out": tuple(kept["left_out"]),
                "output": tuple(kept["output"]),
            }
        )
        for name, kept in json.loads(file.read_text("utf-8")).items()
    }


def write_results(results: Mapping[str, Result], file: Path = KEPT) -> None:
    """Write all results atomically: a concurrent reader sees the old file or the new one."""
    kept = {
        name: asdict(result) | {"figures": [figure._asdict() for figure in result.figures]}
        for name, result in sorted(results.items())
    }
    new = file.with_name(f"{file.name}.new")
    new.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
    new.replace(file)
