"""Measure how well `mini` finds images by their captions, and how fair one list is to both kinds.

    python bench/mini.py [FOLDER] [--pictures 100]

FOLDER holds captioned images: X.png beside X.txt, whose first line is the caption. The default is
the folder of Debian's package tuxpaint-stamps-default. Two tables are printed.

Recipes: each distinct caption is a query, and its rank is that of the first image with that
caption. The recipe in use is compared with that of the paper (ConSE; Norouzi et al., 2013) and with
a random order.

Mixed lists: images and texts are ranked together, by cosine and with two calibrations. The texts
are the sample data and the documentation of numpy; its summary lines are removed and used as
queries. MRR is the mean of 1 / rank of the right item, among its own kind and in the mixed list.
The last column is how many of the first ten are images, for queries about neither. The second table
uses the same vectors with a modality gap, as in jointly trained models.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from report import Figure, note

from nmm.index.calibration import NEUTRAL_QUERIES, fit
from nmm.index.encoders.base import Task
from nmm.index.encoders.families import mini_towers
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.media.base import Chunking, UnitRequest
from nmm.index.media.identify import hash_file
from nmm.index.media.image.decode import MAX_PIXELS, decode
from nmm.index.store.catalog.types import Calibration

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

QUICK = "--pictures 100"
STAMPS = Path("/usr/share/tuxpaint/stamps")
SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"
BATCH = 8
# Of a page of documentation, about what a chunk holds.
PASSAGE = 600
# Added to every vector to make a modality gap, along an axis of its own: added to texts and
# queries, subtracted from images.
GAP = 0.7

SCALES: dict[str, Callable[[Floats], Calibration]] = {
    "cosine": lambda _: Calibration(0, 1),
    "standard deviations": lambda neutral: Calibration(float(neutral.mean()), float(neutral.std())),
    "in use: one in a thousand": fit,
}


class Collection(NamedTuple):
    """Unit vectors of all ranked items and of all queries.

    Attributes:
        images: The images.
        texts: The passages.
        captions: One query for each distinct caption.
        is_right: Relevance, shape (captions, images).
        summaries: Queries; their right items are the first passages, in this order.
        neutral: Queries about neither.
    """

    images: Floats
    texts: Floats
    captions: Floats
    is_right: NDArray[np.bool_]
    summaries: Floats
    neutral: Floats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=STAMPS, metavar="FOLDER")
    parser.add_argument("--pictures", type=int, help="by default, all")
    arguments = parser.parse_args()
    folder = arguments.folder
    pairs = captioned(folder)[: arguments.pictures]
    if not pairs:
        sys.exit(
            f"There are no captioned pictures in {folder}.\n"
            "Get some with: apt install tuxpaint-stamps-default"
        )
    queries = sorted({caption for _, caption in pairs})
    is_right = np.array([[caption == query for _, caption in pairs] for query in queries])
    encoder = load_encoder(MINI)
    captions = encoder.embed_texts(queries, Task.QUERY)

    print(f"{len(pairs)} pictures, {len(queries)} distinct captions as queries\n")
    recipes = embed_by_recipes([picture for picture, _ in pairs])
    print_recipes(recipes, captions, is_right)

    documented = documentation()
    passages = [passage for _, passage in documented] + list(sample_passages(encoder))
    print(f"\n{len(pairs)} pictures and {len(passages)} texts, of which {len(documented)} are of")
    print(f"numpy {np.__version__} and have a query; {len(NEUTRAL_QUERIES)} queries about neither")
    collection = Collection(
        next(iter(recipes.values())),
        encoder.embed_texts(passages, Task.DOCUMENT),
        captions,
        is_right,
        encoder.embed_texts([summary for summary, _ in documented], Task.QUERY),
        encoder.embed_texts(NEUTRAL_QUERIES, Task.QUERY),
    )
    print_mixed("as they are", collection)
    print_mixed("with a modality gap", gapped(collection))


def captioned(folder: Path) -> list[tuple[Path, str]]:
    """Return images with their captions."""
    pairs = []
    for text in sorted(folder.rglob("*.txt")):
        picture = text.with_suffix(".png")
        caption = text.read_text("utf-8", errors="replace").partition("\n")[0].strip()
        if caption and picture.is_file():
            pairs.append((picture, caption))
    return pairs


def documentation() -> list[tuple[str, str]]:
    """Return summary and passage of each page of numpy's documentation that is long enough."""
    pages = {}
    for name in sorted(dir(np)):
        page = inspect.getdoc(getattr(np, name)) or ""
        summary, *rest = page.split("\n\n")
        if rest and re.match(r"\w+\(", summary):  # the signature
            summary = rest.pop(0)
        passage = "\n\n".join(rest)[:PASSAGE]
        if callable(getattr(np, name)) and len(passage) == PASSAGE:
            pages[" ".join(summary.split())] = passage
    return list(pages.items())


def sample_passages(encoder: OnnxEncoder) -> Iterator[str]:
    """Return the chunks of the sample texts."""
    chunking = Chunking(encoder.tokenizer, MINI.chunk, overlap=0)
    for file in sorted(p for p in SAMPLE_DATA.rglob("*") if p.is_file()):
        units = hash_file(file).read(UnitRequest(MINI.image.side, MAX_PIXELS, chunking)).units
        yield from (unit.payload for unit in units if isinstance(unit.payload, str))


