"""Measure the peak memory of `nmm index` and `nmm search`, by size of the collection.

A process is watched from start to end: its peak resident memory (as counted by the kernel), and the
anonymous part of it (from /proc, ten times per second, so on Linux only). Weights and vectors are
memory-mapped files: they count in the first figure only, and the kernel can drop them at any time.

- `nmm index` with a full-size pair, over photos of 24 megapixels (JPEG, PNG, HEIC), over few and
  many small photos, and over texts, some of them large;
- `nmm search`, once and with queries on its standard input, over indexes of several sizes
  (`bench/collection.py`);
- for comparison: the same pair in torch, and all vectors in one NumPy array, as in rclip.

The pair has random weights and is generated unless `--pair` names one.

    pip install sentence-transformers
    python bench/memory.py [--pair DIR] [--small 100 400] [--vectors 10000 100000 1000000]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from collection import fill, passages, queries
from growth import NMM
from photos import write_photos
from random_pair import write_pair
from report import Figure, note

from nmm.index.encoders.base import Model
from nmm.index.encoders.resolve import model_in_folder
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.encoders.runtime.onnx_encoder import Workload
from nmm.index.store.layout import IndexFolder

QUICK = "--layers 1 --only search --vectors 1000"
GOALS = {"index": 2.5, "search": 1.0}  # GB
QUERIES = 30

# Runs a command and prints its peak resident memory, in KB. It is a process of its own, because the
# kernel reports the maximum over all children.
PEAK = """
import resource, subprocess, sys
started = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
print(started.pid, flush=True)
assert started.wait() == 0, sys.argv
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
TORCH = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from models import peer_text_tower
from nmm.index.encoders.hub.cache_dirs import compiled_folder
from nmm.index.encoders.resolve import model_in_folder
from nmm.index.encoders.runtime.torch_encoder import TorchEncoder
from nmm.index.encoders.backend import Device
from PIL import Image
import numpy as np, torch

model = model_in_folder(Path(sys.argv[2]))
encoder = TorchEncoder(model, compiled_folder(model), Device.CPU, torch.float32)
for start in range(4):
    encoder.embed_images(np.zeros((32, 224, 224, 3), np.uint8))
encode = peer_text_tower(model, Path(sys.argv[3]))
encode(["boats on a lake " * 40] * 128)
"""
ARRAY = """
import sys
import numpy as np
import torch  # which embeds the query
vectors = np.ones((int(sys.argv[1]), 768), np.float32)
for _ in range(3):
    sorted(zip((vectors @ vectors[0]).tolist(), range(len(vectors))))[:10]
"""


class Memory(NamedTuple):
    """Memory of a process in GB: the peak in total, and the peak of its anonymous part."""

    resident: float
    own: float
    seconds: float


def watch(command: Sequence[str | Path], stdin: bytes = b"") -> Memory:
    """Run a command to its end."""
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", PEAK, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(stdin)
        process.stdin.close()
        status = Path(f"/proc/{int(process.stdout.readline())}/status")
        own = 0
        while process.poll() is None:
            with suppress(OSError):  # the process has ended
                if found := re.search(r"RssAnon:\s+(\d+)", status.read_text()):
                    own = max(own, int(found[1]))
            time.sleep(0.1)
        resident = int(process.stdout.read())
    assert process.returncode == 0, command
    unit = 1e9 if sys.platform == "darwin" else 1e6  # bytes on macOS, kilobytes elsewhere
    return Memory(resident / unit, own / 1e6, time.perf_counter() - started)


def row(what: str, found: Memory, goal: str = "", beside: tuple[str, Memory] | None = None) -> None:
    """Print the memory of a process, and report it."""
    print(f"{what:44}{found.resident:7.2f} GB{found.own:7.2f} GB{found.seconds:8.1f} s", flush=True)
    aim = f"<= {GOALS[goal]} GB" if goal else ""
    if beside:
        name, theirs = beside
        ratio = theirs.resident / found.resident
        note(Figure(what, found.resident, "GB", name, theirs.resident, ratio, aim))
    elif goal:
        note(Figure(what, found.resident, "GB", goal=aim))


def write_texts(folder: Path, pages: int, kilobytes: int) -> None:
    """Write texts of a page each, and a large one."""
    folder.mkdir(parents=True)
    for number in range(pages):
        (folder / f"{number}.txt").write_text("\n\n".join(passages(4, number)), "utf-8")
    large = "\n\n".join(passages(10 * kilobytes, pages))[: 1000 * kilobytes]
    (folder / "large.txt").write_text(large, "utf-8")


def collections(root: Path, small: Sequence[int]) -> dict[str, Path]:
    """Return folders of generated files, by their name in the table."""
    large, texts = root / "large", root / "texts"
    for form, count in (("JPEG", 16), ("PNG", 4), ("HEIF", 4)):
        write_photos(large / form, count, 24, form)
    found = {"24 megapixels: 16 JPEG, 4 PNG, 4 HEIC": large}
    for count in small:
        write_photos(root / f"small-{count}", count, 2)
        found[f"{count} JPEG of 2 megapixels"] = root / f"small-{count}"
    write_texts(texts, 20, 100)
    found["20 pages of text, and one file of 100 KB"] = texts
    return found


def indexing(pair: Path, root: Path, small: Sequence[int]) -> None:
    """Measure `nmm index`, beside torch with the same encoders."""
    arguments = [Path(__file__).parent, pair, root / "peer"]
    name = "torch, both towers of the pair"
    theirs = watch([sys.executable, "-c", TORCH, *arguments])
    row(name, theirs)
    for what, folder in collections(root, small).items():
        index = root / f"index-{folder.name}"
        command = [NMM, "index", folder, "--model", pair, "--index", index, "-q"]
        row(f"index: {what}", watch(command), "index", (name, theirs))


def searching(model: Model, root: Path, sizes: Sequence[int]) -> None:
    """Measure `nmm search`, beside all vectors in an array."""
    encoder = load_encoder(model, workload=Workload.SINGLE_QUERY)
    lines = "".join(f"{query}\n" for query in queries(QUERIES)).encode()
    for count in sizes:
        index = root / f"vectors-{count}"
        fill(IndexFolder(index), encoder, count)
        name = f"{count:,} vectors in a numpy array, and torch"
        theirs = watch([sys.executable, "-c", ARRAY, str(count)])
        row(name, theirs)
        for asked, how in (("a red fox", "once"), ("-", f"{QUERIES} queries")):
            found = watch([NMM, "search", asked, "--jsonl", "--index", index], lines)
            row(f"search in {count:,}, {how}", found, "search", (name, theirs))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pair", type=Path, metavar="DIR", help="generated by default")
    parser.add_argument("--layers", type=int, default=12, help="of the generated pair")
    parser.add_argument("--small", type=int, nargs="*", default=[100, 400], help="small photos")
    parser.add_argument("--vectors", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--only", choices=GOALS)
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        pair = arguments.pair and arguments.pair.absolute()
        if not pair:
            pair = root / "pair"
            write_pair(pair, arguments.layers)
            os.environ["NMM_CACHE"] = str(root / "cache")
        model = model_in_folder(pair)
        load_encoder(model)  # compiles the model
        print(f"{'':44}{'peak':>10}{'its own':>10}{'seconds':>10}")
        if arguments.only != "search":
            indexing(pair, root, arguments.small)
        if arguments.only != "index":
            searching(model, root, arguments.vectors)


if __name__ == "__main__":
    main()
