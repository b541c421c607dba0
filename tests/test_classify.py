"""Zero-shot classification: known answers on the sample data, its prompts, and the command."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from support import SAMPLE_DATA, Nmm

from nmm.index.analysis.classification.classifier import (
    TEXT_TEMPLATES,
    Classification,
    classify,
    embed_labels,
)
from nmm.index.analysis.classification.labels import NONE_LABEL, Label, check_labels, parse_labels
from nmm.index.analysis.classification.zero_shot import CLIP_7
from nmm.index.analysis.collection import FileCollection, open_collection
from nmm.index.encoders.base import Encoder, Task
from nmm.index.encoders.registry import MINI, MODELS, NOMIC_V1_5
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import UsageError
from nmm.index.indexing.indexer import build
from nmm.index.store.layout import IndexFolder

THINGS = ("cat", "horse", "rocket", "clock", "coffee")
PHOTOS = {
    "photos/chelsea.jpg": "cat",
    "photos/horse_silhouette.jpg": "horse",
    "photos/launch.jpg": "rocket",
    "photos/wall_clock.jpg": "clock",
    "photos/espresso.jpg": "coffee",
}
WRITINGS = {
    "recipes/country_bread.html": "recipe",
    "recipes/lentil_soup.txt": "recipe",
    "recipes/espresso.md": "recipe",
    "poems/haiku_four_seasons.txt": "poem",
    "poems/winter_harbour.txt": "poem",
    "notes/meeting_repair_cafe.md": "minutes of a meeting",
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory, mini: OnnxEncoder) -> IndexFolder:
    """An index of the sample data. Read-only."""
    del mini  # it is prepared
    folder = IndexFolder(tmp_path_factory.mktemp("classify") / "index")
    build([SAMPLE_DATA], folder, model="mini")
    return folder


@pytest.fixture
def collection(samples: IndexFolder) -> Iterator[FileCollection]:
    with open_collection(samples) as opened:
        yield opened


def labels(*names: str) -> list[Label]:
    return [Label(name) for name in names]


def answers(found: Classification) -> dict[str, str]:
    return {
        Path(item.path).relative_to(SAMPLE_DATA.resolve()).as_posix(): found.labels[best]
        for item, best in zip(found.files, found.best.tolist(), strict=True)
    }


# Known answers


def test_photos_get_the_right_labels(collection: FileCollection) -> None:
    found = answers(classify(collection, labels(*THINGS)))
    assert {path: found[path] for path in PHOTOS} == PHOTOS


def test_texts_get_the_right_labels(collection: FileCollection) -> None:
    found = answers(classify(collection, labels("recipe", "poem", "minutes of a meeting")))
    assert {path: found[path] for path in WRITINGS} == WRITINGS


def test_scores_are_probabilities(collection: FileCollection) -> None:
    found = classify(collection, labels(*THINGS), none=True)
    assert found.labels == (*THINGS, NONE_LABEL)
    assert found.scores.shape == (len(collection.files), len(THINGS) + 1)
    np.testing.assert_allclose(found.scores.sum(axis=1), 1, rtol=1e-5)
    assert found.scores.min() >= 0


def test_a_score_is_the_softmax_of_cosines_by_the_models_temperature(
    collection: FileCollection,
) -> None:
    found = classify(collection, labels("cat", "dog"), templates=["{}"])
    place = next(n for n, item in enumerate(collection.files) if item.path.endswith("chelsea.jpg"))
    names = collection.encoder.embed_texts(["cat", "dog"], Task.QUERY)
    logits = names @ collection.file_vectors[place] / MINI.temperature.image
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(found.scores[place], expected, rtol=1e-4)


# None


def test_files_that_no_label_fits_are_labelled_none(collection: FileCollection) -> None:
    found = answers(classify(collection, labels("cat"), none=True))
    assert found["photos/chelsea.jpg"] == found["notes/chelsea.md"] == "cat"
    others = {path for path, label in found.items() if label == NONE_LABEL}
    assert len(others) >= 0.75 * len(found)
    assert {"photos/espresso.jpg", "recipes/lentil_soup.txt", "code/moon_phase.py"} <= others


def test_none_lowers_all_labels_equally(collection: FileCollection) -> None:
    plain, with_none = (classify(collection, labels(*THINGS), none=none) for none in (False, True))
    rest = with_none.scores[:, :-1]
    np.testing.assert_allclose(
        rest / rest.sum(axis=1, keepdims=True), plain.scores, rtol=1e-3, atol=1e-6
    )


def test_unrelated_labels_are_mostly_rejected(collection: FileCollection) -> None:
    away = labels("treaty of Westphalia", "asphalt tariff", "quantum chromodynamics")
    found = classify(collection, away, none=True)
    refused = float(np.mean(found.best == len(away)))
    assert refused >= 0.6
    assert classify(collection, labels(*THINGS), none=True).scores[:, -1].min() < 0.1


def test_none_does_not_depend_on_the_selected_files(samples: IndexFolder) -> None:
    """Files in a folder of recipes are still compared with the whole index."""
    from nmm.index.search.filters import Filters

    asked = labels("recipe", "poem")
    with open_collection(samples, ["text"]) as every:
        whole = classify(every, asked, none=True)
    with open_collection(samples, ["text"], Filters(path_globs=("recipes",))) as few:
        part = classify(few, asked, none=True)
    assert len(part.files) == 3
    by_path = {item.path: row for item, row in zip(whole.files, whole.scores, strict=True)}
    for item, row in zip(part.files, part.scores, strict=True):
        np.testing.assert_allclose(row, by_path[item.path], rtol=1e-4)


# Prompts for labels


class Listening:
    """An encoder that records the texts it embeds."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.asked: list[tuple[list[str], Task]] = []

    def embed_texts(self, texts: list[str], task: Task) -> NDArray[np.float32]:
        before = sum(len(some) for some, _ in self.asked)
        self.asked.append((list(texts), task))
        return np.eye(len(texts), self.model.dimension, before, dtype=np.float32)


