"""Semantic textual similarity (STS): the correlation of cosines with human scores.

This follows MTEB (Muennighoff et al., 2023, "MTEB: Massive Text Embedding Benchmark"): Spearman's
coefficient of the cosine of each sentence pair with its human score. The makers of a model decide
which prefix to use: Nomic embeds the sentences of STS for classification
(github.com/nomic-ai/contrastors, src/contrastors/eval/mteb_eval).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmm.index.encoders.base import Task
from nmm.index.errors import UsageError
from nmm.index.evaluation.bootstrap import Statistics
from nmm.index.evaluation.line_reader import BadLine, json_lines, read_text
from nmm.index.evaluation.metrics import correlation_statistics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.base import Encoder

METRICS = ("spearman", "pearson")
COLUMNS = ("sentence1", "sentence2", "score")
# A correlation of fewer pairs is meaningless.
MIN_PAIRS = 3
BATCH_SIZE = 512
FORMAT_HINT = (
    "Write one pair per line, as TSV or CSV with the columns sentence1, sentence2 and score, or as "
    'JSON: {"sentence1": "…", "sentence2": "…", "score": 3.5}'
)


@dataclass(frozen=True)
class SentencePairs:
    """Sentence pairs with human similarity scores.

    Attributes:
        sentences: The pairs.
        scores: Greater means more similar, on any scale.
        bad: Invalid lines.
    """

    sentences: list[tuple[str, str]]
    scores: list[float]
    bad: list[BadLine]


@dataclass(frozen=True)
class SimilarityResult:
    """The cosine of each pair by a model, shape (pairs,)."""

    model: str
    dimension: int
    cosines: NDArray[np.float64]

    def statistics(self, scores: Sequence[float]) -> Statistics:
        """Return :data:`METRICS`."""
        import numpy as np

        return correlation_statistics(self.cosines, np.array(scores, np.float64))


def read_pairs(file: Path) -> SentencePairs:
    """Read sentence pairs from TSV, CSV (with a header or three columns) or JSON lines.

    Raises:
        UsageError: The file cannot be read or has too few pairs, or all scores are equal.
    """
    pairs = SentencePairs([], [], [])
    for number, row in _read_rows(read_text(file.expanduser()), file.suffix.lower()):
        found = row if isinstance(row, BadLine) else _parse_pair(number, row)
        if isinstance(found, BadLine):
            pairs.bad.append(found)
        else:
            *sentences, score = found
            pairs.sentences.append((sentences[0], sentences[1]))
            pairs.scores.append(score)
    if len(pairs.scores) < MIN_PAIRS:
        why = f"line {pairs.bad[0].line}: {pairs.bad[0].reason}" if pairs.bad else ""
        count = len(pairs.scores)
        raise UsageError(
            f"{file} has too few pairs to measure: {count}.",
            code="sts-pairs-too-few",
            why=why,
            hint=FORMAT_HINT,
            path=file,
            pairs=count,
        )
    if min(pairs.scores) == max(pairs.scores):
        raise UsageError(
            f"All scores in {file} are {pairs.scores[0]:g}.",
            code="sts-scores-constant",
            why="A correlation needs scores that differ.",
            hint="Use pairs with different scores.",
            path=file,
        )
    return pairs


def evaluate_similarity(
    pairs: SentencePairs,
    encoder: Encoder,
    task: Task = Task.CLASSIFICATION,
    *,
    on_embedded: Callable[[int], None] = lambda _: None,
) -> SimilarityResult:
    """Compute the cosine of each pair.

    Args:
        pairs: The sentence pairs.
        encoder: The model.
        task: The task that the sentences are embedded for.
        on_embedded: Called with the number of distinct sentences just embedded.
    """
    import numpy as np

    rows = {
        one: row for row, one in enumerate(dict.fromkeys(s for p in pairs.sentences for s in p))
    }
    vectors = np.empty((len(rows), encoder.model.dimension), np.float32)
    for start in range(0, len(rows), BATCH_SIZE):
        batch = [*rows][start : start + BATCH_SIZE]
        vectors[start : start + len(batch)] = encoder.embed_texts(batch, task)
        on_embedded(len(batch))
    one, other = (vectors[[rows[pair[side]] for pair in pairs.sentences]] for side in (0, 1))
    cosines = np.einsum("nd,nd->n", one, other, dtype=np.float64)
    return SimilarityResult(encoder.model.name, encoder.model.dimension, cosines)


def _read_rows(text: str, suffix: str) -> Iterator[tuple[int, Mapping[str, Any] | BadLine]]:
    """Yield the row of each line by :data:`COLUMNS`."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    if first.lstrip().startswith("{"):
        yield from json_lines(text)
        return
    tabs = "\t" in first and suffix != ".csv"
    # TSV has no quoting: quotes in the STS benchmark are literal.
    lines = io.StringIO(text, newline="")
    rows = csv.reader(lines, "excel-tab", quoting=csv.QUOTE_NONE) if tabs else csv.reader(lines)
    header: Sequence[str] | None = None
    try:
        for row in rows:
            if not any(map(str.strip, row)):
                continue
            if header is None:
                names = [name.strip().lower() for name in row]
                header = names if set(COLUMNS) <= set(names) else ()
                if header:
                    continue
            if header or len(row) == len(COLUMNS):
                # A row may have too few cells.
                yield rows.line_num, dict(zip(header or COLUMNS, row, strict=False))
            else:
                yield rows.line_num, BadLine(rows.line_num, f"{len(row)} columns and no header")
    except csv.Error as error:
        yield rows.line_num, BadLine(rows.line_num, f"not CSV: {error}")


def _parse_pair(number: int, row: Mapping[str, Any]) -> tuple[str, str, float] | BadLine:
    for name in COLUMNS:
        if row.get(name) in (None, ""):
            return BadLine(number, f"no {name!r}")
    one, other, score = (row[name] for name in COLUMNS)
    if not (isinstance(one, str) and isinstance(other, str) and one.strip() and other.strip()):
        return BadLine(number, "a sentence is not text")
    try:
        value = float(score)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value) or isinstance(score, bool):
        return BadLine(number, f"the score {score!r} is not a number")
    one, other = (text.encode("utf-8", "replace").decode() for text in (one, other))
    return one, other, value
