"""What all encoders share: prefixes, runs of a tower, shorter vectors."""

from __future__ import annotations

import abc
import threading
from contextlib import nullcontext
from functools import cached_property, partial
from typing import TYPE_CHECKING

from nmm.index.common.tracing import span
from nmm.index.encoders.base import PendingEmbeddings
from nmm.index.encoders.preprocess import pad_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path
    from typing import TypeAlias

    from tokenizers import Tokenizer

    from nmm.index.encoders.base import Model, Pixels, Task, Tokens, Vectors

    TowerRun: TypeAlias = tuple[Sequence[int], Callable[[], Vectors]]

# Runs in a batch for each run that is computed at once. The next batch is submitted while one is
# waited for, so these are enough to keep all threads busy.
RUNS_PER_BATCH = 2
# Images in a batch at least: commits should not be more frequent.
MIN_BATCH = 32
# The memory of attention grows with the square of a text's length. Of texts with more tokens than
# this, only a few runs are computed at once.
LONG_TEXT_TOKENS = 1024
_long_run_slots = threading.BoundedSemaphore(4)


class BatchedEncoder(abc.ABC):
    """An :class:`~nmm.index.encoders.base.Encoder` that runs its towers on small batches.

    If a tower's vectors are longer than the model's dimension, they are cut to it and normalised
    again. For a text tower that ends in a layer norm and L2, as Nomic's does, this equals
    cutting between the two.

    Args:
        model: The row, with the requested dimension.
        folder: Its compiled form.
        weights: Hash of the weights and the recipe.
        images_per_run: Images in one run of the vision tower.
        tokens_per_run: Tokens, padding included, in one run of the text tower.
        parallel_runs: Runs that are computed at once.
    """

    def __init__(
        self,
        model: Model,
        folder: Path,
        weights: str,
        *,
        images_per_run: int,
        tokens_per_run: int,
        parallel_runs: int = 1,
    ) -> None:
        self.model = model
        self.folder = folder
        self.weights = weights
        self._images_per_run = images_per_run
        self._tokens_per_run = tokens_per_run
        self._parallel_runs = parallel_runs

    @property
    @abc.abstractmethod
    def tokenizer(self) -> Tokenizer:
        """Return the text tower's tokenizer, without truncation and padding."""

    @property
    @abc.abstractmethod
    def _vision(self) -> Callable[[Pixels], Vectors]:
        """Return the vision tower: pixels (n, side, side, 3) to unit vectors. It opens lazily."""

    @property
    @abc.abstractmethod
    def _text(self) -> Callable[[Tokens, Tokens], Vectors]:
        """Return the text tower: ids and mask (n, length) to unit vectors. It opens lazily."""

    @property
    def batch_size(self) -> int:
        """Return how many images to embed together, so that all threads have work."""
        return max(MIN_BATCH, RUNS_PER_BATCH * self._parallel_runs * self._images_per_run)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(self._parallel_runs, "nmm-embed")

    @cached_property
    def _truncating_tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.tokenizer.to_str())
        tokenizer.enable_truncation(self.model.text.context)
        return tokenizer

    def submit_images(self, pixels: Sequence[Pixels]) -> PendingEmbeddings:
        """Start embedding images, each as RGB pixels of shape (side, side, 3)."""
        return self._begin(len(pixels), self._image_runs(pixels))

    def submit_texts(self, texts: Sequence[str], task: Task) -> PendingEmbeddings:
        """Start embedding texts for a task. They are truncated at the model's context."""
        prompts = [self.model.prompt(text, task) for text in texts]
        return self._begin(len(prompts), self._prompt_runs(prompts))

    def embed_images(self, pixels: Sequence[Pixels] | Pixels) -> Vectors:
        """Embed images, given as RGB pixels of shape (n, side, side, 3)."""
        return self._embed(len(pixels), self._image_runs(pixels))

    def embed_texts(self, texts: Sequence[str], task: Task, *, raw: bool = False) -> Vectors:
        """Embed texts for a task. They are truncated at the model's context.

        `raw`: see :meth:`nmm.index.encoders.base.Model.prompt`.
        """
        return self.embed_prompts([self.model.prompt(text, task, raw=raw) for text in texts])

    def embed_prompts(self, prompts: Sequence[str]) -> Vectors:
        """Embed texts as they are, without adding a prefix."""
        return self._embed(len(prompts), self._prompt_runs(prompts))

    def _embed(self, count: int, runs: Iterator[TowerRun]) -> Vectors:
        import numpy as np

        if self._parallel_runs > 1:
            return self._begin(count, runs).result()
        vectors = np.empty((count, self.model.dimension), np.float32)
        for rows, run in runs:
            vectors[rows] = run()
        return vectors

    def _begin(self, count: int, runs: Iterator[TowerRun]) -> PendingEmbeddings:
        begun = [(rows, self._pool.submit(run)) for rows, run in runs]
        return PendingEmbeddings((count, self.model.dimension), begun)

    def _image_runs(self, pixels: Sequence[Pixels] | Pixels) -> Iterator[TowerRun]:
        if not len(pixels):
            return
        tower = self._vision
        for start in range(0, len(pixels), self._images_per_run):
            some = pixels[start : start + self._images_per_run]
            rows = range(start, start + len(some))
            yield rows, partial(self._run_images, tower, some)

    def _run_images(
        self, tower: Callable[[Pixels], Vectors], pixels: Sequence[Pixels] | Pixels
    ) -> Vectors:
        import numpy as np

        with span("images embedded"):
            return self._cut(tower(np.stack(list(pixels))))

    def _prompt_runs(self, prompts: Sequence[str]) -> Iterator[TowerRun]:
        if not prompts:
            return
        tower = self._text
        ids = [encoding.ids for encoding in self._truncating_tokenizer.encode_batch(prompts)]
        # Sorted by length, so that little padding is computed. The longest come first, so that
        # no long run is the last to start.
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]), reverse=True)
        while order:
            count = max(1, self._tokens_per_run // len(ids[order[0]]))
            rows, order = order[:count], order[count:]
            yield rows, partial(self._run_prompts, tower, [ids[row] for row in rows])

    def _run_prompts(
        self, tower: Callable[[Tokens, Tokens], Vectors], ids: Sequence[Sequence[int]]
    ) -> Vectors:
        tokens, mask = pad_tokens(ids)
        is_long = tokens.shape[1] > LONG_TEXT_TOKENS
        with _long_run_slots if is_long else nullcontext(), span("texts embedded"):
            return self._cut(tower(tokens, mask))

    def _cut(self, vectors: Vectors) -> Vectors:
        """Cut vectors to the model's dimension, and normalise them again."""
        import numpy as np

        dimension = self.model.dimension
        if vectors.shape[1] == dimension:
            return vectors
        cut = vectors[:, :dimension]
        unit: Vectors = cut / np.linalg.norm(cut, axis=1, keepdims=True)
        return unit
