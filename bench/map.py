"""Measure the layout of `nmm map`, its quality, and the frame rate of its page.

Vectors are generated: images and texts about the same subjects, in clusters within clusters, with a
modality gap as in models trained on pairs. Each layout method runs in a process of its own and
includes its imports, as a command does. Printed are its time, how many of the ten nearest vectors
are among the ten nearest points, its trustworthiness (Venna and Kaski), and how well it mixes the
kinds (1 is chance), with the gap and with it closed.

Then a page of so many points with thumbnails is panned and zoomed in a headless Chromium without a
graphics card, and its frames are counted: as the page draws them, with fewer points where frames
are slow; and with all points in each frame.

    python bench/map.py [--sizes 1000 10000] [--large 100000] [--points 100000]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from projection_quality import kind_mixing, neighbour_preservation, trustworthiness
from report import Figure, left_out, note

from nmm.index.analysis.clustering.clusters import Cluster
from nmm.index.analysis.modality_gap import remove_modality_gap
from nmm.index.analysis.projection.layout import FileMap
from nmm.index.analysis.projection.projector import project, project_pca, scale_to_unit
from nmm.index.store.catalog.file_vectors import Item
from nmm.index.store.catalog.types import Kind

sys.path.append(str(Path(__file__).parent.parent / "tests"))

QUICK = "--sizes 300 --large 600 --points 2000 --seconds 0.5"
DIMENSION = 384
SUBJECTS, PARTS = 24, 6
# Distances of vectors within a part, of parts of a subject, and of the kinds.
WITHIN, BETWEEN, GAP = 0.8, 0.7, 0.9
SEED = 0
NAMES = ("boats", "gardens", "cats", "bread", "rockets", "walls", "books", "coffee", "mountains")

Floats = NDArray[np.float32]


def units(vectors: NDArray[np.floating]) -> Floats:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / lengths, np.float32)


def collection(count: int, seed: int = SEED) -> tuple[Floats, list[Kind], NDArray[np.int64]]:
    """Return unit vectors with the kind and subject of each; every second one belongs to a text."""
    chance = np.random.default_rng(seed)
    subjects = units(chance.standard_normal((SUBJECTS, 1, DIMENSION)))
    apart = units(chance.standard_normal((SUBJECTS, PARTS, DIMENSION)))
    parts = units(subjects + BETWEEN * apart).reshape(-1, DIMENSION)
    part = chance.integers(0, len(parts), count)
    vectors = units(parts[part] + WITHIN * units(chance.standard_normal((count, DIMENSION))))
    side = np.where(np.arange(count) % 2, 1, -1)[:, None] * GAP / 2
    kinds: list[Kind] = ["text" if n % 2 else "image" for n in range(count)]
    return units(vectors + side * units(chance.standard_normal(DIMENSION))), kinds, part // PARTS


def by_umap(vectors: Floats) -> Floats:
    from umap import UMAP

    projection = UMAP(n_neighbors=15, metric="cosine", random_state=SEED, n_jobs=1)
    return scale_to_unit(np.asarray(projection.fit_transform(vectors), np.float32))


WAYS: dict[str, Callable[[Floats], Floats]] = {
    "PCA": project_pca,
    "PaCMAP": lambda vectors: project(vectors, seed=SEED),
    "UMAP": by_umap,
}
NEEDS = {"PCA": "numpy", "PaCMAP": "pacmap", "UMAP": "umap"}


def lay_out(way: str, count: int) -> dict[str, float]:
    """Lay out so many vectors in one way, in this process; return its time and quality."""
    raw, kinds, _ = collection(count)
    vectors = remove_modality_gap(raw, kinds)
    started = time.perf_counter()
    points = WAYS[way](vectors)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, **quality(vectors, points, kinds)}


def quality(vectors: Floats, points: Floats, kinds: list[Kind]) -> dict[str, float]:
    """Return the quality of a layout."""
    sample = 1000 if len(vectors) <= 20_000 else 200
    return {
        "kept": neighbour_preservation(vectors, points, sample=sample),
        "trust": trustworthiness(vectors, points, sample=sample),
        "mixing": kind_mixing(points, np.array([kind == "image" for kind in kinds])),
    }


def apart(way: str, count: int) -> dict[str, float]:
    """Do the same in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--way", way, "--count", str(count)]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, float] = json.loads(done.stdout)
    result["process"] = time.perf_counter() - started
    return result


