"""`nmm eval sts`, and the encoder in mteb: both get the same result for the same pairs."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from support import SAMPLE_DATA, Nmm

from nmm.index.embed import open_encoder
from nmm.index.encoders.base import Task
from nmm.index.encoders.resolve import model_in_folder
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import UsageError
from nmm.index.evaluation.line_reader import BadLine
from nmm.index.evaluation.sts import read_pairs

PAIRS = [
    ("A man is playing a guitar.", "A man plays the guitar.", 5.0),
    ("A cat sleeps on the sofa.", "The cat is asleep on a couch.", 4.5),
    ("A woman slices an onion.", "A woman is cutting vegetables.", 3.5),
    ("A dog runs on the beach.", "A dog is swimming.", 2.5),
    ('He said "no" to it.', "She walks to school.", 0.5),
    ("The boat leaves the harbour.", "A plane is landing.", 1.5),
    ("Two children play chess.", "The stock market fell.", 0.0),
    ("A man is playing a guitar.", "A man is eating bread.", 1.0),
]


def as_tsv(file: Path, *, header: bool = True) -> Path:
    lines = ["genre\tsentence1\tscore\tsentence2\textra"] if header else []
    lines += [
        f"news\t{one}\t{score}\t{other}\tmore" if header else f"{one}\t{other}\t{score}"
        for one, other, score in PAIRS
    ]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


def said(done: subprocess.CompletedProcess[str], status: int = 0) -> dict[str, Any]:
    assert done.returncode == status, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_figures_are_those_of_scipy_on_cosines(
    here: Nmm, tmp_path: Path, mini: OnnxEncoder
) -> None:
    answer = said(here("eval", "sts", as_tsv(tmp_path / "a.tsv"), "--model", "mini", "--json"))
    one, other = (
        mini.embed_texts([pair[side] for pair in PAIRS], Task.CLASSIFICATION) for side in (0, 1)
    )
    cosines, scores = (one * other).sum(axis=1), [score for *_, score in PAIRS]
    metrics = answer["results"][0]["metrics"]
    assert metrics["spearman"]["value"] == pytest.approx(spearmanr(cosines, scores).statistic)
    assert metrics["pearson"]["value"] == pytest.approx(
        pearsonr(cosines, scores).statistic, abs=1e-6
    )
    assert metrics["spearman"]["value"] > 0.8
    assert metrics["spearman"]["low"] < metrics["spearman"]["value"] <= metrics["spearman"]["high"]
    assert (answer["version"], answer["pairs"], answer["task"]) == (1, 8, "classification")
    printed = here("eval", "sts", tmp_path / "a.tsv", "--model", "mini")
    assert printed.stdout.splitlines()[0] == "8 pairs of sentences"
    rows = list(
        csv.DictReader(
            here("eval", "sts", tmp_path / "a.tsv", "--model", "mini", "--csv").stdout.splitlines()
        )
    )
    assert [float(row["cosine"]) for row in rows] == pytest.approx(cosines, abs=1e-6)
    assert rows[4]["sentence1"] == 'He said "no" to it.'


def test_all_forms_of_a_file_say_the_same(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("Sentence1", "Sentence2", "Score"), *PAIRS])
    (tmp_path / "a.jsonl").write_text(
        "".join(
            json.dumps({"sentence1": one, "sentence2": other, "score": score, "split": "dev"})
            + "\n"
            for one, other, score in PAIRS
        ),
        "utf-8",
    )
    files = [
        as_tsv(tmp_path / "header.tsv"),
        as_tsv(tmp_path / "plain.txt", header=False),
        tmp_path / "a.csv",
        tmp_path / "a.jsonl",
    ]
    for file in files:
        found = read_pairs(file)
        assert found.bad == []
        assert [
            (*pair, score) for pair, score in zip(found.sentences, found.scores, strict=True)
        ] == PAIRS


def test_invalid_lines_are_reported_and_counted(here: Nmm, tmp_path: Path) -> None:
    file = as_tsv(tmp_path / "a.tsv", header=False)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(
            "one\ttwo\tthree\none\ttwo\n\n \t\t\none\t\t1\none\ttwo\tnan\n\x1b[2J\ttwo\tx\x1b[2J\n"
        )
        lines.write("a\u2028b\tc\x0bd\t3\n")
    found = read_pairs(file)
    assert found.bad == [
        BadLine(9, "the score 'three' is not a number"),
        BadLine(10, "2 columns and no header"),
        BadLine(13, "no 'sentence2'"),
        BadLine(14, "the score 'nan' is not a number"),
        BadLine(15, "the score 'x\\x1b[2J' is not a number"),
    ]
    assert found.sentences[-1] == ("a\u2028b", "c\x0bd")
    done = here("eval", "sts", file, "--model", "mini")
    assert done.returncode == 3
    assert "5 lines were skipped:" in done.stderr
    assert "line 9: the score 'three' is not a number" in done.stderr
    answer = said(here("eval", "sts", file, "--model", "mini", "--json", "-q"), 3)
    assert answer["skipped"][1] == {"line": 10, "reason": "2 columns and no header"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "too few pairs to measure: 0"),
        ("a\tb\t1\nc\td\t2\n", "too few pairs to measure: 2"),
        ("a\tb\t1\nc\td\t1\ne\tf\t1\n", "All scores in"),
        ("just words\nand more\n", "too few pairs"),
        ('{"sentence1": "a", "sentence2": ["b"], "score": 1}\n', "too few pairs"),
        ('{"sentence1": "a", "sentence2": "b", "score": true}\n', "too few pairs"),
    ],
)
def test_files_that_cannot_be_evaluated_are_errors(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "a.tsv").write_text(text, "utf-8")
    with pytest.raises(UsageError, match=what):
        read_pairs(tmp_path / "a.tsv")


def test_sentences_that_are_all_the_same_have_no_correlation(here: Nmm, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("".join(f"a\ta\t{score}\n" for score in range(4)), "utf-8")
    done = here(
        "eval", "sts", tmp_path / "a.tsv", "--model", "mini", "--json", "--fail-under", "spearman=0"
    )
    answer = said(done, 1)
    assert answer["results"][0]["metrics"]["spearman"] == {"value": None, "low": None, "high": None}
    assert "spearman is undefined, below 0." in done.stderr
    assert "–" in here("eval", "sts", tmp_path / "a.tsv", "--model", "mini").stdout


def test_the_task_is_that_of_nomics_makers(here: Nmm, tmp_path: Path, tiny_pair: Path) -> None:
    file = as_tsv(tmp_path / "a.tsv")
    encoder = open_encoder(model_in_folder(tiny_pair))

    def cosines(*options: str) -> list[float]:
        done = here("eval", "sts", file, "--model", tiny_pair, "--csv", *options)
        return [float(row["cosine"]) for row in csv.DictReader(done.stdout.splitlines())]

    def expected(prefix: str) -> list[float]:
        one, other = (
            encoder.embed_prompts([f"{prefix}: {pair[side]}" for pair in PAIRS]) for side in (0, 1)
        )
        return list((one * other).sum(axis=1))

    assert cosines() == pytest.approx(expected("classification"), abs=1e-5)
    assert cosines("--task", "clustering") == pytest.approx(expected("clustering"), abs=1e-5)
    assert np.abs(np.subtract(cosines(), expected("clustering"))).max() > 1e-4


MTEB = """
import json, sys
import mteb
from datasets import Dataset, DatasetDict
from mteb.abstasks.sts import AbsTaskSTS
from mteb.abstasks.zeroshot_classification import AbsTaskZeroShotClassification
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.models_protocols import EncoderProtocol
from PIL import Image
from nmm.index.evaluation.mteb_adapter import MtebEncoder