def embed_by_recipes(files: Sequence[Path]) -> dict[str, Floats]:
    """Return the vectors of images by each recipe, the one in use first."""
    import torch
    from torch.nn.functional import normalize

    vision = mini_towers.build_towers(MINI, weight_files(MINI)).vision
    logits: list[torch.Tensor] = []
    network = vision.get_submodule("network")
    network.register_forward_hook(lambda _module, _inputs, output: logits.append(output))
    with torch.inference_mode():
        in_use = torch.cat([vision(torch.from_numpy(batch)) for batch in pixel_batches(files)])
        every, classes = torch.cat(logits), vision.get_buffer("classes")

        def conse(temperature: float, top: int) -> Floats:
            chances, best = (every / temperature).softmax(-1).topk(top)
            vectors = torch.einsum("nk,nkd->nd", chances, classes[best])
            result: Floats = normalize(vectors, dim=-1).numpy()
            return result

        return {
            f"in use: temperature {mini_towers.TEMPERATURE}, all classes": in_use.numpy(),
            "paper: temperature 1, ten likeliest": conse(1, 10),
            "temperature 2, all classes": conse(2, len(classes)),
        }


def pixel_batches(files: Sequence[Path]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(files), BATCH):
        images = (decode(file.read_bytes()).image for file in files[start : start + BATCH])
        yield np.stack([to_pixels(image, MINI.image) for image in images])


def print_recipes(
    recipes: dict[str, Floats], captions: Floats, is_right: NDArray[np.bool_]
) -> None:
    cuts = (1, 5, 10, 50)
    print(f"{'recipe':40}" + "".join(f"{f'R@{k}':>7}" for k in cuts) + f"{'median rank':>13}")
    deep = []
    for name, images in recipes.items():
        cosines = captions @ images.T
        ranks = rank(best_right(cosines, is_right), cosines)
        recalls = "".join(f"{(ranks <= k).mean():7.3f}" for k in cuts)
        print(f"{name:40}{recalls}{np.median(ranks):13.0f}")
        deep.append(float((ranks <= cuts[-1]).mean()))
    chances = chance(is_right)
    recalls = "".join(f"{chances[k - 1]:7.3f}" for k in cuts)
    print(f"{'chance':40}{recalls}{np.searchsorted(chances, 0.5) + 1:13}")
    what = f"clip art by its caption (mini): R@{cuts[-1]}"
    note(Figure(what, deep[0], "", "recipe of the paper", deep[1], deep[0] / deep[1]))


def chance(is_right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return recall at 1, 2, 3, … of a random order."""
    total = is_right.shape[1]
    wrong = total - is_right.sum(1, keepdims=True)
    seen = np.arange(total)
    # The probability that all items seen are wrong: a product over ranks.
    missed = np.maximum((wrong - seen) / (total - seen), 0).cumprod(1)
    found: NDArray[np.float64] = 1 - missed.mean(0)
    return found


def best_right(scores: Floats, is_right: NDArray[np.bool_]) -> Floats:
    """Return the best score of a right item for each query, shape (queries, 1)."""
    best: Floats = np.where(is_right, scores, -np.inf).max(1, keepdims=True)
    return best


def rank(right: Floats, *lists: Floats) -> NDArray[np.int64]:
    """Return the rank of a score (queries, 1) among those of lists (queries, items), from 1."""
    above: NDArray[np.int64] = sum(((scores > right).sum(1) for scores in lists), np.int64(1))
    return above


def print_mixed(title: str, c: Collection) -> None:
    pictures = len(c.images) / (len(c.images) + len(c.texts))
    print(f"\n{title:28}{'MRR of pictures':>19}{'MRR of texts':>19}{'pictures in top 10':>21}")
    print(f"{'':28}" + f"{'alone -> mixed':>19}" * 2 + f"{f'({pictures:.2f} of all)':>21}")
    mixed = []
    for name, scale_of in SCALES.items():
        of_images, of_texts = scale_of(c.neutral @ c.images.T), scale_of(c.neutral @ c.texts.T)
        found, texts = both(c, c.captions, of_images, of_texts)
        right = best_right(found, c.is_right)
        image_ranks = rank(right, found), rank(right, found, texts)
        mixed.append(float((1 / image_ranks[1]).mean()))
        images, found = both(c, c.summaries, of_images, of_texts)
        right = best_right(found, np.eye(*found.shape, dtype=np.bool_))
        text_ranks = rank(right, found), rank(right, found, images)
        first = np.argsort(-np.hstack(both(c, c.neutral, of_images, of_texts)), kind="stable")
        share = (first[:, :10] < len(c.images)).mean()
        print(f"{name:28}{mrr(*image_ranks):>19}{mrr(*text_ranks):>19}{share:21.2f}")
    what = f"MRR of pictures in one list with texts, {title}"
    note(Figure(what, mixed[-1], "", "by cosine", mixed[0], mixed[-1] / mixed[0]))


def both(
    c: Collection, queries: Floats, of_images: Calibration, of_texts: Calibration
) -> tuple[Floats, Floats]:
    """Return scores of images and of texts for queries."""
    images = (queries @ c.images.T - of_images.median) / of_images.spread
    texts = (queries @ c.texts.T - of_texts.median) / of_texts.spread
    return images, texts


def mrr(alone: NDArray[np.int64], mixed: NDArray[np.int64]) -> str:
    return f"{(1 / alone).mean():.3f} -> {(1 / mixed).mean():.3f}"


def gapped(c: Collection) -> Collection:
    """Return the same vectors with images and texts pushed apart."""

    def push(vectors: Floats, gap: float) -> Floats:
        longer = np.hstack([vectors, np.full((len(vectors), 1), gap, np.float32)])
        unit: Floats = longer / np.linalg.norm(longer, axis=1, keepdims=True)
        return unit

    return c._replace(
        images=push(c.images, -GAP),
        texts=push(c.texts, GAP),
        captions=push(c.captions, GAP),
        summaries=push(c.summaries, GAP),
        neutral=push(c.neutral, GAP),
    )


if __name__ == "__main__":
    main()
