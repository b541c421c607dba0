"""Names that tests share: the path of the sample data, and the type of the real command."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from nmm.index.store.recovery.salvage import RENAMED

SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"


class Nmm(Protocol):
    """Runs the command to its end, without a terminal."""

    def __call__(
        self, *arguments: str | Path, stdin: str | None = None, cwd: Path = ..., **environ: str
    ) -> subprocess.CompletedProcess[str]: ...


class Once(Protocol):
    """Makes a folder once per run, in whichever process asks first."""

    def __call__(self, name: str, make: Callable[[Path], None], below: Path = ...) -> Path: ...


# Writes the user's configuration file and returns its path.
Configured = Callable[[str], Path]


def column_now(table: str, column: str) -> str:
    """Return the name that the present schema gives a column of an older one."""
    new, old = RENAMED.get(table, (column, column))
    return new if column == old else column
