"""What all encoders do alike, whatever computes their towers: prompts, batches, cutting."""

from __future__ import annotations

import abc
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from nmm.index.encoders.registry import Model, Task


class BatchedEncoder(abc.ABC):
    """An :class:`~nmm.index.encoders.registry.Encoder` that runs its towers on small batches.

    A tower's vectors may be longer than the model's dimension: they are then cut to it and
    normalised again. Where a text is normalised by a layer norm and L2 before it is cut,
    as Nomic's is, this is the same as cutting between the two.

    Args:
        model: The row, with the dimension that is wanted.
        weights: Hash of the weights and the recipe.
        images_per_run: Images in one run of the vision tower.
        tokens_per_run: Tokens, padding included, in one run of the text tower.
    """

    def __init__(
        self, model: Model, weights: str, *, images_per_run: int, tokens_per_run: int
    ) -> None:
        self.model = model
        self.weights = weights
        self._images_per_run = images_per_run
        self._tokens_per_run = tokens_per_run

    @property
    @abc.abstractmethod
    def tokenizer(self) -> Tokenizer:
        """The text tower's tokenizer, without truncation and padding."""

    @abc.abstractmethod
    def _run_vision(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pixels (n, side, side, 3) to unit vectors."""

    @abc.abstractmethod
    def _run_text(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Token ids and mask, both (n, length), to unit vectors."""

    @cached_property
    def _truncating_tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.tokenizer.to_str())
        tokenizer.enable_truncation(self.model.context)
        return tokenizer

    def embed_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed images given as RGB pixels of shape (n, side, side, 3)."""
        import numpy as np

        vectors = np.empty((len(pixels), self.model.dimension), np.float32)
        for start in range(0, len(pixels), self._images_per_run):
            rows = slice(start, start + self._images_per_run)
            vectors[rows] = self._cut(self._run_vision(pixels[rows]))
        return vectors

    def embed_texts(
        self, texts: Sequence[str], task: Task, *, raw: bool = False
    ) -> NDArray[np.float32]:
        """Embed texts for a task; what exceeds the model's context is cut off.

        `raw`: see :meth:`.registry.Model.prompt`.
        """
        return self.embed_prompts([self.model.prompt(text, task, raw=raw) for text in texts])

    def embed_prompts(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts that begin with a task's prefix already, if the model has any."""
        import numpy as np

        ids = [encoding.ids for encoding in self._truncating_tokenizer.encode_batch(prompts)]
        lengths = np.array([len(i) for i in ids])
        vectors = np.empty((len(ids), self.model.dimension), np.float32)
        # By length, so that little padding is computed.
        order = np.argsort(lengths, kind="stable")
        while len(order):
            rows = max(1, self._tokens_per_run // int(lengths[order[-1]]))
            longest, order = order[-rows:], order[:-rows]
            mask = np.arange(lengths[longest[-1]]) < lengths[longest, None]
            tokens = np.zeros(mask.shape, np.int64)
            tokens[mask] = np.concatenate([ids[i] for i in longest])
            vectors[longest] = self._cut(self._run_text(tokens, mask.astype(np.int64)))
        return vectors

    def _cut(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The first components, as many as are wanted, of unit length again."""
        import numpy as np

        dimension = self.model.dimension
        if vectors.shape[1] == dimension:
            return vectors
        cut = vectors[:, :dimension]
        unit: NDArray[np.float32] = cut / np.linalg.norm(cut, axis=1, keepdims=True)
        return unit
