"""Measure how well `mini` finds and names emoji, with `nmm eval` itself, as a user would.

    python bench/quality.py [--folder DIR] [--count N] [--model NAME]

DIR keeps the images and the index for the next run. Each colour emoji is drawn once, without skin
tone variants, with Unicode's names, keywords and subgroups (`emoji_set.py` lists the required
packages). Signs, flags and parts are in the index, but no query asks for them. The queries are
written into files, and the real `nmm eval … --json` reads them:

- searches by name, with the name in file name and caption or nowhere, and by keywords and
  subgroups, each by meaning and keywords and by meaning alone;
- classification: the subgroup of an image (`animal mammal`, `food fruit`, …), and the animal,
  plant, food or drink it shows.

A search by both is compared with meaning alone, a classification with chance. Intervals are those
of `nmm eval`: 95 %, by the bootstrap.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emoji_set import SIGNS, TONES, Emoji, draw, read_emoji
from report import Figure, note

QUICK = "--count 60"
KEPT = Path(tempfile.gettempdir(), "nmm-bench-quality")
NMM = Path(sys.executable).with_name("nmm")
# Queries of each sort; number of images that a keyword applies to.
QUERIES, FEWEST, MOST = 100, 3, 60
LIVING = {"Animals & Nature", "Food & Drink"}
MODES = ("hybrid", "semantic")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=KEPT, metavar="DIR")
    parser.add_argument("--count", type=int, metavar="N", help="pictures; all if not given")
    parser.add_argument("--model", default="mini", metavar="NAME")
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    emoji = [one for one in read_emoji() if not TONES & set(one.characters)]
    if arguments.count:
        folder /= f"of-{arguments.count}"
        seen = [one for one in emoji if one.group not in SIGNS]
        emoji = random.Random(0).sample(seen, arguments.count)
    drawn = draw(folder / "pictures", emoji)
    searches(folder, drawn, arguments.model)
    print()
    classes(folder, drawn, arguments.model)


def searches(folder: Path, drawn: Mapping[str, Emoji], model: str) -> None:
    index = folder / f"index-{Path(model).name}"
    nmm("index", "--quiet", "--model", model, "--index", index, folder / "pictures")
    asked = {name: one for name, one in drawn.items() if one.group not in SIGNS}
    sorts = {
        "names, that pictures tell": by_word(
            asked, lambda one: {one.name} if one.captioned else ()
        ),
        "names, untold": by_word(asked, lambda one: () if one.captioned else {one.name}),
        "keywords and subgroups": {
            word: names
            for word, names in by_word(
                asked, lambda one: {*one.keywords, one.subgroup.replace("-", " ")}
            ).items()
            if FEWEST <= len(names) <= MOST and word.isascii() and len(word) > 2
        },
    }
    metrics = ("recall@1", "recall@10", "mrr", "ndcg@10")
    print(f"{len(drawn)} emoji, the model {model}")
    print(f"{'':32}" + "".join(f"{metric:>19}" for metric in metrics))
    for title, every in sorts.items():
        some = random.Random(0).sample(sorted(every), min(QUERIES, len(every)))
        captions = folder / f"{title.partition(',')[0]}-{len(title)}.jsonl"
        captions.write_text(
            "".join(
                json.dumps({"query": word, "relevant": [f"pictures/{n}" for n in every[word]]})
                + "\n"
                for word in some
            ),
            "utf-8",
        )
        print(f"{title}, {len(some)} queries")
        found = {}
        for mode in MODES:
            said = evaluated("retrieval", captions, "--mode", mode, "--index", index)
            found[mode] = said["results"][0]["metrics"]
            print_row(mode, [found[mode][metric] for metric in metrics])
        both, alone = (found[mode]["ndcg@10"]["value"] for mode in MODES)
        what = f"emoji by {title}: nDCG@10 by meaning and words"
        note(Figure(what, both, "", "by meaning", alone, both / max(alone, 1e-9)))


def by_word(
    drawn: Mapping[str, Emoji], words: Callable[[Emoji], Sequence[str] | set[str]]
) -> dict[str, list[str]]:
    """Return the relevant images for each word, by the words of each emoji."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, one in drawn.items():
        for word in words(one):
            found[word].append(name)
    return found


def classes(folder: Path, drawn: Mapping[str, Emoji], model: str) -> None:
    asked = {name: one for name, one in drawn.items() if one.group not in SIGNS}
    sorts = {
        "subgroups": {name: one.subgroup for name, one in asked.items()},
        "animals, plants, food, drinks": {
            name: one.item for name, one in asked.items() if one.group in LIVING
        },
    }
    print(f"{'':32}{'top-1':>19}{'top-5':>19}{'classes':>10}{'pictures':>10}")
    for title, called in sorts.items():
        place = folder / "classes" / title.partition(",")[0]
        shutil.rmtree(place, ignore_errors=True)
        for name, word in called.items():
            (place / word.replace("/", " ")).mkdir(parents=True, exist_ok=True)
            (place / word.replace("/", " ") / name).hardlink_to(folder / "pictures" / name)
        names = folder / f"{place.name}.tsv"
        lines = {
            f"{word.replace('/', ' ')}\t{word.replace('-', ' ')}\n" for word in called.values()
        }
        names.write_text("".join(sorted(lines)), "utf-8")
        said = evaluated("zero-shot", place, "--names", names, "--model", model)
        result = said["results"][0]
        count = len(result["classes"])
        print_row(
            title,
            [result["metrics"][metric] for metric in ("top1", "top5")],
            f"{count:10}{said['images']:10}",
        )
        first = result["metrics"]["top1"]["value"]
        what = f"emoji, {title}: named right, of {count} names"
        note(Figure(what, first, "", "chance", 1 / count, first * count))


def evaluated(*arguments: str | Path) -> dict[str, Any]:
    """Return the JSON that `nmm eval` prints."""
    found: dict[str, Any] = json.loads(nmm("eval", *arguments, "--json"))
    return found


def nmm(*arguments: str | Path) -> str:
    """Return the output of the installed command."""
    environ = {**os.environ, "NMM_CONFIG": os.devnull}
    done = subprocess.run(
        [NMM, *arguments], check=False, env=environ, encoding="utf-8", stdout=subprocess.PIPE
    )
    if done.returncode:
        sys.exit(f"nmm {' '.join(map(str, arguments))} ended with status {done.returncode}")
    return done.stdout


def print_row(title: str, figures: Sequence[Mapping[str, float | None]], rest: str = "") -> None:
    cells = (
        f"{one['value']:.3f}"
        + ("" if one["low"] is None else f" ({one['low']:.2f}…{one['high']:.2f})")
        for one in figures
    )
    print(f"  {title:30}" + "".join(f"{cell:>19}" for cell in cells) + rest)


if __name__ == "__main__":
    main()
