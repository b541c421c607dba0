"""Measure the cost per file, in time and memory, as an index grows.

The index is filled with random vectors, because only their number matters here. The measured
command is the installed one, with `mini`.

    python bench/growth.py
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
from report import Figure, note

from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.index_model import settings_of
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.types import Root
from nmm.index.store.catalog.writer import CatalogWriter, ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors.factory import open_vector_index

QUICK = "--unchanged 500 --sizes 0 1000 --added 50 --rounds 1 --memory 50 100"
NMM = Path(sys.executable).with_name("nmm")
FILES_PER_FOLDER = 200
WORDS = [
    "harbour",
    "winter",
    "engine",
    "garden",
    "letter",
    "window",
    "bridge",
    "copper",
    "island",
    "market",
]


def names(count: int) -> Iterator[str]:
    """Return file paths, some hundred per folder."""
    return (f"{n // FILES_PER_FOLDER:04}/{n:07}.txt" for n in range(count))


def make_files(root: Path, count: int, seed: int) -> None:
    """Write texts of one passage each, all different."""
    chance = np.random.default_rng(seed)
    for name in names(count):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        words = " ".join(WORDS[n] for n in chance.integers(0, len(WORDS), 12))
        (root / name).write_text(f"{words} {seed} {name}\n", "utf-8")


def fill(folder: IndexFolder, root: Path, count: int) -> None:
    """Make an index of so many files below a root, with a vector each. The files need not exist."""
    encoder = load_encoder(MINI)
    chance = np.random.default_rng(0)
    with open_for_writing(folder) as writer:
        writer.set_settings(settings_of(encoder))
        adopted, _ = adopt_root(writer, root)
        paths = list(names(count))
        for start in range(0, count, 5000):
            with writer.batch():
                for path in paths[start : start + 5000]:
                    add(writer, adopted, root, path, chance.standard_normal(MINI.dimension))
        open_vector_index(folder, writer).sync(writer)


def add(
    writer: CatalogWriter,
    adopted: Root,
    root: Path,
    path: str,
    vector: np.typing.NDArray[np.float64],
) -> None:
    number = writer.add_content(Content(path.encode(), "text"))
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    writer.add_chunk(number, "text", ChunkRow(1, 1, path), unit)
    size = mtime_ns = 0
    if (root / path).exists():
        found = (root / path).stat()
        size, mtime_ns = found.st_size, found.st_mtime_ns
    writer.put_file(adopted, path, size, mtime_ns, status="indexed", content_id=number)


def index(folder: IndexFolder, *arguments: str | Path) -> tuple[dict[str, float], float]:
    """Run `nmm index`, and return its summary and its peak memory in MB."""
    command = [NMM, "index", "--json", "-q", *arguments]
    environ = {**os.environ, "NMM_INDEX": str(folder.path), "HF_HUB_OFFLINE": "1"}
    # A process of its own, because the reported peak is the maximum over all children.
    code = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], check=True, stdout=subprocess.PIPE, text=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "print(done.stdout)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    peak, _, summary = done.stdout.partition("\n")
    return json.loads(summary), int(peak) / 1024


def unchanged(temporary: Path, count: int) -> None:
    """Measure a second run over unchanged files."""
    root, folder = temporary / "files", IndexFolder(temporary / "unchanged")
    make_files(root, count, seed=0)
    fill(folder, root.resolve(), count)
    index(folder)  # computes the derived data, once
    summary, peak = index(folder)
    assert summary["unchanged"] == count, summary
    print(f"\nsecond run over {count:,} unchanged files: {summary['seconds']:.1f} s, {peak:.0f} MB")
    goal = "<= 3 s" if count == 100_000 else ""
    note(Figure(f"second run over {count:,} unchanged files", summary["seconds"], "s", goal=goal))
    shutil.rmtree(root)


def adding(temporary: Path, sizes: list[int], count: int, rounds: int) -> None:
    """Add the same files to indexes of several sizes, in turn; print medians over the rounds."""
    more = temporary / "more"
    make_files(more, count, seed=1)
    filled = {size: IndexFolder(temporary / f"of-{size}") for size in sizes}
    for size, folder in filled.items():
        if size:
            fill(folder, Path("/nowhere"), size)
    index(IndexFolder(temporary / "warm"), more, "--model", "mini")  # fills the caches
    runs = [
        [add_to(folder, size, more, count) for size, folder in filled.items()]
        for _ in range(rounds)
    ]
    print(f"\nadding {count:,} texts\n  to an index of  ms a file  x first  written again")
    for size, column in zip(sizes, zip(*runs, strict=True), strict=True):
        cost, gone = (median(values) for values in zip(*column, strict=True))
        times = median(run[0] / first[0] for run, (first, *_) in zip(column, runs, strict=True))
        print(f"{size:16,} {cost:10.2f} {times:8.2f} {gone:11.1f} MB")
    first = median(run[0][0] for run in runs)
    what = f"a text added to an index of {sizes[-1]:,}"
    note(Figure(what, cost, "ms", f"to one of {sizes[0]:,}", first, 1 / times))


def add_to(folder: IndexFolder, size: int, more: Path, count: int) -> tuple[float, float]:
    """Return milliseconds per file added to a copy of an index, and megabytes rewritten."""
    copy = IndexFolder(folder.path.with_name("copy"))
    if size:
        shutil.copytree(folder.path, copy.path)
    before = {path: path.stat().st_size for path in copy.vectors.glob("*")}
    summary, _ = index(copy, more, *(() if size else ("--model", "mini")))
    assert summary["added"] == count, summary
    gone = sum(bytes_ for path, bytes_ in before.items() if not path.exists())
    shutil.rmtree(copy.path)
    return 1000 * summary["seconds"] / count, gone / 1e6


def memory(temporary: Path, counts: list[int]) -> None:
    """Print peak memory by the number of files of a first run."""
    print("\nfirst run over texts\n           files      peak")
    peaks = []
    for count in counts:
        root = temporary / f"first-{count}"
        make_files(root, count, seed=2)
        _, peak = index(IndexFolder(temporary / f"index-{count}"), root, "--model", "mini")
        peaks.append(peak)
        print(f"{count:16,} {peak:6.0f} MB")
        shutil.rmtree(root)
    what = f"peak memory of indexing {counts[-1]:,} texts"
    note(Figure(what, peaks[-1], "MB", f"{counts[0]:,} texts", peaks[0], peaks[0] / peaks[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--unchanged", type=int, default=100_000)
    parser.add_argument("--sizes", type=int, nargs="*", default=[0, 10_000, 100_000])
    parser.add_argument("--added", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3, help="of adding")
    parser.add_argument("--memory", type=int, nargs="*", default=[1000, 20_000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        adding(Path(name), arguments.sizes, arguments.added, arguments.rounds)
        if arguments.unchanged:
            unchanged(Path(name), arguments.unchanged)
        if arguments.memory:
            memory(Path(name), arguments.memory)


if __name__ == "__main__":
    main()
