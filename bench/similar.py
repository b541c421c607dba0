"""Compare representations of a whole text for `nmm similar`, for the model mini.

Each text is cut in two: the texts of sample_data, and modules of Python's standard library. Each
first half has to find its second half among all second halves. A half scores as its best passage,
as in a search. Printed for each representation of the first half: how often the right half comes
first, how often among five, and its mean reciprocal rank.

    python bench/similar.py [--modules 80]
"""

from __future__ import annotations

import argparse
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from report import Figure, note

from nmm.index.encoders.base import Task
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.media.base import Chunking, UnitRequest
from nmm.index.media.identify import hash_file

SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"
QUICK = "--modules 2"
MODULES = 80
# Minimum and maximum number of passages of a text.
LEAST, MOST = 4, 40

Vectors = NDArray[np.float32]
WAYS: dict[str, Callable[[Vectors], Vectors]] = {
    "mean of passages": lambda passages: passages.mean(axis=0, keepdims=True),
    "first passage": lambda passages: passages[:1],
    "best of passages": lambda passages: passages,
}


def halves(count: int) -> Iterator[tuple[Vectors, Vectors]]:
    """Return the vectors of texts' passages, first and second halves, for so many modules."""
    encoder = load_encoder(MINI)
    chunking = Chunking.for_index(encoder.tokenizer, MINI.chunk)
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:count]
    for path in [*sorted(SAMPLE_DATA.rglob("*.*")), *modules]:
        if path.suffix == ".jpg":
            continue
        units = hash_file(path).read(UnitRequest(1, 1, chunking)).units
        texts = [str(unit.payload) for unit in units][:MOST]
        if len(texts) >= LEAST:
            vectors = encoder.embed_texts(texts, Task.DOCUMENT)
            yield vectors[: len(texts) // 2], vectors[len(texts) // 2 :]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--modules", type=int, default=MODULES)
    pairs = list(halves(parser.parse_args().modules))
    print(f"{len(pairs)} texts; the model {MINI.name}")
    print("a half is its          first  of five    MRR")
    firsts = []
    for name, way in WAYS.items():
        ranks = []
        for own, (half, _) in enumerate(pairs):
            asked = way(half)
            asked = asked / np.linalg.norm(asked, axis=1, keepdims=True)
            best = np.array([(rest @ asked.T).max() for _, rest in pairs])
            ranks.append(1 + int((best > best[own]).sum()))
        first, five = (np.mean([rank <= n for rank in ranks]) for n in (1, 5))
        firsts.append(float(first))
        print(f"{name:20} {first:7.2f}  {five:7.2f}  {np.mean([1 / r for r in ranks]):5.3f}")
    ours, theirs, *_ = firsts
    what = "a text's other half comes first, by the mean of its passages"
    note(Figure(what, ours, "", "by its first passage", theirs, ours / theirs))


if __name__ == "__main__":
    main()
