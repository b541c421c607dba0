"""Measure how well `nmm dupes` finds duplicates, by vectors, by hash and by its rule; and its time.

    python bench/dupes.py [--folder DIR] [--no-emoji] [--sizes 10000 100000]

DIR keeps the images and the indexes for the next run. The model is `mini`. `variants.py` describes
the copies and the hard negatives; `emoji_set.py` lists the packages required for emoji. Printed are

- for each modification, the recall of copies: by vectors alone (cosine 0.9), by the hash alone (10
  bits of 64, in any quarter turn), and by the rule in use, whose constants are in
  `nmm.index.analysis.dupes`;
- for pairs of different images, how many pairs each rule takes for copies;
- the quality of the hash of the stored fingerprint, compared with imagehash on the whole image;
- alternative thresholds;
- for bursts that follow one another without a pause: frames that are in a group with another of
  their burst, and groups that contain one burst only;
- how often the original is kept, among it and copies that are no larger, and which file is kept
  otherwise;
- the time to propose pairs by collection size, and the share of the vector pairs that are missed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
from emoji_set import FONT
from numpy.typing import NDArray
from PIL import Image
from report import Figure, left_out, note
from variants import CHANGES, ORIGINAL, drawings, pages, subjects, tiles, write, write_bursts

from nmm.index.analysis.collection import FileCollection, open_collection
from nmm.index.analysis.dupes.candidates import find_by_hash, find_by_vector
from nmm.index.analysis.dupes.disk_state import check_files
from nmm.index.analysis.dupes.groups import find_duplicates, find_pairs
from nmm.index.analysis.dupes.image_match import (
    MAX_COLOUR_DISTANCE,
    brightness_patterns,
    colour_distance,
    pattern_distance,
    perceptual_hashes,
    unpack_fingerprints,
)
from nmm.index.analysis.dupes.keeper import KeeperSelector
from nmm.index.analysis.dupes.pairs import MatchKind
from nmm.index.indexing.indexer import build
from nmm.index.store.catalog.comparison_data import appearances
from nmm.index.store.layout import IndexFolder

QUICK = "--no-emoji --photos 3 --sizes 5000"
KEPT = Path(tempfile.gettempdir(), "nmm-bench-dupes")
PHOTOS, EMOJI, OTHER_EMOJI, PAGES, FRAMES = 10, 20, 300, 40, 4
BITS, COSINE = 10, 0.9
DIMENSION = 384
# Copies with more pixels than the original.
LARGER = {"twice as wide", "framed"}
RULES = ("vectors", "hash", "in use")
# Candidate thresholds: bits, and 1 minus the correlation of brightness.
CHOICES = [(bits, brightness) for bits in (6, 8, 10, 12) for brightness in (0.03, 0.06, 0.1, 2.0)]

Pairs = NDArray[np.int64]
# Distances of pairs: bits of the hashes, brightness and colours.
Measured = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]


class Set(NamedTuple):
    """Images with what is known about each: original, modification, subject.

    Attributes:
        turned: Hashes by quarter turns, shape (n, 4, 64) bits.
        whole: Hashes of the whole images, by imagehash, shape (n, 64).
        links: Pairs that the rule in use takes for copies.
    """

    names: list[tuple[str, str, str]]
    paths: list[str]
    vectors: NDArray[np.float32]
    grey: NDArray[np.uint8]
    colours: NDArray[np.float32]
    turned: NDArray[np.uint8]
    whole: NDArray[np.uint8]
    links: set[tuple[int, int]]


class Times(NamedTuple):
    """Seconds to propose pairs in a collection of this size, and the recall of vector pairs."""

    hashed: float
    by_hash: float
    by_vector: float
    recall: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=KEPT, metavar="DIR")
    parser.add_argument("--emoji", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--photos", type=int, default=PHOTOS)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000])
    arguments = parser.parse_args()
    if arguments.emoji and not FONT.is_file():
        left_out("copies of emoji, and emoji that look alike", f"{FONT} is missing")
    emoji = arguments.emoji and FONT.is_file()
    folder = arguments.folder / f"{arguments.photos}{'' if emoji else ' without emoji'}"
    if not (folder / "made").exists():
        make(folder, arguments.photos, emoji)
        (folder / "made").touch()
    found = read(folder / "index", folder / "files")
    print_copies(found)
    print_choices(found)
    print_bursts(folder)
    print_kept(folder)
    for size in arguments.sizes:
        print_times(size)


def make(folder: Path, photos: int, emoji: bool) -> None:
    drawn = drawings(folder / "emoji", EMOJI + OTHER_EMOJI) if emoji else {}
    names = list(drawn)
    for subject, originals in subjects(photos, {n: drawn[n] for n in names[:EMOJI]}).items():
        write(folder / "files" / subject, originals, copies=True)
    others = {
        "emoji": {n: drawn[n] for n in names[EMOJI:]},
        "tiles": tiles(),
        "pages": pages(PAGES),
    }
    for subject, pictures in others.items():
        write(folder / "files" / subject, pictures, copies=False)
    write_bursts(folder / "bursts", FRAMES)
    for part in ("files", "bursts"):
        index = IndexFolder(folder / ("index" if part == "files" else "index of bursts"))
        build([folder / part], index, model="mini", offline=True)


def read(index: Path, files: Path) -> Set:
    with open_collection(IndexFolder(index)) as collection:
        # For files with the same content, such as some copies of flat images, the first counts.
        places = first_of_each(collection)
        paths = [collection.files[place].path for place in places]
        contents = [collection.files[place].content for place in places]
        known = appearances(collection.catalog, contents)
        prints = unpack_fingerprints([known[content].fingerprint for content in contents])
        number = {content: place for place, content in enumerate(contents)}
        links = find_pairs(collection, (MatchKind.NEAR,))
        vectors = collection.file_vectors[places]
    names = []
    for path in paths:
        original, change, _ = Path(path).name.split("~")
        names.append((original, change, Path(path).relative_to(files.resolve()).parts[0]))
    whole = [imagehash.phash(Image.open(path).convert("RGB")).hash.ravel() for path in paths]
    return Set(
        names,
        paths,
        vectors,
        prints.grey,
        prints.colours,
        np.unpackbits(perceptual_hashes(prints.grey), axis=2),
        np.array(whole, np.uint8),
        {(min(p), max(p)) for p in ((number[a], number[b]) for a, b in links)},
    )


def first_of_each(collection: FileCollection) -> list[int]:
    first: dict[int, int] = {}
    for place, item in enumerate(collection.files):
        first.setdefault(item.content, place)
    return list(first.values())


def bits_apart(found: Set, pairs: Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the Hamming distance of pairs in the best quarter turn, and that turn."""
    ones, others = pairs.T
    each = (found.turned[ones] != found.turned[others, :1]).sum(axis=2)
    return each.min(axis=1), each.argmin(axis=1)


