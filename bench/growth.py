"""How an index grows: what a file costs when there are few and many, in time and memory.

The index is filled with random vectors, whose number counts here and not what is in them;
what is measured is the installed command, with `mini`.

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

import numpy as np
from report import Figure, note

from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime import load_encoder
from nmm.index.model import settings_of
from nmm.index.store import segments
from nmm.index.store.catalog import Root
from nmm.index.store.location import IndexFolder
from nmm.index.store.writer import CatalogWriter, ChunkRow, Content, open_for_writing

QUICK = ("--unchanged", "500", "--sizes", "0", "1000", "--added", "50", "--memory", "50")
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
    """Paths of files, some hundred to a folder."""
    return (f"{n // FILES_PER_FOLDER:04}/{n:07}.txt" for n in range(count))


def make_files(root: Path, count: int, seed: int) -> None:
    """Texts of one passage, no two alike."""
    chance = np.random.default_rng(seed)
    for name in names(count):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        words = " ".join(WORDS[n] for n in chance.integers(0, len(WORDS), 12))
        (root / name).write_text(f"{words} {seed} {name}\n", "utf-8")


def fill(folder: IndexFolder, root: Path, count: int) -> None:
    """An index of so many files below a root, there or not, each with a vector."""
    encoder = load_encoder(MINI)
    chance = np.random.default_rng(0)
    with open_for_writing(folder) as writer:
        writer.set_settings(settings_of(encoder))
        adopted, _ = writer.adopt_root(root)
        paths = list(names(count))
        for start in range(0, count, 5000):
            with writer.batch():
                for path in paths[start : start + 5000]:
                    add(writer, adopted, root, path, chance.standard_normal(MINI.dimension))
        segments.refresh(writer, folder, MINI.dimension)


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
    """Run `nmm index`: its summary, and the peak of its memory in MB."""
    command = [NMM, "index", "--json", "-q", *arguments]
    environ = {**os.environ, "NMM_INDEX": str(folder.path), "HF_HUB_OFFLINE": "1"}
    # A process of its own, for the peak of all children is the greatest of any of them.
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
    """A second run over files that are as they were."""
    root, folder = temporary / "files", IndexFolder(temporary / "unchanged")
    make_files(root, count, seed=0)
    fill(folder, root.resolve(), count)
    index(folder)  # measures what follows from the vectors, once
    summary, peak = index(folder)
    assert summary["unchanged"] == count, summary
    print(f"\nsecond run over {count:,} unchanged files: {summary['seconds']:.1f} s, {peak:.0f} MB")
    goal = "<= 3 s" if count == 100_000 else ""
    note(Figure(f"second run over {count:,} unchanged files", summary["seconds"], "s", goal=goal))
    shutil.rmtree(root)


def adding(temporary: Path, sizes: list[int], count: int) -> None:
    """The same files added to indexes of several sizes."""
    more = temporary / "more"
    make_files(more, count, seed=1)
    index(IndexFolder(temporary / "warm"), more, "--model", "mini")  # opens what is cached
    print(f"\nadding {count:,} texts\n  to an index of  ms a file  x first  written again")
    first = cost = 0.0
    for size in sizes:
        folder = IndexFolder(temporary / f"of-{size}")
        if size:
            fill(folder, Path("/nowhere"), size)
        before = {path: path.stat().st_size for path in folder.vectors.glob("*")}
        summary, _ = index(folder, more, *(() if size else ("--model", "mini")))
        assert summary["added"] == count, summary
        cost = 1000 * summary["seconds"] / count
        first = first or cost
        gone = sum(bytes_ for path, bytes_ in before.items() if not path.exists())
        print(f"{size:16,} {cost:10.2f} {cost / first:8.2f} {gone / 1e6:11.1f} MB")
    what = f"a text added to an index of {sizes[-1]:,}"
    note(Figure(what, cost, "ms", f"to one of {sizes[0]:,}", first, first / cost))


def memory(temporary: Path, counts: list[int]) -> None:
    """Peaks of memory by the number of files of a first run."""
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
    parser.add_argument("--memory", type=int, nargs="*", default=[1000, 20_000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        adding(Path(name), arguments.sizes, arguments.added)
        if arguments.unchanged:
            unchanged(Path(name), arguments.unchanged)
        if arguments.memory:
            memory(Path(name), arguments.memory)


if __name__ == "__main__":
    main()
