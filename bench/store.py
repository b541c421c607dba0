"""Compare the store with others: build time, size, opening, query time and recall.

Vectors are synthetic: clusters of some hundred in a space of few dimensions, rotated into 768 with
a little noise, like embeddings of images. Queries come from the same clusters, with more noise. Far
queries are in addition moved away from all vectors, as text queries are from images: the nearest
vectors score about 0.3, and recall is harder. All stores get the same vectors and queries, in one
process and one run.

- nmm: the catalog and its derived files, as a search uses them; without `--no-both`, also in the
  form that it would not have at that size, which shows where the threshold is;
- FAISS, flat, in fp32 and in memory, which is exact;
- rclip's way: all vectors read from SQLite, a product in NumPy, a sort in Python;
- sqlite-vec and LanceDB, if they are installed (the extra `bench`), both without an index: building
  one takes LanceDB many minutes on two cores.

    python bench/store.py [--sizes 10000 100000 1000000] [--no-both] [--no-peers]
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from report import Figure, left_out, note

from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.writer import ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors import segments
from nmm.index.store.vectors.factory import open_vector_index
from nmm.index.store.vectors.segment_table import read_segments

QUICK = "--sizes 5000 --no-both --no-peers"
DIMENSION = 768
LATENT = 48
QUERIES = 200
NEIGHBOURS = 10
BLOCK = 50_000
# Goals for a million vectors.
MILLION = 1_000_000
P50, RECALL, RCLIP = "<= 3 ms", ">= 0.98", ">= 500 x"
RCLIP_NAME = "rclip's way"

Vectors = NDArray[np.float32]
# Takes a query and returns the indices of its nearest vectors.
Search = Callable[[Vectors], list[int]]


class Row(NamedTuple):
    """A store: its name, seconds to build and to open, MB, milliseconds, recall (far: `far`).

    `cpu` is the mean CPU time of all cores per query, in milliseconds.
    """

    name: str
    build: float
    size: float
    open: float
    p50: float
    p95: float
    cpu: float
    recall: float
    far: float


class Asked(NamedTuple):
    """Queries and the indices of the nearest vectors to each; far queries likewise."""

    queries: Vectors
    exact: list[list[int]]
    far: Vectors
    far_exact: list[list[int]]


class Space:
    """The distribution of the vectors."""

    def __init__(self, count: int) -> None:
        chance = np.random.default_rng(0)
        clusters = max(100, count // 250)
        self._centres = chance.standard_normal((clusters, LATENT), np.float32)
        self._axes = chance.standard_normal((LATENT, DIMENSION), np.float32) / LATENT**0.5

    def vectors(self, count: int, seed: int, noise: float) -> Vectors:
        """Return unit vectors, shape (count, dimension)."""
        chance = np.random.default_rng(seed)
        made = np.empty((count, DIMENSION), np.float32)
        for start in range(0, count, BLOCK):
            rows = min(BLOCK, count - start)
            centres = self._centres[chance.integers(0, len(self._centres), rows)]
            latent = centres + 0.5 * chance.standard_normal((rows, LATENT), np.float32)
            around = chance.standard_normal((rows, DIMENSION), np.float32)
            made[start : start + rows] = latent @ self._axes + noise * around
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        return made

    def far(self, count: int, seed: int) -> Vectors:
        """Return :meth:`vectors` moved by twice their length in an unrelated direction."""
        gap = np.random.default_rng(seed).standard_normal(DIMENSION, np.float32)
        made = self.vectors(count, seed, 1.0) + 2 * gap / np.linalg.norm(gap)
        moved: Vectors = made / np.linalg.norm(made, axis=1, keepdims=True)
        return moved


def megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def timed(
    search: Search, asked: Asked, most: int = QUERIES
) -> tuple[float, float, float, float, float]:
    """Return median, 95th percentile and CPU milliseconds, recall, and recall of far queries."""
    times, right = [], []
    pairs = ((asked.queries, asked.exact), (asked.far, asked.far_exact))
    worked = time.process_time()
    for queries, exact in pairs:
        share = []
        for query, nearest in zip(queries[:most], exact, strict=False):
            started = time.perf_counter()
            found = search(query)
            times.append(1000 * (time.perf_counter() - started))
            share.append(len(set(found) & set(nearest)) / NEIGHBOURS)
        right.append(float(np.mean(share)))
    cpu = 1000 * (time.process_time() - worked) / len(times)
    p50, p95 = np.quantile(times, (0.5, 0.95))
    return float(p50), float(p95), cpu, right[0], right[1]


def of_nmm(folder: Path, vectors: Vectors, asked: Asked) -> Row:
    index = IndexFolder(folder)
    started = time.perf_counter()
    with open_for_writing(index) as writer:
        for start in range(0, len(vectors), BLOCK):
            with writer.batch():
                number = writer.add_content(Content(b"%d" % start, "text"))
                for vector in vectors[start : start + BLOCK]:
                    writer.add_chunk(number, "text", ChunkRow(), vector)
        segments.refresh(writer, index, DIMENSION)
    built = time.perf_counter() - started
    started = time.perf_counter()
    with Catalog.open(index.catalog) as catalog:
        nearest = open_vector_index(index, catalog)
        nearest.search(asked.queries[0], NEIGHBOURS, "text")
        opened = time.perf_counter() - started

        def search(query: Vectors) -> list[int]:
            ids, _ = nearest.search(query, NEIGHBOURS, "text")
            # Because every result is scored again.
            scores = {
                int(n): float(vector @ query)
                for some, vectors in catalog.vectors_of(ids.tolist())
                for n, vector in zip(some, vectors, strict=True)
            }
            return [n - 1 for n in sorted(scores, key=lambda n: -scores[n])]

        figures = timed(search, asked)
        (segment,) = read_segments(catalog, "text") or [None]
    form = f"nmm ({segment.form if segment else 'catalog alone'})"
    return Row(form, built, megabytes(folder), opened, *figures)


def of_rclip(folder: Path, vectors: Vectors, asked: Asked) -> Row:
    started = time.perf_counter()
    connection = sqlite3.connect(folder / "rclip.db")
    connection.execute("CREATE TABLE images (id INTEGER PRIMARY KEY, vector BLOB)")
    connection.executemany(
        "INSERT INTO images VALUES (?, ?)", ((n, v.tobytes()) for n, v in enumerate(vectors))
    )
    connection.commit()
    built = time.perf_counter() - started

    def search(query: Vectors) -> list[int]:
        rows = connection.execute("SELECT id, vector FROM images").fetchall()
        matrix = np.stack([np.frombuffer(blob, np.float32) for _, blob in rows])
        scores = matrix @ query
        ranked = sorted(zip(scores, (number for number, _ in rows), strict=True), reverse=True)
        return [number for _, number in ranked[:NEIGHBOURS]]

    figures = timed(search, asked, 3 if len(vectors) > BLOCK else 20)
    connection.close()
    return Row(RCLIP_NAME, built, megabytes(folder), 0.0, *figures)


def of_sqlite_vec(folder: Path, vectors: Vectors, asked: Asked) -> Row:
    import apsw  # Python's own sqlite3 can be built without loadable extensions
    import sqlite_vec

    started = time.perf_counter()
    connection = apsw.Connection(str(folder / "vec.db"))
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.execute(
        f"CREATE VIRTUAL TABLE items USING vec0(vector float[{DIMENSION}] distance_metric=cosine)"
    )
    with connection:
        connection.executemany(
            "INSERT INTO items (rowid, vector) VALUES (?, ?)",
            ((n, v.tobytes()) for n, v in enumerate(vectors)),
        )
    built = time.perf_counter() - started

    def search(query: Vectors) -> list[int]:
        rows = connection.execute(
            "SELECT rowid FROM items WHERE vector MATCH ? AND k = ?", (query.tobytes(), NEIGHBOURS)
        )
        return [number for (number,) in rows]

    figures = timed(search, asked, 5 if len(vectors) > BLOCK else 20)
    connection.close()
    return Row("sqlite-vec", built, megabytes(folder), 0.0, *figures)


def of_lancedb(folder: Path, vectors: Vectors, asked: Asked) -> Row:
    import lancedb
    import pyarrow as pa

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(vectors), BLOCK):
            rows = vectors[start : start + BLOCK]
            flat = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), DIMENSION)
            ids = pa.array(range(start, start + len(rows)))
            yield pa.record_batch([ids, flat], names=["id", "vector"])

    started = time.perf_counter()
    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), DIMENSION))])
    table = lancedb.connect(folder).create_table("items", batches(), schema=schema)
    built = time.perf_counter() - started

    def search(query: Vectors) -> list[int]:
        asked = table.search(query).distance_type("cosine").limit(NEIGHBOURS)
        asked = asked.select(["id", "_distance"])
        return [row["id"] for row in asked.to_list()]

    figures = timed(search, asked, 20 if len(vectors) > BLOCK else QUERIES)
    return Row("LanceDB", built, megabytes(folder), 0.0, *figures)


def of_faiss(vectors: Vectors, queries: Vectors, far: Vectors) -> tuple[Asked, Row]:
    """Return the exact answers, and their cost."""
    import faiss

    flat = faiss.IndexFlatIP(DIMENSION)
    started = time.perf_counter()
    flat.add(vectors)
    built = time.perf_counter() - started
    exact, far_exact = (flat.search(q, NEIGHBOURS)[1].tolist() for q in (queries, far))
    asked = Asked(queries, exact, far, far_exact)

    def search(query: Vectors) -> list[int]:
        found: list[int] = flat.search(query[None], NEIGHBOURS)[1][0].tolist()
        return found

    size = vectors.nbytes / 1e6
    return asked, Row("FAISS, flat, fp32", built, size, 0.0, *timed(search, asked))


def of_other_form(folder: Path, vectors: Vectors, asked: Asked) -> Row:
    """Measure nmm in the form that it has on the other side of its threshold."""
    usual = segments.IVF_FROM
    segments.IVF_FROM = 0 if len(vectors) < usual else len(vectors) + 1
    try:
        return of_nmm(folder, vectors, asked)
    finally:
        segments.IVF_FROM = usual


def compare(count: int, *, both: bool, peers: bool) -> None:
    space = Space(count)
    vectors, queries = space.vectors(count, 1, 0.3), space.vectors(QUERIES, 2, 0.5)
    asked, first = of_faiss(vectors, queries, space.far(QUERIES, 3))
    rows = [first]
    others = [of_nmm, *([of_other_form] if both else []), of_rclip]
    others += [of_sqlite_vec] if peers and find_spec("sqlite_vec") and find_spec("apsw") else []
    others += [of_lancedb] if peers and find_spec("lancedb") else []
    for measure in others:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(Path(folder), vectors, asked))
    ours = next(row for row in rows if row.name.startswith("nmm"))
    print(f"\n{count:,} vectors of {DIMENSION} dimensions")
    print(
        " " * 23
        + "build       size     open       p50       p95       cpu  x nmm  recall@10    far"
    )
    for row in sorted(rows, key=lambda row: row is not ours):
        opened = f"{row.open:6.3f} s" if row.open else " " * 8
        print(
            f"{row.name:18} {row.build:7.1f} s {row.size:7,.0f} MB {opened} {row.p50:6.1f} ms "
            f"{row.p95:6.1f} ms {row.cpu:6.1f} ms {row.p50 / ours.p50:6.1f} "
            f"{row.recall:10.3f} {row.far:6.3f}",
            flush=True,
        )
    note(*figures(count, ours, rows))


def figures(count: int, ours: Row, rows: Sequence[Row]) -> Iterator[Figure]:
    """Report figures beside rclip's way at each size, and at a million beside all, with recall."""
    is_million = count == MILLION
    for row in rows:
        if row is ours or row.name.startswith("nmm"):
            continue
        is_rclip = row.name == RCLIP_NAME
        if is_rclip or is_million:
            goal = RCLIP if is_rclip and is_million else ""
            what = f"nearest 10 of {count:,}, p50"
            yield Figure(what, ours.p50, "ms", row.name, row.p50, row.p50 / ours.p50, goal)
    if is_million:
        yield Figure(f"nearest 10 of {count:,}, p50", ours.p50, "ms", goal=P50)
        yield Figure(f"recall@10 of {count:,}", ours.recall, "", goal=RECALL)
        yield Figure(f"recall@10 of {count:,}, far queries", ours.far, "", goal=RECALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--both", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    for package in ("apsw", "sqlite_vec", "lancedb"):
        if arguments.peers and not find_spec(package):
            left_out(package, "it is not installed")
    for count in arguments.sizes:
        compare(count, both=arguments.both, peers=arguments.peers)


if __name__ == "__main__":
    main()