def test_labels_for_images_are_queries_and_for_texts_classifications() -> None:
    encoder = Listening(NOMIC_V1_5)
    for kind in ("image", "text"):
        embed_labels(cast("Encoder", encoder), labels("cat"), kind)  # type: ignore[arg-type]
    assert encoder.asked == [
        ([form.replace("{}", "cat") for form in CLIP_7], Task.QUERY),
        ([form.replace("{}", "cat") for form in TEXT_TEMPLATES], Task.CLASSIFICATION),
    ]


def test_names_are_not_put_into_captions_for_a_model_that_never_met_one() -> None:
    encoder = Listening(MINI)
    embed_labels(cast("Encoder", encoder), labels("cat"), "image")
    embed_labels(cast("Encoder", encoder), labels("cat"), "image", ["a {}, a {}!"])
    assert [texts for texts, _ in encoder.asked] == [["cat"], ["a cat, a cat!"]]


def test_a_description_counts_as_much_as_the_name_in_all_templates() -> None:
    encoder = Listening(MINI)
    asked = [Label("cat", ("purrs",)), Label("dog")]
    vectors = embed_labels(cast("Encoder", encoder), asked, "image", ["{}", "a {}"])
    assert [texts for texts, _ in encoder.asked] == [["cat", "a cat", "dog", "a dog"], ["purrs"]]
    name = np.sqrt(0.5)
    cat = np.array([name, name, 0, 0, 1]) / np.sqrt(2)
    dog = np.array([0, 0, name, name, 0])
    np.testing.assert_allclose(vectors[:, :5], [cat, dog], atol=1e-6)
    np.testing.assert_allclose(vectors[:, 5:], 0)


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_every_model_has_temperatures(model: Any) -> None:
    assert 0.005 <= model.temperature.text <= 0.2
    assert 0.005 <= model.temperature.image <= 0.2
    assert replace(model).temperature == model.temperature


# Labels


def test_labels_are_read_line_by_line() -> None:
    text = (
        "# of the kitchen\n\ncat\n  soup : \nred wine: a bottle; a glass of wine ;\n"
        "10:30\nAlien: Covenant: a film\ncafe\u0301\n"
    )
    assert parse_labels(text) == [
        Label("cat"),
        Label("soup"),
        Label("red wine", ("a bottle", "a glass of wine")),
        Label("10:30"),
        Label("Alien", ("Covenant: a film",)),
        Label("caf\u00e9"),
    ]