def judged(found: Set, pairs: Pairs) -> dict[str, NDArray[np.bool_]]:
    """Return the pairs that each rule takes for copies, including the hash of the whole image."""
    ones, others = pairs.T
    in_use = [(min(pair), max(pair)) in found.links for pair in pairs.tolist()]
    whole = (found.whole[ones] != found.whole[others]).sum(axis=1) <= BITS
    upright = (found.turned[ones, 0] != found.turned[others, 0]).sum(axis=1) <= BITS
    return {
        "vectors": (found.vectors[ones] * found.vectors[others]).sum(axis=1) >= COSINE,
        "hash": bits_apart(found, pairs)[0] <= BITS,
        "in use": np.array(in_use, np.bool_),
        "upright": upright,
        "whole": whole,
    }


def copy_pairs(found: Set) -> tuple[Pairs, list[tuple[str, str]]]:
    """Return each copy with its original, its subject and its modification."""
    originals = {
        name: place for place, (name, change, _) in enumerate(found.names) if change == ORIGINAL
    }
    pairs, about = [], []
    for place, (name, change, subject) in enumerate(found.names):
        if change != ORIGINAL and name in originals:
            pairs.append((originals[name], place))
            about.append((subject, change))
    return np.array(pairs), about


def other_pairs(found: Set) -> dict[str, Pairs]:
    """Return pairs of different originals, by subject."""
    by_subject = defaultdict(list)
    for place, (_, change, subject) in enumerate(found.names):
        if change == ORIGINAL:
            by_subject[subject].append(place)
    return {
        subject: np.array(list(combinations(places, 2)))
        for subject, places in by_subject.items()
        if len(places) > 1
    }


