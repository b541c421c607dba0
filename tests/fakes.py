"""An encoder without a model, for tests that are not about what vectors mean."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from nmm.index.encoders.base import Model, PendingEmbeddings, Task
from nmm.index.encoders.registry import MINI

Floats = NDArray[np.float32]


class HashEncoder:
    """An :class:`~nmm.index.encoders.base.Encoder` whose vectors are random, but always the same.

    The vector of a text is the sum of a vector for each of its words, so that texts with words in
    common are near each other. The vector of an image depends on all of its pixels, and is near
    no other. Vectors do not depend on what is embedded beside them.

    Args:
        folder: What follows from the weights may be kept there.
        model: The row that it takes the place of.
    """

    weights = hashlib.sha256(b"HashEncoder").hexdigest()
    batch_size = 32

    def __init__(self, folder: Path, model: Model = MINI) -> None:
        self.model = model
        self.folder = folder

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """A token for each word and each run of punctuation, and two around the text."""
        vocabulary = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
        return tokenizer

    def submit_images(self, pixels: Sequence[NDArray[np.uint8]]) -> PendingEmbeddings:
        return self._pending(self.embed_images(pixels))

    def submit_texts(self, texts: Sequence[str], task: Task) -> PendingEmbeddings:
        return self._pending(self.embed_texts(texts, task))

    def embed_images(self, pixels: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> Floats:
        return self._stack([self._random(image.tobytes()) for image in pixels])

    def embed_texts(self, texts: Sequence[str], task: Task, *, raw: bool = False) -> Floats:
        prompts = (self.model.prompt(text, task, raw=raw) for text in texts)
        return self._stack([self._sum(prompt) for prompt in prompts])

    def _sum(self, text: str) -> Floats:
        words = self.tokenizer.pre_tokenizer.pre_tokenize_str(text.lower())
        return np.sum([self._random(word.encode()) for word, _ in words] or [self._random(b"")], 0)

    def _random(self, content: bytes) -> Floats:
        return _random_vector(hashlib.sha256(content).digest(), self.model.dimension)

    def _stack(self, vectors: Sequence[Floats]) -> Floats:
        rows = np.reshape(np.array(vectors, np.float32), (-1, self.model.dimension))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def _pending(self, vectors: Floats) -> PendingEmbeddings:
        done: Future[Floats] = Future()
        done.set_result(vectors)
        return PendingEmbeddings(vectors.shape, [(range(len(vectors)), done)])


@functools.lru_cache(10_000)
def _random_vector(digest: bytes, dimension: int) -> Floats:
    chance = np.random.default_rng(int.from_bytes(digest, "big"))
    return chance.standard_normal(dimension, np.float32)
