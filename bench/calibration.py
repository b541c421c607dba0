"""Measure the calibration of `nmm classify` and its label none, with the model `mini`.

    python bench/calibration.py [--folder DIR] [--no-emoji]

DIR keeps the drawn emoji and their index for the next run (`emoji_set.py` lists the required
packages). The data sets are: the photos of the sample data, among twelve labels and among these and
twelve others; colour emoji, which `mini` was not trained on, among sixteen kinds of things and
among Unicode's subgroups; the names and keywords of the same emoji, as texts, among Unicode's
groups and subgroups; and the documentation of numpy, by the subjects of its modules.

Temperatures: for each set, the accuracy with built-in templates and without; the temperature with
the highest likelihood of the right labels (the lowest mean of -log p, as in Guo et al., 2017); and
this mean and the expected calibration error (ten bins) at that temperature and at the temperature
in the model's row. The temperature for images lies between the best ones for photos and for
drawings.

None: half of the labels are removed (of many, all but a few), twenty times. Printed are the share
of files with a fitting label that keep one, the share of files without one that get none, and the
mean of both; and, for comparison, the mean for a threshold on the cosine alone, also derived from
neutral queries. The rule was chosen on these sets, so its results on them are optimistic.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from emoji_set import SIGNS, Emoji, draw, read_emoji
from numpy.typing import NDArray
from report import Figure, left_out, note

from nmm.index.analysis.classification.classifier import (
    REJECTION_RATE,
    UNRELATED_SHARE,
    classify,
    embed_labels,
    rejection_thresholds,
    softmax,
)
from nmm.index.analysis.classification.labels import Label
from nmm.index.analysis.collection import FileCollection, open_collection
from nmm.index.calibration import NEUTRAL_QUERIES
from nmm.index.encoders.base import Encoder, Task
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.indexing.indexer import build
from nmm.index.store.catalog.types import Kind
from nmm.index.store.layout import IndexFolder

QUICK = "--no-emoji"
SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"
KEPT = Path(tempfile.gettempdir(), "nmm-bench-calibration")
TEMPERATURES = (0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4)
DRAWS, MOST, BINS = 20, 16, 10

PHOTOS = {
    "astronaut": "astronaut", "bricks": "brick wall", "chelsea": "cat", "deep_field": "galaxy",
    "espresso": "coffee", "gravel": "gravel", "horse_silhouette": "horse", "launch": "rocket",
    "lawn": "grass", "photographer": "photographer", "retina": "eye", "wall_clock": "clock",
}  # fmt: skip
BESIDE = ("dog", "bird", "car", "tree", "beach", "boat", "food", "document", "building", "flower",
          "person", "mountain")  # fmt: skip
THINGS = {
    "animal-mammal": "mammal", "animal-bird": "bird", "animal-marine": "sea animal",
    "animal-reptile": "reptile", "animal-bug": "insect", "food-fruit": "fruit",
    "food-vegetable": "vegetable", "transport-ground": "car or train", "transport-air": "plane",
    "transport-water": "boat", "musical-instrument": "musical instrument",
    "clothing": "clothing", "tool": "tool", "drink": "drink", "sport": "sport",
    "place-building": "building",
}  # fmt: skip
MODULES = {
    "numpy.fft": "Fourier transform", "numpy.linalg": "linear algebra",
    "numpy.random": "random numbers", "numpy.polynomial.polynomial": "polynomials",
    "numpy.char": "strings of characters", "numpy.ma": "masked arrays",
    "numpy.testing": "testing of software",
}  # fmt: skip
PAGE = (300, 1000)

Floats = NDArray[np.float32]


class Labelled(NamedTuple):
    """Items with one right label each.

    Attributes:
        name: Name of the set.
        kind: Kind of the items.
        vectors: Vectors of the collection, shape (n, dimension).
        labels: Labels of the collection.
        right: Index of each item's label, shape (n,).
    """

    name: str
    kind: Kind
    vectors: Floats
    labels: list[str]
    right: NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=KEPT, metavar="DIR")
    parser.add_argument("--emoji", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    encoder = load_encoder(MINI)
    sets = labelled_sets(encoder, arguments.folder, emoji=arguments.emoji)
    if not arguments.emoji:
        left_out("emoji by what they are", "it was asked for")
    print_temperatures(encoder, sets)
    print_none(encoder, sets)


def labelled_sets(encoder: Encoder, folder: Path, *, emoji: bool) -> list[Labelled]:
    """Return all sets; their indexes are kept in a folder."""
    drawn = emoji_sets(folder / "emoji", encoder) if emoji else ()
    return [*photos(folder), numpy_pages(encoder), *drawn]


def accuracy(encoder: Encoder, some: Labelled, *templates: str) -> float:
    """Return the share of items whose likeliest label is right."""
    return float((cosines(encoder, some, *templates).argmax(axis=1) == some.right).mean())


def seconds(collection: FileCollection, labels: int, *, none: bool = False) -> float:
    """Return the seconds that classification by so many labels takes, with the model loaded."""
    collection.encoder.embed_texts(["warm"], Task.QUERY)
    asked = [Label(name) for name in [*THINGS.values(), *BESIDE, *NEUTRAL_QUERIES][:labels]]
    started = time.perf_counter()
    classify(collection, asked, none=none)
    return time.perf_counter() - started


def photos(folder: Path) -> Iterator[Labelled]:
    index = IndexFolder(folder / "photos")
    build([SAMPLE_DATA / "photos"], index, model="mini", offline=True)
    with open_collection(index, ["image"]) as collection:
        names = [PHOTOS[Path(item.path).stem] for item in collection.files]
        vectors = collection.file_vectors
    for name, labels in (("photos", names), ("photos, more labels", [*names, *BESIDE])):
        yield Labelled(name, "image", vectors, labels, np.arange(len(names)))


def numpy_pages(encoder: Encoder) -> Labelled:
    pages: list[str] = []
    right: list[int] = []
    for number, name in enumerate(MODULES):
        module = importlib.import_module(name)
        for each in sorted(dir(module)):
            page = inspect.getdoc(getattr(module, each)) or ""
            if not each.startswith("_") and callable(getattr(module, each)) and len(page) > PAGE[0]:
                pages.append(page[: PAGE[1]])
                right.append(number)
    vectors = encoder.embed_texts(pages, Task.DOCUMENT)
    return Labelled("numpy", "text", vectors, [*MODULES.values()], np.array(right))


def emoji_sets(folder: Path, encoder: Encoder) -> Iterator[Labelled]:
    drawn = draw(folder / "pictures", read_emoji())
    build([folder / "pictures"], IndexFolder(folder / "index"), model="mini", offline=True)
    with open_collection(IndexFolder(folder / "index"), ["image"]) as collection:
        # The first picture of each: the others differ in skin tone only.
        first: dict[str, tuple[Emoji, int]] = {}
        for place, item in enumerate(collection.files):
            one = drawn[Path(item.path).name]
            if one.group not in SIGNS:
                first.setdefault(one.item, (one, place))
        every = [one for one, _ in first.values()]
        pictures = collection.file_vectors[[place for _, place in first.values()]]
    words = [f"{one.name}: {', '.join(sorted(one.keywords))}" for one in every]
    texts = encoder.embed_texts(words, Task.DOCUMENT)

    things = [place for place, one in enumerate(every) if one.subgroup in THINGS]
    numbers = np.array([[*THINGS].index(every[place].subgroup) for place in things])
    yield Labelled("emoji, things", "image", pictures[things], [*THINGS.values()], numbers)
    subgroups = [one.subgroup.replace("-", " ") for one in every]
    groups = [one.group.replace("&", "and").lower() for one in every]
    yield _by("emoji, subgroups", "image", pictures, subgroups)
    yield _by("emoji in words, groups", "text", texts, groups)
    yield _by("emoji in words, subgroups", "text", texts, subgroups)


def _by(name: str, kind: Kind, vectors: Floats, labels: list[str]) -> Labelled:
    names = sorted(set(labels))
    return Labelled(name, kind, vectors, names, np.array([names.index(one) for one in labels]))


def cosines(encoder: Encoder, some: Labelled, *templates: str) -> Floats:
    """Return the cosines of items and labels, shape (items, labels)."""
    labels = [Label(name) for name in some.labels]
    return some.vectors @ embed_labels(encoder, labels, some.kind, templates).T


def judged(logits: Floats, right: NDArray[np.int64], temperature: float) -> tuple[float, float]:
    """Return the mean of -log p of the right labels, and the expected calibration error."""
    chances = softmax(logits / temperature)
    likely, hit = chances.max(axis=1), chances.argmax(axis=1) == right
    bins = np.minimum((likely * BINS).astype(np.int64), BINS - 1)
    gaps = [abs(hit[bins == n].sum() - likely[bins == n].sum()) for n in range(BINS)]
    loss = -np.log(np.maximum(chances[np.arange(len(right)), right], 1e-30)).mean()
    return float(loss), float(sum(gaps) / len(right))


def print_temperatures(encoder: Encoder, sets: list[Labelled]) -> None:
    titles = (
        "items",
        "labels",
        "accuracy",
        "bare",
        "best T",
        "-log p",
        "ECE",
        "row's T",
        "-log p",
        "ECE",
    )
    print(f"{'temperatures':28}" + "".join(f"{title:>9}" for title in titles))
    for some in sets:
        logits = cosines(encoder, some)
        right, bare = accuracy(encoder, some), accuracy(encoder, some, "{}")
        best = min(TEMPERATURES, key=lambda t: judged(logits, some.right, t)[0])
        used = getattr(MINI.temperature, some.kind)
        (loss, error), (used_loss, used_error) = (
            judged(logits, some.right, temperature) for temperature in (best, used)
        )
        print(
            f"{some.name:28}{len(some.right):9}{len(some.labels):9}{right:9.3f}{bare:9.3f}"
            f"{best:9.2f}{loss:9.2f}{error:9.2f}{used:9.2f}{used_loss:9.2f}{used_error:9.2f}"
        )
        what = f"{some.name}: right of {len(some.labels)} labels (mini)"
        chance = 1 / len(some.labels)
        note(Figure(what, right, "", "by chance", chance, right / chance))


def print_none(encoder: Encoder, sets: list[Labelled]) -> None:
    print(f"\n{'none':28}" + "".join(f"{t:>9}" for t in ("kept", "refused", "mean", "flat")))
    generator = np.random.default_rng(0)
    for some in sets:
        queries = [Label(query) for query in NEUTRAL_QUERIES]
        neutral = some.vectors @ embed_labels(encoder, queries, some.kind).T
        every = cosines(encoder, some)
        rows = []
        for _ in range(DRAWS):
            count = min(max(len(some.labels) // 2, 2), MOST)
            chosen = generator.permutation(len(some.labels))[:count]
            fits = np.isin(some.right, chosen)
            if fits.all() or not fits.any():
                continue
            own = every[:, chosen]
            best, place = own.max(axis=1), own.argmax(axis=1)
            flat = best >= np.quantile(neutral, REJECTION_RATE ** (1 / count))
            kept = best >= rejection_thresholds(neutral, own)[place]
            rows.append([*_rates(kept, fits), sum(_rates(flat, fits)) / 2])
        kept_rate, refused, beside = np.mean(rows, axis=0)
        mean = (kept_rate + refused) / 2
        print(f"{some.name:28}{kept_rate:9.2f}{refused:9.2f}{mean:9.2f}{beside:9.2f}")
        what = f"{some.name}: none told from what a label fits"
        note(Figure(what, float(mean), "", "flat cosine", float(beside), float(mean / beside)))
    print(f"rejection rate for unrelated files: {REJECTION_RATE}; quantile: {UNRELATED_SHARE}")


def _rates(kept: NDArray[np.bool_], fits: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the share of fitting items that were kept, and of the others that were rejected."""
    return float(kept[fits].mean()), float((~kept[~fits]).mean())


if __name__ == "__main__":
    main()