def print_copies(found: Set) -> None:
    pairs, about = copy_pairs(found)
    right = judged(found, pairs)
    head = "".join(f"{rule:>10}" for rule in RULES)
    print(f"{'copies found beside their original, %':38}{'of':>8}{head}")
    for change in CHANGES:
        at = np.array([what == change for _, what in about])
        print(
            f"  {change:36}{at.sum():8}"
            + "".join(f"{100 * right[r][at].mean():10.0f}" for r in RULES)
        )
    for subject in sorted({subject for subject, _ in about}):
        at = np.array([what == subject for what, _ in about])
        print(
            f"  {'all ' + subject:36}{at.sum():8}"
            + "".join(f"{100 * right[r][at].mean():10.0f}" for r in RULES)
        )
    recall = {rule: float(right[rule].mean()) for rule in RULES}
    print(f"  {'all':36}{len(pairs):8}" + "".join(f"{100 * recall[r]:10.0f}" for r in RULES))
    still = np.array(["turned" not in what for _, what in about])
    kept, whole = (100 * float(right[rule][still].mean()) for rule in ("upright", "whole"))
    print(f"  not turned: hash of the fingerprint {kept:.1f}, of the whole image {whole:.1f}")
    print(f"\n{'others taken for copies':38}{'pairs':>8}{head}{'whole':>10}")
    wrong = dict.fromkeys(RULES, 0)
    for subject, others in other_pairs(found).items():
        taken = judged(found, others)
        counts = [int(taken[rule].sum()) for rule in (*RULES, "whole")]
        print(f"  {subject:36}{len(others):8}" + "".join(f"{count:10}" for count in counts))
        for rule in RULES:
            wrong[rule] += int(taken[rule].sum())
    precision = {r: float(right[r].sum() / max(right[r].sum() + wrong[r], 1)) for r in RULES}
    print(f"  {'precision, %':44}  " + "".join(f"{100 * precision[r]:8.1f}  " for r in RULES))
    for what, figures in (("recall", recall), ("precision", precision)):
        other = max(figures["vectors"], 1e-9)
        note(
            Figure(
                f"near images: {what} of copies",
                figures["in use"],
                "",
                "vectors alone",
                figures["vectors"],
                figures["in use"] / other,
            )
        )


def print_choices(found: Set) -> None:
    """Print recall and false positives of each pair of thresholds, for images of the same frame."""
    pairs, _ = copy_pairs(found)
    others = other_pairs(found)
    print(f"\n{'bits and brightness distance, at most':38}{'recall %':>10}", end="")
    print("".join(f"{subject:>10}" for subject in others))

    def measures(some: Pairs) -> Measured:
        bits, turns = bits_apart(found, some)
        grey, colours = np.empty(len(some), np.float32), np.empty(len(some), np.float32)
        for turn in range(4):
            at = turns == turn
            ones, two = some[at].T
            turned = np.rot90(found.grey[ones], turn, (1, 2))
            grey[at] = pattern_distance(
                brightness_patterns(turned), brightness_patterns(found.grey[two])
            )
            turned = np.rot90(found.colours[ones], turn, (2, 3))
            colours[at] = colour_distance(turned, found.colours[two])
        return bits, grey, colours

    of_copies = measures(pairs)
    of_others = {subject: measures(some) for subject, some in others.items()}
    for most, brightness in CHOICES:
        recall = 100 * passing(of_copies, most, brightness).mean()
        counts = [int(passing(measured, most, brightness).sum()) for measured in of_others.values()]
        print(
            f"  {f'{most} bits, {brightness}':36}{recall:10.1f}"
            + "".join(f"{c:10}" for c in counts)
        )