pairs, photos, model = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]

def metadata(name, type, category, modalities, score):
    fields = dict(
        name=name, description="", reference=None, type=type, category=category,
        modalities=modalities, eval_splits=["test"], eval_langs=["eng-Latn"], main_score=score,
        dataset={"path": "none", "revision": "1"}, date=("2020-01-01", "2020-01-02"),
        domains=[], task_subtypes=[], license="mit", annotations_creators="derived", dialects=[],
        sample_creation="found", bibtex_citation="",
    )
    # Which there are changes from one mteb to the next.
    return TaskMetadata(**{k: v for k, v in fields.items() if k in TaskMetadata.model_fields})

class Pairs(AbsTaskSTS):
    metadata = metadata("Pairs", "STS", "t2t", ["text"], "cosine_spearman")
    min_score, max_score = 0, 5

    def load_data(self, **_):
        one, other, score = zip(*pairs)
        rows = Dataset.from_dict({"sentence1": one, "sentence2": other, "score": score})
        self.dataset, self.data_loaded = DatasetDict(test=rows), True

class Photos(AbsTaskZeroShotClassification):
    metadata = metadata("Photos", "ZeroShotClassification", "i2t", ["image", "text"], "accuracy")
    input_column_name, label_column_name = "image", "label"

    def load_data(self, **_):
        rows = Dataset.from_dict({
            "image": [Image.open(path).convert("RGB") for path, _ in photos],
            "label": list(range(len(photos))),
        })
        self.dataset, self.data_loaded = DatasetDict(test=rows), True

    def get_candidate_labels(self):
        return [f"a photo of a {name}." for _, name in photos]

encoder = MtebEncoder(model)
assert isinstance(encoder, EncoderProtocol)
found = mteb.evaluate(encoder, [Pairs(), Photos()], cache=None, show_progress_bar=False)
print(json.dumps({
    "name": encoder.mteb_model_meta.name,
    "scores": {result.task_name: result.scores["test"][0] for result in found.task_results},
}))
"""


@pytest.mark.parametrize("model", ["mini", "pair"])
def test_mteb_measures_the_same(
    here: Nmm, tmp_path: Path, mini: OnnxEncoder, tiny_pair: Path, model: str
) -> None:
    """With the real package, on tasks of its own that need no network."""
    name = model if model == "mini" else str(tiny_pair)
    photos = {
        "chelsea.jpg": "cat",
        "espresso.jpg": "cup of espresso",
        "wall_clock.jpg": "wall clock",
    }
    paths = [(str(SAMPLE_DATA / "photos" / photo), called) for photo, called in photos.items()]
    done = subprocess.run(
        [sys.executable, "-c", MTEB, json.dumps(PAIRS), json.dumps(paths), name],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["name"] == f"nmm/{model}"
    ours = said(here("eval", "sts", as_tsv(tmp_path / "a.tsv"), "--model", name, "--json"))
    metrics, theirs = ours["results"][0]["metrics"], answer["scores"]["Pairs"]
    for metric in ("spearman", "pearson"):
        assert theirs[f"cosine_{metric}"] == pytest.approx(metrics[metric]["value"], abs=1e-5)
        assert theirs[metric] == pytest.approx(metrics[metric]["value"], abs=1e-5)
    if model == "mini":
        assert answer["scores"]["Photos"]["accuracy"] == 1
