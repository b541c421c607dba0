"""Measure what 8-bit codes save for waiting queries, compared with the flat file they represent.

A flat file is scanned once for each query. With codes of one byte per component, several queries
find their candidates in one scan, and only these are compared with the file
(`nmm.index.store.vectors.quantized_scan`). The results must be the same to the last bit of each
score; otherwise the benchmark fails.

Times are CPU time of all cores per query, without the rest of a search. The vectors are those of
`bench/store.py`, in clusters, and random ones: these have no near neighbours, so most candidates
have to be compared.

    python bench/codes.py [--count 100000] [--dimensions 384 768] [--rounds 5]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import Figure, note
from store import Space

from nmm.index.common.linalg import normalize_rows
from nmm.index.search.prefetch import GROUP_SIZE
from nmm.index.store.vectors import faiss_files, faiss_search
from nmm.index.store.vectors.quantized_scan import encode

QUICK = "--count 3000 --dimensions 64 --rounds 1"
TOGETHER = (1, GROUP_SIZE // 4, GROUP_SIZE)
NEAREST = 60  # candidates of each kind, in a search for ten results

Vectors = NDArray[np.float32]


def clusters(count: int, seed: int, dimension: int) -> Vectors:
    vectors = Space(count).vectors(count, seed, 0.3)[:, :dimension].copy()
    normalize_rows(vectors)
    return vectors


def random(count: int, seed: int, dimension: int) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension), np.float32)
    normalize_rows(vectors)
    return vectors


def worked(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU time of all cores in milliseconds, and the result."""
    started = time.process_time()
    found = work()
    return 1000 * (time.process_time() - started), found


def opened(folder: Path, vectors: Vectors) -> Any:
    """Open a flat file of vectors, memory-mapped as in a search."""
    index = faiss_files.new_flat(vectors.shape[1])
    index.add_with_ids(vectors, np.arange(len(vectors), dtype=np.int64))
    segment = faiss_files.write(
        index, folder / "flat.faiss", form="flat", trained=0, last_chunk=len(vectors)
    )
    return faiss_files.open_file(folder, segment)


def measure(name: str, index: Any, queries: Vectors, rounds: int) -> None:
    """Print a row for each number of concurrent queries, and report the figure of a batch."""
    making, codes = worked(lambda: encode(index))
    assert codes
    codes.nearest(queries[:1], NEAREST)  # builds the codes
    print(f"\n{name}: codes of {codes.codes.nbytes / 1e6:.0f} MB made in {making / 1000:.2f} s")
    alone = []
    for query in queries[: rounds * TOGETHER[-1]]:
        spent, found = worked(lambda query=query: faiss_search.nearest(index, query, NEAREST))
        alone.append((spent, found))
    one_by_one = median(spent for spent, _ in alone)
    print(f"{'':24}{'ms a query':>11}{'x file':>8}{'compared':>10}")
    print(f"{'the file, one by one':24}{one_by_one:11.2f}{1:8.2f}{index.ntotal:10,}")
    for together in TOGETHER:
        times, compared = [], []
        for start in range(0, rounds * together, together):
            some = queries[start : start + together]
            spent, found = worked(lambda some=some: codes.nearest(some, NEAREST))
            times.append(spent / together)
            compared += [len(places) for places in codes._candidates(some, NEAREST)]
            for (_, (ids, scores)), (our_ids, our_scores) in zip(
                alone[start : start + together], found, strict=True
            ):
                assert scores.tolist() == our_scores.tolist(), "other scores"
                assert set(ids.tolist()) == set(our_ids.tolist()), "other vectors"
        each = median(times)
        title = f"by codes, {together} at once"
        ratio = one_by_one / each
        print(f"{title:24}{each:11.2f}{ratio:8.2f}{median(compared):10,.0f}", flush=True)
        if together == GROUP_SIZE:
            note(
                Figure(
                    f"nearest {NEAREST} of {index.ntotal:,}, {name}, {GROUP_SIZE} queries at once",
                    each,
                    "ms of processor time",
                    "flat file, one by one",
                    one_by_one,
                    ratio,
                )
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000, help="vectors")
    parser.add_argument("--dimensions", type=int, nargs="*", default=[384, 768])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for dimension in arguments.dimensions:
        for make in (clusters, random):
            vectors = make(arguments.count, 1, dimension)
            queries = make(arguments.rounds * TOGETHER[-1], 2, dimension)
            with tempfile.TemporaryDirectory() as folder:
                index = opened(Path(folder), vectors)
                measure(f"{make.__name__}, {dimension}", index, queries, arguments.rounds)


if __name__ == "__main__":
    main()