def passing(measured: Measured, most: int, brightness: float) -> NDArray[np.bool_]:
    """Return which pairs are within the thresholds, including the one for colours."""
    bits, grey, colours = measured
    passed: NDArray[np.bool_] = (
        (bits <= most) & (grey <= brightness) & (colours <= MAX_COLOUR_DISTANCE)
    )
    return passed


def print_bursts(folder: Path) -> None:
    with open_collection(IndexFolder(folder / "index of bursts")) as collection:
        found = find_duplicates(collection, (MatchKind.BURST,))
    groups = [[Path(file.path).name.split("~")[0] for file in g.files] for g in found.groups]
    together = sum(names.count(name) > 1 for names in groups for name in names)
    frames = len(list((folder / "bursts").iterdir()))
    pure = sum(len(set(names)) == 1 for names in groups)
    print(
        f"\nbursts: {together} of {frames} frames in a group with another of their burst; ", end=""
    )
    print(f"{pure} of {len(groups)} groups of one burst alone")
    note(Figure("frames of bursts that are found", together / frames, ""))
    note(Figure("groups that are of one burst alone", pure / max(len(groups), 1), ""))


def print_kept(folder: Path) -> None:
    """Print how often the original is chosen, among it and all copies that are no larger."""
    kept: Counter[str] = Counter()
    with open_collection(IndexFolder(folder / "index")) as collection:
        judge = KeeperSelector(collection)
        originals = defaultdict(list)
        for item in collection.files:
            name, change, _ = Path(item.path).name.split("~")
            if change not in LARGER:
                originals[name].append(item)
        for some in originals.values():
            if len(some) > 1:
                units = [unit for units in check_files(some).files.values() for unit in units]
                best, _ = judge.choose(units)
                kept[Path(best.paths[0]).name.split("~")[1]] += 1
    told = ", ".join(f"{c} {n}" for c, n in kept.most_common() if c != ORIGINAL) or "none"
    print(f"the original is kept {kept[ORIGINAL]} times of {kept.total()}, else: {told}")
    note(Figure("originals that are kept", kept[ORIGINAL] / max(kept.total(), 1), ""))


def timed(count: int) -> Times:
    """Time proposing pairs among so many images, a tenth of which are copies of others."""
    chance = np.random.default_rng(0)
    grey = chance.standard_normal((count, 16, 16), np.float32).cumsum(1).cumsum(2)
    vectors = chance.standard_normal((count, DIMENSION), np.float32)
    vectors += vectors[chance.integers(0, max(count // 100, 1), count)]
    copies = np.arange(count // 10)
    vectors[-len(copies) :] = vectors[copies] + 0.2 * vectors[-len(copies) :]
    grey[-len(copies) :] = grey[copies] * 1.1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    started = time.perf_counter()
    every = perceptual_hashes(grey)
    hashed = time.perf_counter()
    for _ in find_by_hash(every, BITS):
        pass
    looked_up = time.perf_counter()
    near = find_by_vector(vectors, COSINE)
    done = time.perf_counter()
    pairs = set(zip(near.firsts.tolist(), near.seconds.tolist(), strict=True))
    wanted = [(one, count - len(copies) + one) for one in copies.tolist()]
    true = [p for p in wanted if float(vectors[p[0]] @ vectors[p[1]]) >= COSINE]
    recall = sum(pair in pairs for pair in true) / max(len(true), 1)
    return Times(hashed - started, looked_up - hashed, done - looked_up, recall)


def print_times(count: int) -> None:
    took = timed(count)
    print(
        f"\namong {count:,}: hashes {took.hashed:.1f} s, pairs by hash {took.by_hash:.1f} s, "
        f"by vector {took.by_vector:.1f} s, which finds {100 * took.recall:.1f} %"
    )
    note(Figure(f"pairs of near images proposed among {count:,}", sum(took[:3]), "s"))


if __name__ == "__main__":
    main()
