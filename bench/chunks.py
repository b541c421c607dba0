"""Compare chunk sizes in tokens, for the model mini.

Questions with known answers (a file and its lines in sample_data) search the sample texts, cut into
chunks of several sizes. Printed for each size: the number of chunks; how often the right file comes
first, and its mean reciprocal rank; how often its best chunk overlaps the right lines, and the
share of that chunk's lines that is right.

    python bench/chunks.py [--sizes 32 48 64 96 126 160 200 250]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from report import Figure, note

from nmm.index.encoders.base import Task
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.indexing.entries import FoundFile
from nmm.index.indexing.walk import walk
from nmm.index.media.base import Chunking, UnitRequest
from nmm.index.media.identify import hash_file

SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"
QUICK = "--sizes 64 250"
SIZES = (32, 48, 64, 96, 126, 160, 200, 250)


class Question(NamedTuple):
    """A query and the location of its answer."""

    query: str
    path: str
    first: int
    last: int


QUESTIONS = [
    Question("where does the cat hide during a thunderstorm", "notes/chelsea.md", 25, 30),
    Question("how finely should I grind coffee beans", "recipes/espresso.md", 13, 33),
    Question("a swarm of bees in the apple tree", "notes/garden_diary.md", 64, 74),
    Question("late frost killed my plants", "notes/garden_diary.md", 54, 62),
    Question("tomato blight", "notes/garden_diary.md", 88, 97),
    Question("how far away are the galaxies", "docs/hubble_deep_field.md", 1, 30),
    Question("pedal with left-hand thread", "notes/bike_repair.md", 36, 39),
    Question("something vegan when you have a cold", "recipes/lentil_soup.txt", 17, 26),
    Question("lighthouse beam at night", "poems/winter_harbour.txt", 13, 16),
    Question("which house plants are safe for cats", "lists/house_plants.json", 1, 54),
    Question("children skating on ice", "poems/winter_harbour.txt", 33, 36),
    Question("a storm at sea", "poems/winter_harbour.txt", 28, 31),
    Question("building a footpath in the garden", "notes/garden_diary.md", 31, 40),
    Question("a butler who never says what he feels", "lists/books.csv", 1, 14),
    Question("why is my photo blurry", "docs/photography_glossary.rst", 26, 45),
    Question("making cider from apples", "notes/garden_diary.md", 99, 108),
    Question("hedgehog", "notes/garden_diary.md", 110, 118),
    Question("brakes squeal", "notes/bike_repair.md", 29, 34),
    Question("drought", "notes/garden_diary.md", 76, 86),
    Question("bread dough in the fridge overnight", "recipes/country_bread.html", 24, 34),
    Question("old men mending by the stove", "poems/winter_harbour.txt", 23, 26),
    Question("the boats are free again", "poems/winter_harbour.txt", 43, 46),
    Question("depth of field", "docs/photography_glossary.rst", 6, 45),
    Question("boiling a soup", "recipes/lentil_soup.txt", 1, 26),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    sizes = parser.parse_args().sizes
    encoder = load_encoder(MINI)
    queries = encoder.embed_texts([question.query for question in QUESTIONS], Task.QUERY)
    print(f"{len(QUESTIONS)} questions; the model {MINI.name} uses {MINI.chunk} tokens")
    print("tokens  chunks  file first    MRR  lines touched  lines right")
    found: dict[int, float] = {}
    for size in sizes:
        chunking = Chunking.for_index(encoder.tokenizer, size)
        owners, chunks = [], []
        for entry in walk(SAMPLE_DATA, exclude=["*.jpg"]):
            assert isinstance(entry, FoundFile)
            file = hash_file(SAMPLE_DATA / entry.path)
            for chunk in file.read(UnitRequest(MINI.image.side, 1, chunking)).units:
                owners.append(entry.path)
                chunks.append(chunk)
        vectors = encoder.embed_texts([str(chunk.payload) for chunk in chunks], Task.DOCUMENT)
        ranks, shares = [], []
        for question, query in zip(QUESTIONS, queries, strict=True):
            order = np.argsort(-(vectors @ query), kind="stable")
            files = list(dict.fromkeys(owners[i] for i in order))
            ranks.append(1 + files.index(question.path))
            best = chunks[next(i for i in order if owners[i] == question.path)]
            start, end = best.locator.lines
            shared = min(question.last, end) - max(question.first, start) + 1
            shares.append(max(0, shared) / (end - start + 1))
        first = sum(rank == 1 for rank in ranks)
        touched = sum(share > 0 for share in shares)
        mrr = found[size] = float(np.mean([1 / rank for rank in ranks]))
        print(
            f"{size:6}  {len(chunks):6}  {first:10}  {mrr:5.3f}  {touched:13}"
            f"  {np.mean(shares):11.2f}"
        )
    if MINI.chunk in found:
        ours, theirs = found[MINI.chunk], found[sizes[-1]]
        what = f"MRR of the right file, passages of {MINI.chunk} tokens"
        note(Figure(what, ours, "", f"of {sizes[-1]}", theirs, ours / theirs))


if __name__ == "__main__":
    main()
