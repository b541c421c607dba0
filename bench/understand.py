"""Measure time and quality of the analysis commands as a collection grows.

The engine of `nmm classify`, `cluster`, `dupes`, `map` and `eval retrieval` runs over indexes of
several sizes with known answers. The files are things of ImageNet: a file's vector is that of the
thing's name, in the space of `mini`, with noise, so that some files are hard. Half are texts, in
another part of the space, as in models trained on pairs. One image in fifty is a copy of another,
with a little noise in its vector and fingerprint. Printed, beside seconds, are

- classify: the share of the files that get their own label, among all labels;
- cluster: the adjusted Rand index to the truth (1 is perfect, 0 is chance), with the number of
  clusters given and chosen;
- clusters found by k-means and by HDBSCAN in vectors with more clusters (`bench/clusters.py`): the
  same index, the number of clusters, and the share of the files in one;
- dupes: recall and precision of copies;
- map: how many of ten neighbours are preserved in the layout, and how the kinds mix (1 is chance);
- eval retrieval: nDCG@10 of the names, with seconds per query.

    pip install '.[map]'
    python bench/understand.py [--sizes 1000 10000 100000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import clusters
import numpy as np
from collection import VECTORS_PER_BATCH, passages
from numpy.typing import NDArray
from projection_quality import kind_mixing, neighbour_preservation
from report import Figure, left_out, note
from sklearn.metrics import adjusted_rand_score

from nmm.index.analysis.classification.classifier import classify
from nmm.index.analysis.classification.labels import Label
from nmm.index.analysis.clustering.clusters import Method, cluster
from nmm.index.analysis.collection import FileCollection, open_collection
from nmm.index.analysis.dupes.groups import find_pairs
from nmm.index.analysis.dupes.pairs import MatchKind
from nmm.index.analysis.projection.layout import project_contents
from nmm.index.analysis.projection.projector import check_installed
from nmm.index.encoders.base import Encoder, Task
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.errors import NmmError
from nmm.index.evaluation.retrieval import METRICS, evaluate_retrieval
from nmm.index.index_model import settings_of
from nmm.index.indexing.finalize import finalize_index
from nmm.index.media.image.fingerprint import BYTES
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.vacuum import optimize_fts, vacuum
from nmm.index.store.catalog.writer import ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder

QUICK = "--sizes 300"
T = TypeVar("T")
Floats = NDArray[np.float32]

# Things far enough apart that a person would not confuse them.
THINGS = (
    "accordion", "acorn", "airliner", "banana", "beaver", "bookcase", "broccoli", "castle",
    "chimpanzee", "daisy", "espresso", "goldfish", "hammer", "lighthouse", "ostrich", "piano",
    "pizza", "rugby ball", "scorpion", "snowmobile", "submarine", "teapot", "umbrella", "violin",
)  # fmt: skip
# For unit vectors: the noise of a file, the modality gap, and the difference of a copy.
NOISE, GAP, COPY = 3.0, 0.6, 0.05
# One image in so many is a copy of another.
COPIES = 50
# Levels, and pixels per side, of the patterns in fingerprints; and the level noise of a copy.
COARSE, SHADE = 4, 2


@dataclass(frozen=True)
class Truth:
    """The truth about an index: each file's thing, by its path; and the copies."""

    things: dict[str, int]
    copies: set[frozenset[str]]


def unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def fill(folder: IndexFolder, encoder: Encoder, count: int) -> Truth:
    """Make an index of so many files, half of them texts."""
    chance = np.random.default_rng(0)
    centres = encoder.embed_texts([f"a photo of a {thing}" for thing in THINGS], Task.QUERY)
    dimension = encoder.model.dimension
    gap = GAP * unit(chance.standard_normal(dimension))
    things = chance.integers(0, len(THINGS), count)
    noise = chance.standard_normal((count, dimension)).astype(np.float32) * NOISE / dimension**0.5
    vectors = centres[things] + noise
    vectors[1::2] += gap
    vectors = unit(vectors)
    prints = [fingerprint(chance) for _ in range((count + 1) // 2)]
    truth = Truth({}, set())
    root = Path("nowhere").absolute()
    texts = passages(count // 2, 0)
    with open_for_writing(folder) as writer:
        writer.set_settings(settings_of(encoder))
        adopted, _ = adopt_root(writer, root)
        for start in range(0, count, VECTORS_PER_BATCH):
            with writer.batch():
                for number in range(start, min(start + VECTORS_PER_BATCH, count)):
                    thing, is_text = int(things[number]), number % 2
                    name = f"{number:06}.{'txt' if is_text else 'jpg'}"
                    vector = vectors[number]
                    if is_text:
                        content = writer.add_content(Content(b"%d" % number, "text"))
                        chunk = ChunkRow(1, 1, f"{THINGS[thing]}. {texts[number // 2]}")
                    else:
                        print_ = prints[number // 2]
                        of = number - 2
                        if number % (2 * COPIES) == 2:
                            thing = int(things[of])
                            difference = COPY * unit(chance.standard_normal(dimension))
                            vector = unit(vectors[of] + difference)
                            print_ = shaded(prints[of // 2], chance)
                            truth.copies.add(frozenset((f"{of:06}.jpg", name)))
                        image = Content(b"%d" % number, "image", 3000, 2000, fingerprint=print_)
                        content = writer.add_content(image)
                        chunk = ChunkRow()
                    writer.add_chunk(content, "text" if is_text else "image", chunk, vector)
                    writer.put_file(adopted, name, 1, 2, status="indexed", content_id=content)
                    truth.things[str(root / name)] = thing
        finalize_index(writer, folder, encoder)
        optimize_fts(writer)
        vacuum(writer)
    return truth


def fingerprint(chance: np.random.Generator) -> bytes:
    """Return the fingerprint of an image of a few large patches."""
    coarse = chance.integers(0, 256, (COARSE, COARSE), np.uint8)
    grey = np.kron(coarse, np.ones((16 // COARSE, 16 // COARSE), np.uint8))
    colours = chance.integers(96, 160, BYTES - grey.size, np.uint8)
    return grey.tobytes() + colours.tobytes()


def shaded(print_: bytes, chance: np.random.Generator) -> bytes:
    """Return the fingerprint of an image that was saved again."""
    levels = np.frombuffer(print_, np.uint8).astype(np.int16)
    levels += chance.integers(-SHADE, SHADE + 1, len(levels))
    return levels.clip(0, 255).astype(np.uint8).tobytes()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def rand_index(
    collection: FileCollection, groups: list[NDArray[np.int64]], truth: NDArray[np.int64]
) -> float:
    """Return the adjusted Rand index of groups of files (Hubert and Arabie, 1985)."""
    labels = np.full(len(collection.files), len(groups))
    for number, files in enumerate(groups):
        labels[files] = number
    return float(adjusted_rand_score(truth, labels))


class Rows:
    """A table printed row by row; seconds are reported for the largest collection."""

    def __init__(self, count: int, *, noted: bool) -> None:
        self._count = count
        self._noted = noted

    def add(self, what: str, seconds: float, **quality: float) -> None:
        told = "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in quality.items())
        print(f"{self._count:>8,}  {what:26}{seconds:9.2f} s  {told}", flush=True)
        if self._noted:
            note(Figure(f"{what}, {self._count:,} files", seconds, "s"))


@contextmanager
def filled(encoder: Encoder, count: int) -> Iterator[tuple[IndexFolder, Truth]]:
    with tempfile.TemporaryDirectory() as name:
        folder = IndexFolder(Path(name) / "index")
        yield folder, fill(folder, encoder, count)


def measure(encoder: Encoder, count: int, *, can_map: bool, noted: bool) -> None:
    """Measure everything over one index."""
    with filled(encoder, count) as (folder, truth):
        rows = Rows(count, noted=noted)
        with open_collection(folder) as collection:
            seconds, _ = timed(lambda: reread(folder))
            rows.add("all vectors read", seconds)
            things = np.array([truth.things[item.path] for item in collection.files])
            labels = [Label(thing) for thing in THINGS]
            _ = collection.encoder.embed_texts(["opened"], Task.QUERY)
            seconds, classified = timed(lambda: classify(collection, labels))
            rows.add("classify", seconds, right=float((classified.best == things).mean()))
            for title, groups in ((f"cluster -k {len(THINGS)}", len(THINGS)), ("cluster", None)):
                seconds, found = timed(lambda groups=groups: cluster(collection, groups))
                index = rand_index(collection, [one.files for one in found], things)
                rows.add(title, seconds, rand_index=index, groups=len(found))
            seconds, links = timed(lambda: find_pairs(collection, [MatchKind.NEAR]))
            names = {item.content: Path(item.path).name for item in collection.files}
            pairs = {frozenset((names[one], names[other])) for one, other in links}
            rows.add(
                "dupes",
                seconds,
                recall=len(pairs & truth.copies) / len(truth.copies),
                precision=len(pairs & truth.copies) / max(len(pairs), 1),
            )
            if can_map:
                draw(collection, rows)
        groups = max(4, round(count**0.5 / 3))
        for method in Method:
            known = clusters.measure(count, groups, method=method)
            rows.add(
                f"{method.value}, {groups} groups",
                known.seconds,
                rand_index=known.rand,
                groups=known.groups,
                inside=known.inside,
                kind_mixing=known.mixed,
            )
        relevant: dict[str, list[str]] = {thing: [] for thing in THINGS}
        for path, thing in truth.things.items():
            relevant[THINGS[thing]].append(path)
        seconds, retrieval = timed(lambda: evaluate_retrieval(folder, relevant))
        ndcg = [one.metrics[METRICS.index("ndcg@10")] for one in retrieval.answered]
        rows.add(
            "eval retrieval",
            seconds,
            ndcg10=float(np.mean(ndcg)),
            seconds_a_query=seconds / len(ndcg),
        )


def reread(folder: IndexFolder) -> None:
    with open_collection(folder):
        pass


def draw(collection: FileCollection, rows: Rows) -> None:
    seconds, points = timed(lambda: project_contents(collection.vectors, collection.kinds))
    is_image = np.array([kind == "image" for kind in collection.kinds])
    rows.add(
        "map",
        seconds,
        kept=neighbour_preservation(collection.vectors, points),
        kind_mixing=kind_mixing(points, is_image),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 10_000, 100_000])
    arguments = parser.parse_args()
    encoder = load_encoder(MINI)
    try:
        check_installed()
        # The layout code is compiled at its first run; `bench/map.py` includes that time.
        project_contents(np.eye(64, dtype=np.float32), ["image"] * 64)
        can_map = True
    except NmmError:
        can_map = False
        left_out("nmm map", "what lays it out is not installed")
    for count in arguments.sizes:
        measure(encoder, count, can_map=can_map, noted=count == max(arguments.sizes))


if __name__ == "__main__":
    main()