def projections(sizes: list[int], large: int) -> None:
    there = [way for way in WAYS if importlib.util.find_spec(NEEDS[way])]
    for way in set(WAYS) - set(there):
        left_out(way, "it is not installed")
    for way in there:
        apart(way, 200)  # both compile code, once per machine
    print(f"{'files':>8}  {'':8}     time   kept  trusted  mixing")
    for count in sizes:
        found = {way: apart(way, count) for way in there}
        for way in there:
            print_row(count, way, found[way])
        if count == sizes[-1] and {"PaCMAP", "UMAP"} <= {*there}:
            ours, theirs = found["PaCMAP"], found["UMAP"]
            note(
                Figure(
                    f"{count:,} files laid out by PaCMAP", ours["seconds"], "s",
                    "UMAP", theirs["seconds"], theirs["seconds"] / ours["seconds"],
                ),
                Figure(
                    f"the ten nearest kept by PaCMAP, of {count:,}", ours["kept"], "",
                    "UMAP", theirs["kept"], ours["kept"] / theirs["kept"],
                ),
            )  # fmt: skip
    if "PaCMAP" in there:
        found_large = apart("PaCMAP", large)
        print_row(large, "PaCMAP", found_large)
        note(Figure(f"{large:,} files laid out", found_large["seconds"], "s"))


def print_row(count: int, way: str, found: dict[str, float]) -> None:
    print(
        f"{count:8,}  {way:8} {found['seconds']:7.1f}s  {found['kept']:5.3f}  "
        f"{found['trust']:7.3f}  {found['kind_mixing']:6.2f}",
        flush=True,
    )


def gaps(count: int) -> None:
    """Print how well the kinds mix in the layout, with the gap and without."""
    vectors, kinds, subjects = collection(count)
    print(f"\nmixing of {count:,}, 1 is chance; and neighbours of the same subject")
    shares = []
    for name, given in (("with the gap", vectors), ("closed", remove_modality_gap(vectors, kinds))):
        points = project(given, seed=SEED)
        is_image = np.array([kind == "image" for kind in kinds])
        from projection_quality import SAMPLE, find_neighbours

        from nmm.index.common.linalg import sample_indices

        asked = sample_indices(count, SAMPLE)
        same = float(np.mean(subjects[find_neighbours(points, asked)] == subjects[asked][:, None]))
        shares.append(kind_mixing(points, is_image))
        before = kind_mixing(given, is_image)
        print(f"{name:14} {before:.2f} in space  {shares[-1]:.2f} in the picture  {same:.2f}")
    before, after = shares
    what = f"neighbours of the other kind in a map of {count:,}, by chance's"
    note(Figure(what, after, "", "the gap left open", before))


def generated_map(count: int) -> tuple[list[Item], FileMap, dict[int, str]]:
    """Return a map of so many files, in random clusters of points, and their passages."""
    chance = np.random.default_rng(SEED)
    middles = chance.uniform(-0.85, 0.85, (SUBJECTS, 2))
    group = np.sort(chance.integers(0, SUBJECTS, count))
    points = (middles[group] + 0.07 * chance.standard_normal((count, 2))).clip(-1, 1)
    clusters = []
    for number in range(SUBJECTS):
        (files,) = np.nonzero(group == number)
        name = f"{NAMES[number % len(NAMES)]} {number}"
        clusters.append(Cluster(name, (name,), files.astype(np.int64), (int(files[0]),)))
    files_ = [
        Item(
            n, n, f"/nowhere/{n // 500:04}/file_{n:06}.{'txt' if n % 2 else 'jpg'}",
            "text" if n % 2 else "image", b"", 1000, 0, None, None, None,
        )
        for n in range(count)
    ]  # fmt: skip
    words = "a note of some length about boats and gardens and what was cooked on that day, "
    passages = {n: f"{n} {words * 4}" for n in range(1, count, 2)}
    drawn = FileMap(
        points.astype(np.float32), clusters, group.astype(np.int64), middles.astype(np.float32)
    )
    return files_, drawn, passages


