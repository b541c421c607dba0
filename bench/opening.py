"""Measure the time of `nmm search` to open an index of a million vectors.

The whole command is timed, in a process of its own each time: on an index of ten vectors, and on a
large one. Model and start-up are the same, so the difference is the cost of the size.

Vectors are random, with 384 dimensions (`mini`); both indexes have a row for every file.

    python bench/opening.py [--count 1000000] [--times 15]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from growth import NMM, fill
from report import Figure, note

from nmm.index import calibration
from nmm.index.encoders.base import Task
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.layout import IndexFolder

QUICK = "--count 1000 --times 3"
TIMES = 15


def make(folder: IndexFolder, root: Path, count: int) -> None:
    """Make an index in the state after a run, with its calibration."""
    fill(folder, root, count)
    neutral = load_encoder(MINI).embed_texts(calibration.NEUTRAL_QUERIES, Task.QUERY)
    with open_for_writing(folder) as writer:
        if measured := calibration.measure(writer, "text", neutral):
            writer.set_calibration("text", measured)


def search(folder: IndexFolder) -> float:
    """Return the seconds of one `nmm search`."""
    environ = {**os.environ, "NMM_INDEX": str(folder.path), "HF_HUB_OFFLINE": "1"}
    started = time.perf_counter()
    subprocess.run(
        [NMM, "search", "a cat", "--paths"], check=True, stdout=subprocess.PIPE, env=environ
    )
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=TIMES)
    arguments = parser.parse_args()
    count: int = arguments.count
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary).resolve()
        small, large = IndexFolder(root / "small"), IndexFolder(root / "large")
        make(small, root / "files", 10)
        make(large, root / "files", count)
        times = [(search(small), search(large)) for _ in range(arguments.times)][1:]
        few, many = (median(column) for column in zip(*times, strict=True))
    print(f"nmm search in an index of 10 vectors:{' ' * 9}{few:6.3f} s")
    print(f"nmm search in an index of {count:,} vectors:  {many:6.3f} s, {many / few:.2f} times")
    print(f"what the size costs, the search included:     {many - few:6.3f} s")
    goal = "<= 0.3 s" if count >= 1_000_000 else ""
    note(
        Figure(f"nmm search (mini) in {count:,} vectors", many, "s", "in 10", few, few / many),
        Figure(f"of that, what {count:,} vectors cost", many - few, "s", goal=goal),
    )


if __name__ == "__main__":
    main()
