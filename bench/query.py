"""Measure the queries per second of `nmm search -`, with a full-size model and with `mini`.

The command runs as a process that reads queries from a pipe and writes answers to another, over a
hundred thousand vectors: half of images, half of passages, with words and names to find
(`bench/collection.py`). No query is repeated. Timed in turn over several rounds are

- one by one: each query is sent after the answer to the previous one, as from an interactive
  program;
- all at once: the queries wait on standard input, as from a file;
- a peer: sentence-transformers with the same weights, all vectors in one NumPy array, and a sort,
  as rclip and llm-clip search. It has no keyword search, merges no near-duplicates, and prints
  nothing.

The full-size pair has random weights and is generated unless `--pair` names one; its speed is that
of the real one.

    pip install sentence-transformers
    python bench/query.py [--pair DIR] [--count 100000] [--queries 200] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from threading import Thread
from typing import IO, TYPE_CHECKING

import numpy as np
from collection import fill, queries
from growth import NMM
from models import peer_text_tower
from random_pair import write_pair
from report import Figure, left_out, note

from nmm.index.encoders.base import Model, Task
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.resolve import model_in_folder
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS
from nmm.index.store.layout import IndexFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = "--only mini --count 2000 --queries 20 --rounds 1"
SHOWN = 10
WARM = 48  # warm-up queries after a process has started, not timed, sent like the timed ones
GOALS = {"pair": 30, "mini": 200}  # queries per second


class Searching:
    """A running `nmm search -`, with pipes to it.

    Args:
        folder: The index.
        option: The output format.
        lines: Lines of one answer in that format.
    """

    def __init__(self, folder: IndexFolder, option: str, lines: int) -> None:
        self._lines = lines
        self.process = subprocess.Popen(
            [NMM, "search", "-", option],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "NMM_INDEX": str(folder.path), "HF_HUB_OFFLINE": "1"},
        )
        assert self.process.stdin
        assert self.process.stdout
        self._stdin: IO[bytes] = self.process.stdin
        self._stdout: IO[bytes] = self.process.stdout

    def ask(self, query: str) -> None:
        """Send a query and wait for the answer."""
        self._send([query])
        self._read(1)

    def ask_all(self, queries: Sequence[str]) -> None:
        """Send queries without waiting, then wait for the last answer."""
        sending = Thread(target=self._send, args=(queries,))
        sending.start()
        self._read(len(queries))
        sending.join()

    def _send(self, queries: Sequence[str]) -> None:
        self._stdin.write("".join(f"{query}\n" for query in queries).encode())
        self._stdin.flush()

    def _read(self, answers: int) -> None:
        for _ in range(answers * self._lines):
            assert self._stdout.readline(), "it has ended"

    def close(self) -> None:
        """Close its standard input, which ends it."""
        self._stdin.close()
        assert not self._stdout.read()
        assert self.process.wait() == 0


@contextmanager
def searching(folder: IndexFolder, option: str = "--json", lines: int = 1) -> Iterator[Searching]:
    """Yield a process that answers queries."""
    running = Searching(folder, option, lines)
    yield running
    running.close()


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peer(model: Model, folder: IndexFolder, temporary: Path) -> Callable[[str], object] | None:
    """Return one query as other programs answer it; None without sentence-transformers."""
    encode = peer_text_tower(model, temporary)
    if encode is None:
        return None
    blocks, paths = [], []
    with Catalog.open(folder.catalog) as catalog:
        for kind in KINDS:
            for ids, vectors in catalog.vectors(kind):
                blocks.append(vectors)
                paths += [str(one) for one in ids.tolist()]
    matrix = np.concatenate(blocks)

    def answer(query: str) -> list[tuple[str, float]]:
        scores = matrix @ encode([model.prompt(query, Task.QUERY)])[0]
        best = np.argsort(scores)[: -SHOWN - 1 : -1]
        return [(paths[n], float(scores[n])) for n in best]

    return answer


def measure(name: str, model: Model, temporary: Path, count: int, asked: int, rounds: int) -> None:
    """Make an index for a model, time queries, and print and report the results."""
    folder = IndexFolder(temporary / f"index-{name}")
    fill(folder, load_encoder(model), count)
    theirs = peer(model, folder, temporary / f"peer-{name}")
    every = iter(queries(rounds * (4 * asked + 3 * WARM) + WARM))

    def some(number: int) -> list[str]:
        return list(islice(every, number))

    alone: list[float] = []
    rates: dict[str, list[float]] = {way: [] for way in ("alone", "--jsonl", "--paths", "peer")}
    for query in some(WARM):
        theirs and theirs(query)
    for _ in range(rounds):
        with searching(folder) as running:
            for query in some(WARM):
                running.ask(query)
            spent = [seconds(partial(running.ask, query)) for query in some(asked)]
        alone += spent
        rates["alone"].append(asked / sum(spent))
        for option in ("--jsonl", "--paths"):
            with searching(folder, option, SHOWN) as running:
                running.ask_all(some(WARM))
                rates[option].append(asked / seconds(partial(running.ask_all, some(asked))))
        if theirs:
            rates["peer"].append(asked / seconds(lambda: [theirs(q) for q in some(asked)]))
    report(name, alone, rates)


def report(name: str, alone: Sequence[float], rates: Mapping[str, Sequence[float]]) -> None:
    """Print a row for each way, and report the figures that have a goal."""
    p50, p95 = 1000 * np.quantile(alone, (0.5, 0.95))
    titles = {
        "alone": "one by one (--json)",
        "--jsonl": "all at once (--jsonl)",
        "--paths": "all at once (--paths)",
        "peer": "sentence-transformers, numpy",
    }
    print(f"\n{name}: one by one, p50 {p50:.1f} ms, p95 {p95:.1f} ms, of {len(alone)} queries")
    print(f"{'':32}{'queries/s':>10}{'x peer':>9}")
    for way, title in titles.items():
        if not rates[way]:
            left_out(title, "it is not installed")
            continue
        line = f"{title:32}{median(rates[way]):10.1f}"
        ratio = other = None
        if rates["peer"]:
            ratio = median(a / b for a, b in zip(rates[way], rates["peer"], strict=True))
            other = median(rates["peer"])
            line += f"{ratio:9.2f}"
        print(line)
        if way != "peer":
            what = f"nmm search -, {name}, {title}"
            goal = f">= {GOALS[name]} queries/s"
            beside = titles["peer"] if ratio else ""
            note(Figure(what, median(rates[way]), "queries/s", beside, other, ratio, goal))
    note(
        Figure(f"nmm search -, {name}, one by one, p50", p50, "ms"),
        Figure(f"nmm search -, {name}, one by one, p95", p95, "ms"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pair", type=Path, metavar="DIR", help="generated by default")
    parser.add_argument("--count", type=int, default=100_000, help="vectors")
    parser.add_argument("--queries", type=int, default=200, help="per way and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=GOALS, help="one of the two models")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        pair = arguments.pair
        if not pair and arguments.only != "mini":
            pair = temporary / "random-pair"
            write_pair(pair)
            os.environ["NMM_CACHE"] = str(temporary / "cache")
        models = {"pair": lambda: model_in_folder(pair.absolute()), "mini": lambda: MINI}
        for one, model in models.items():
            if arguments.only in (None, one):
                measure(
                    one, model(), temporary, arguments.count, arguments.queries, arguments.rounds
                )


if __name__ == "__main__":
    main()
