"""Semantic textual similarity: whether sentences that people find alike have near vectors.

As MTEB measures it (Muennighoff et al., 2023, "MTEB: Massive Text Embedding Benchmark"): the
cosine of each pair of sentences, and Spearman's coefficient of these with the scores that people
gave. What a model's prefix is for is decided by its makers: those of Nomic embed the sentences of
STS for classification (github.com/nomic-ai/contrastors, src/contrastors/eval/mteb_eval).
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
from nmm.index.evaluation.metrics import correlations

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.base import Encoder

METRICS = ("spearman", "pearson")
COLUMNS = ("sentence1", "sentence2", "score")
# Fewer pairs have a correlation that says nothing.
FEWEST = 3
# Sentences embedded together.
SENTENCES = 512
HINT = (
    "Write a pair a line, as TSV or CSV with the columns sentence1, sentence2 and score, or as "
    'JSON: {"sentence1": "…", "sentence2": "…", "score": 3.5}'
)


@dataclass(frozen=True)
class Pairs:
    """Pairs of sentences, and how alike people find them.

    Attributes:
        sentences: Two of each pair.
        scores: The greater, the more alike, on any scale.
        bad: Lines that are no such pair.
    """

    sentences: list[tuple[str, str]]
    scores: list[float]
    bad: list[BadLine]


@dataclass(frozen=True)
class Similarity:
    """What came of a model: the cosine of each pair, shape (pairs,)."""

    model: str
    dimension: int
    cosines: NDArray[np.float64]

    def statistics(self, scores: Sequence[float]) -> Statistics:
        """Those of :data:`METRICS`."""
        import numpy as np

        return correlations(self.cosines, np.array(scores, np.float64))


def read_pairs(file: Path) -> Pairs:
    """Read pairs of sentences: TSV or CSV, with a header or of three columns, or JSON lines.

    Raises:
        UsageError: It cannot be read, has too few pairs, or all scores are equal.
    """
    pairs = Pairs([], [], [])
    for number, row in _rows(read_text(file.expanduser()), file.suffix.lower()):
        found = row if isinstance(row, BadLine) else _pair(number, row)
        if isinstance(found, BadLine):
            pairs.bad.append(found)
        else:
            *sentences, score = found
            pairs.sentences.append((sentences[0], sentences[1]))
            pairs.scores.append(score)
    if len(pairs.scores) < FEWEST:
        why = f"line {pairs.bad[0].line}: {pairs.bad[0].reason}" if pairs.bad else ""
        count = len(pairs.scores)
        raise UsageError(
            f"{file} has too few pairs to measure: {count}.",
            code="sts-pairs-too-few",
            why=why,
            hint=HINT,
            path=file,
            pairs=count,
        )
    if min(pairs.scores) == max(pairs.scores):
        raise UsageError(
            f"All scores in {file} are {pairs.scores[0]:g}.",
            code="sts-scores-constant",
            why="A correlation needs scores that differ.",
            hint="Take pairs that people find more and less alike.",
            path=file,
        )
    return pairs


def evaluate_similarity(
    pairs: Pairs,
    encoder: Encoder,
    task: Task = Task.CLASSIFICATION,
    *,
    on_embedded: Callable[[int], None] = lambda _: None,
) -> Similarity:
    """The cosines of pairs, as a model sees them.

    Args:
        pairs: What to compare.
        encoder: The model.
        task: What its sentences are embedded for.
        on_embedded: Told how many different sentences more are embedded.
    """
    import numpy as np

    each = {
        one: row for row, one in enumerate(dict.fromkeys(s for p in pairs.sentences for s in p))
    }
    vectors = np.empty((len(each), encoder.model.dimension), np.float32)
    for start in range(0, len(each), SENTENCES):
        some = [*each][start : start + SENTENCES]
        vectors[start : start + len(some)] = encoder.embed_texts(some, task)
        on_embedded(len(some))
    one, other = (vectors[[each[pair[side]] for pair in pairs.sentences]] for side in (0, 1))
    cosines = np.einsum("nd,nd->n", one, other, dtype=np.float64)
    return Similarity(encoder.model.name, encoder.model.dimension, cosines)


def _rows(text: str, suffix: str) -> Iterator[tuple[int, Mapping[str, Any] | BadLine]]:
    """What each line holds, by :data:`COLUMNS`."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    if first.lstrip().startswith("{"):
        yield from json_lines(text)
        return
    tabs = "\t" in first and suffix != ".csv"
    # TSV knows no quotes: those of the STS benchmark stand for themselves.
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
                # A row may be short of cells.
                yield rows.line_num, dict(zip(header or COLUMNS, row, strict=False))
            else:
                yield rows.line_num, BadLine(rows.line_num, f"{len(row)} columns and no header")
    except csv.Error as error:
        yield rows.line_num, BadLine(rows.line_num, f"not CSV: {error}")


def _pair(number: int, row: Mapping[str, Any]) -> tuple[str, str, float] | BadLine:
    for name in COLUMNS:
        if row.get(name) in (None, ""):
            return BadLine(number, f"no {name!r}")
    one, other, score = (row[name] for name in COLUMNS)
    if not (isinstance(one, str) and isinstance(other, str) and one.strip() and other.strip()):
        return BadLine(number, "a sentence is not a text")
    try:
        told = float(score)
    except (TypeError, ValueError):
        told = math.nan
    if not math.isfinite(told) or isinstance(score, bool):
        return BadLine(number, f"the score {score!r} is not a number")
    one, other = (text.encode("utf-8", "replace").decode() for text in (one, other))
    return one, other, told
