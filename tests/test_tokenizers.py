"""The tokens of a text equal those of transformers' tokenizers for the same tokenizer.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_files import clip_tokenizer
from numpy.typing import NDArray
from tokenizers import Tokenizer

from nmm.index.encoders.base import Model, Task
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.registry import CLIP_VIT_B_16, MINI, NOMIC_V1_5
from nmm.index.encoders.runtime.batching import BatchedEncoder
from nmm.index.encoders.tokenizer import open_tokenizer

# The tokenizer of bert-base-uncased, which nomic-embed-text uses too.
BERT = weight_files(MINI)[3]
TEXTS = [
    "A cup of coffee.",
    "",
    "   \t\n ",
    "Der Föhn drückt auf die Stadt, seit Tagen schon.",
    "東京の朝 — Доброе утро, ελληνικά, صباح الخير",
    "🐈‍⬛ and 👩🏽‍🚀, 1,234.50 €",
    "search_query: a prefix of its own",
    "supercalifragilisticexpialidocious" * 8,
    " ".join(f"word{number}" for number in range(5000)),
]
NOTHING = -1


class Fed(BatchedEncoder):
    """An encoder whose vectors are the tokens that its text model gets."""

    def __init__(self, model: Model, file: Path, tokens_per_run: int) -> None:
        super().__init__(
            replace(model, dimension=model.text.context),
            file.parent,
            weights="",
            images_per_run=1,
            tokens_per_run=tokens_per_run,
        )
        self._tokenizer = open_tokenizer(file)
        self.shapes: list[tuple[int, ...]] = []

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    @property
    def _vision(self) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
        raise NotImplementedError

    @property
    def _text(self) -> Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]:
        return self._feed

    def _feed(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        assert (str(ids.dtype), str(mask.dtype), ids.shape) == ("int64", "int64", mask.shape)
        assert not ids[mask == 0].any()  # padding is 0
        self.shapes.append(ids.shape)
        rows = np.full((len(ids), self.model.text.context), NOTHING, np.float32)
        rows[:, : ids.shape[1]] = np.where(mask == 1, ids, NOTHING)
        return rows


def transformers_tokens(
    file: Path, pad: str, prompts: Sequence[str], context: int
) -> NDArray[np.float32]:
    """Return the tokens of transformers' fast tokenizer, for all prompts at once."""
    import transformers

    tokenizer: Any = transformers.PreTrainedTokenizerFast(tokenizer_file=str(file), pad_token=pad)
    tokens = tokenizer(
        list(prompts), truncation=True, max_length=context, padding=True, return_tensors="np"
    )
    rows = np.full((len(prompts), context), NOTHING, np.float32)
    ids = np.where(tokens["attention_mask"] == 1, tokens["input_ids"], NOTHING)
    rows[:, : ids.shape[1]] = ids
    return rows


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("clip") / "tokenizer.json"
    clip_tokenizer().save(str(file))
    return file


@pytest.mark.parametrize("tokens_per_run", [1, 100_000], ids=["one by one", "all at once"])
@pytest.mark.parametrize("task", Task, ids=lambda task: task.value)
def test_nomic_is_fed_what_transformers_makes_of_prefix_and_text(
    task: Task, tokens_per_run: int
) -> None:
    encoder = Fed(NOMIC_V1_5, BERT, tokens_per_run)
    prompts = [f"{task.value}: {text}" for text in TEXTS]
    expected = transformers_tokens(BERT, "[PAD]", prompts, 2048)
    np.testing.assert_array_equal(encoder.embed_texts(TEXTS, task), expected)


@pytest.mark.parametrize("tokens_per_run", [1, 100_000], ids=["one by one", "all at once"])
def test_clip_is_fed_what_transformers_makes_of_the_text(
    clip_file: Path, tokens_per_run: int
) -> None:
    encoder = Fed(CLIP_VIT_B_16, clip_file, tokens_per_run)
    expected = transformers_tokens(clip_file, "<|endoftext|>", TEXTS, 77)
    np.testing.assert_array_equal(encoder.embed_texts(TEXTS, Task.QUERY), expected)


@pytest.mark.parametrize(
    ("model", "start", "end"),
    [(NOMIC_V1_5, "[CLS]", "[SEP]"), (CLIP_VIT_B_16, "<|startoftext|>", "<|endoftext|>")],
    ids=["BERT", "CLIP"],
)
def test_a_long_text_is_cut_at_the_context_and_keeps_its_special_tokens(
    clip_file: Path, model: Model, start: str, end: str
) -> None:
    encoder = Fed(model, clip_file if model is CLIP_VIT_B_16 else BERT, 1)
    (row,) = encoder.embed_texts(TEXTS[-1:], Task.QUERY)
    number = encoder.tokenizer.token_to_id
    assert encoder.shapes == [(1, model.text.context)]
    assert (row[0], row[-1]) == (number(start), number(end))
    assert not np.isin(row[1:-1], [number(start), number(end)]).any()


def test_texts_of_a_batch_are_padded_to_the_longest_of_it() -> None:
    encoder = Fed(MINI, BERT, tokens_per_run=30)
    encoder.embed_texts(["a", "a b c d", "a b", "a b c d e f g h"], Task.QUERY)
    # Two more tokens each; the longest comes first.
    assert encoder.shapes == [(3, 10), (1, 3)]