@pytest.mark.parametrize(
    ("names", "none", "said"),
    [
        ([], False, "There are no labels."),
        (["cat"], False, "nothing to choose from"),
        (["cat", "Cat"], False, "'Cat' is given twice"),
        (["cat", "None"], True, "is reserved for files that no label fits"),
        (["cat", ""], False, "A label has no name."),
        (["cat", "d\0g"], False, "A label has no name."),
    ],
)
def test_invalid_sets_of_labels_are_refused(names: list[str], none: bool, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_labels(labels(*names), none=none)


def test_a_template_without_a_place_is_refused(collection: FileCollection) -> None:
    with pytest.raises(UsageError, match="for the name of the class"):
        classify(collection, labels("cat", "dog"), templates=["a photo"])


# The command


def test_the_command_prints_a_table_by_label(indexed: tuple[Nmm, Path]) -> None:
    nmm, samples = indexed
    among = ["--in", "photos", "--type", "image", "--only", "coffee", "--min-score", "0.9"]
    done = nmm("classify", "--labels", "cat, coffee", "--labels", "clock", *among, cwd=samples)
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["score", "label", "file"]
    assert [row.split()[1:] for row in rows] == [["coffee", "photos/espresso.jpg"]]
    assert (done.returncode, done.stderr) == (0, "1 file: 1 coffee.\n")


def test_the_command_prints_forms_for_scripts(indexed: tuple[Nmm, Path]) -> None:
    nmm, samples = indexed
    asked = ["classify", "--labels", ",".join(THINGS), "--type", "image", "--quiet"]
    printed = {form: nmm(*asked, form) for form in ("--json", "--jsonl", "--csv", "--paths", "-0")}
    assert {(done.returncode, done.stderr) for done in printed.values()} == {(0, "")}
    found = json.loads(printed["--json"].stdout)
    results = found.pop("results")
    assert found == {"version": 1}
    assert [json.loads(line) for line in printed["--jsonl"].stdout.splitlines()] == results
    for result in results:
        assert list(result) == ["path", "label", "score", "scores"]
        assert list(result["scores"]) == list(THINGS)
        assert (
            result["score"] == max(result["scores"].values()) == result["scores"][result["label"]]
        )
    by_path = {result["path"]: result["label"] for result in results}
    root = samples.resolve()
    assert {path: by_path[str(root / path)] for path in PHOTOS} == PHOTOS
    paths = [result["path"] for result in results]
    assert printed["--paths"].stdout == "".join(f"{path}\n" for path in paths)
    assert printed["-0"].stdout == "".join(f"{path}\0" for path in paths)
    table = list(csv.reader(io.StringIO(printed["--csv"].stdout)))
    assert table[0] == ["path", "label", "score", *THINGS]
    assert [row[:2] for row in table[1:]] == [[r["path"], r["label"]] for r in results]
    assert [float(row[3]) for row in table[1:]] == [r["scores"]["cat"] for r in results]


def test_labels_come_from_a_file_or_standard_input(
    indexed: tuple[Nmm, Path], tmp_path: Path
) -> None:
    nmm, _ = indexed
    text = "\ufeffcat: it purrs; whiskers\ncoffee\n"
    file = tmp_path / "labels.txt"
    file.write_text(text, "utf-8")
    asked = ["classify", "--type", "image", "--json", "-q"]
    done = nmm(*asked, "--labels-file", file)
    assert {r["label"] for r in json.loads(done.stdout)["results"]} == {"cat", "coffee"}
    assert nmm(*asked, "--labels-file", "-", stdin=text).stdout == done.stdout
    plain = nmm(*asked, "--labels", "cat,coffee")
    assert plain.stdout != done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nmm: There are no labels.\n"),
        (["--labels", "a"], "nmm: 'a' is the only label, so there is nothing to choose from.\n"),
        (
            ["--labels", "a,b", "--only", "c"],
            "nmm: 'c' is not one of the labels.\nThe labels are: a, b.\n",
        ),
        (["--labels", "a,b", "--json", "-0"], "nmm: Only one output format can be chosen.\n"),
        (["--labels", "a,b", "--yes"], "nmm: --yes needs --move-to or --link-to.\n"),
        (["--labels-file", "nowhere"], "nmm: nowhere cannot be read.\n"),
        (
            ["--labels", "a,b", "--undo", "x"],
            "nmm: --undo cannot be combined with other options.\n",
        ),
        (
            ["--labels", "a,b", "--move-to", "x", "--link-to", "y"],
            "nmm: --move-to and --link-to exclude each other.\n",
        ),
    ],
)
def test_invalid_options_are_reported(
    indexed: tuple[Nmm, Path], options: list[str], said: str
) -> None:
    nmm, _ = indexed
    done = nmm("classify", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)


def test_filters_that_exclude_everything_are_reported(indexed: tuple[Nmm, Path]) -> None:
    nmm, _ = indexed
    done = nmm("classify", "--labels", "a,b", "--ext", "exe", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (1, {"version": 1, "results": []})
    assert done.stderr.startswith("No file passes --ext exe (31 files without it).\n")
    done = nmm("classify", "--labels", "a,b", "--ext", "exe")
    assert (done.returncode, done.stdout) == (1, "")


def test_an_index_with_one_file_and_one_without(nmm: Nmm, tmp_path: Path) -> None:
    done = nmm("classify", "--labels", "cat,dog")
    assert done.returncode == 4
    assert done.stderr.startswith("nmm: There is no index in ")
    only = tmp_path / "one"
    only.mkdir()
    shutil.copy(SAMPLE_DATA / "photos" / "chelsea.jpg", only / "a\n\x1b[31m\u202e.jpg")
    assert nmm("index", only, "--model", "mini").returncode == 0
    done = nmm("classify", "--labels", "cat,dog", "--none", cwd=only)
    assert done.stdout.splitlines()[1].split()[1:] == ["cat", "a\\n\\x1b[31m\\u202e.jpg"]
    (result,) = json.loads(nmm("classify", "--labels", "c\x1b,d", "--json").stdout)["results"]
    assert Path(result["path"]).name == "a\n\x1b[31m\u202e.jpg"
    done = nmm("classify", "--labels", "cat\x1b[2J,d", "--paths", "-q")
    assert done.stdout == f"{result['path']}\n"
    assert "\x1b" not in nmm("classify", "--labels", "cat\x1b[2J,cat\x1b[3J").stdout