def write_generated(count: int, folder: Path) -> tuple[Path, float]:
    """Write the page of a generated map with thumbnails of real files; return how long it took."""
    from PIL import Image

    from nmm.cli.render.html.map_page import MapPage
    from nmm.cli.render.html.sprites import make_sprites, select_images

    files, drawn, passages = generated_map(count)
    chance = np.random.default_rng(SEED)
    places = select_images(files, drawn)
    paths = []
    for place in places:
        noise = chance.integers(0, 256, (4, 6, 3), np.uint8)
        paths.append(str(folder / f"{place}.jpg"))
        Image.fromarray(noise).resize((120, 80)).save(paths[-1])
    page = folder / "map.html"
    started = time.perf_counter()
    thumbnails = make_sprites(paths, places)
    MapPage(files, "mini", passages, drawn, thumbnails).write(page)
    return page, time.perf_counter() - started


# Pans along a circle and zooms in and out, a step per frame, for so many milliseconds.
MOVING = """
(() => {
  const { view, moved, frames } = nmmMap;
  const home = view.home;
  const began = performance.now();
  const before = frames();
  const step = (now) => {
    const part = (now - began) / LASTING;
    const angle = 2 * Math.PI * part;
    view.move(0.3 * Math.sin(angle), 0.3 - 0.3 * Math.cos(angle), home + 2.5 * Math.sin(angle / 2));
    moved();
    if (part < 1) requestAnimationFrame(step);
    else window.rate = (1000 * (frames() - before)) / (performance.now() - began);
  };
  requestAnimationFrame(step);
})()
"""

# Draws all points, however long that takes.
WHOLE = "{ const pace = nmmMap.pace(); pace.most = pace.count; pace.took = () => {}; }"


class Frames(NamedTuple):
    """How smoothly a page moves.

    Attributes:
        opening: Seconds until it is open.
        rate: Frames per second while it is panned and zoomed.
        drawn: Points per frame at the end: fewer where frames are slow.
        whole: Frames per second with all points in each.
    """

    opening: float
    rate: float
    drawn: int
    whole: float


def frame_rate(page: Path, seconds: float) -> Frames:
    """Pan and zoom a page in a browser without a graphics card."""
    from chromium import browser

    with browser() as opened:
        opened.size(1280, 800)
        started = time.perf_counter()
        opened.open(page.as_uri())
        wait(lambda: opened.evaluate("nmmMap.frames?.() > 0"))
        opening = time.perf_counter() - started

        def rate() -> float:
            opened.evaluate("delete window.rate;" + MOVING.replace("LASTING", str(1000 * seconds)))
            wait(lambda: opened.evaluate("window.rate !== undefined"))
            found: float = opened.evaluate("window.rate")
            return found

        own, drawn = rate(), opened.evaluate("nmmMap.pace().most")
        opened.evaluate(WHOLE)
        return Frames(opening, own, drawn, rate())


def wait(is_so: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until a condition holds; errors of a page that is not ready do not count."""
    ends = time.monotonic() + seconds
    while True:
        try:
            if is_so():
                return
        except AssertionError:
            if time.monotonic() > ends:
                raise
        assert time.monotonic() < ends
        time.sleep(0.05)


def pages(counts: list[int], seconds: float) -> None:
    from chromium import BINARY

    if BINARY is None:
        left_out("the page", "Chromium is not there: apt-get install chromium")
        return
    print(f"\n{'points':>8}      page  written   opened  frames a second    of points  of all")
    found = []
    for count in counts:
        with tempfile.TemporaryDirectory() as temporary:
            page, written = write_generated(count, Path(temporary))
            one = frame_rate(page, seconds)
            size = page.stat().st_size / 1e6
        found.append(one)
        print(f"{count:8,}  {size:5.1f} MB  {written:6.1f}s  {one.opening:6.1f}s  ", end="")
        print(f"{one.rate:15.1f}  {one.drawn:11,}  {one.whole:6.1f}")
    few, many = found
    what = f"a page of {counts[-1]:,} points moved, without a graphics card"
    note(
        Figure(what, many.rate, "frames/s", f"{counts[0]:,} points", few.rate),
        Figure(what, many.rate, "frames/s", "all points in each frame", many.whole),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--large", type=int, default=100_000, help="for the method in use only")
    parser.add_argument("--points", type=int, default=100_000, help="of the page")
    parser.add_argument("--seconds", type=float, default=5, help="to move the page")
    parser.add_argument("--only", choices=["projections", "gaps", "pages"])
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(lay_out(given.way, given.count)))
        return
    if given.only in (None, "projections"):
        projections(given.sizes, given.large)
    if given.only in (None, "gaps"):
        gaps(given.sizes[0])
    if given.only in (None, "pages"):
        pages([max(given.points // 100, 10), given.points], given.seconds)


if __name__ == "__main__":
    main()
