"""`nmm eval zero-shot`: images are classified by class names, and the metrics are right."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import NAMES
from support import SAMPLE_DATA, Nmm

from nmm.index.analysis.classification.zero_shot import (
    CLIP_7,
    CLIP_80,
    SINGLE_TEMPLATE,
    embed_classes,
)
from nmm.index.analysis.clustering.imagenet import imagenet_names
from nmm.index.embed import open_encoder, vectors_of_images
from nmm.index.encoders.base import Task
from nmm.index.encoders.resolve import model_in_folder
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import UsageError
from nmm.index.evaluation.labelled_folders import find_labelled_images

PHOTOS = SAMPLE_DATA / "photos"
CLASSES = {
    "cat": ["chelsea.jpg", "photographer.jpg"],  # the second is wrong on purpose
    "espresso": ["espresso.jpg"],
    "wall_clock": ["wall_clock.jpg"],
    "rocket": ["launch.jpg"],
    "brick wall": ["bricks.jpg"],  # mini classifies this one wrongly
    "horse": ["horse_silhouette.jpg"],
}


@pytest.fixture
def folder(tmp_path: Path, mini: OnnxEncoder) -> Path:
    """Photos in folders named after their classes."""
    del mini  # it is prepared
    for name, photos in CLASSES.items():
        (tmp_path / "classes" / name).mkdir(parents=True)
        for photo in photos:
            shutil.copy(PHOTOS / photo, tmp_path / "classes" / name / photo)
    return tmp_path / "classes"


def said(done: subprocess.CompletedProcess[str], status: int = 0) -> dict[str, Any]:
    assert done.returncode == status, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# The classifier


def test_the_templates_are_clips() -> None:
    assert len(set(CLIP_80)) == len(CLIP_80) == 80
    assert set(CLIP_7) | set(SINGLE_TEMPLATE) < set(CLIP_80)
    # From the list in CLIP's notebook, sorted.
    digest = hashlib.sha256("\n".join(sorted(CLIP_80)).encode()).hexdigest()
    assert digest == "a8a4822f2921936e2ef07cf2e7a5df69be9532aab2f3f4880156bb03563e2467"


def test_a_class_is_the_mean_of_its_sentences(mini: OnnxEncoder) -> None:
    names = ["cat", "a {} in braces %s", "cat", "日本"]
    found = embed_classes(mini, names, CLIP_7)
    assert found.shape == (4, 384)
    assert found.dtype == np.float32
    for name, vector in zip(names, found, strict=True):
        alone = [
            mini.embed_texts([template.replace("{}", name)], Task.QUERY)[0] for template in CLIP_7
        ]
        mean = np.mean(alone, axis=0)
        assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    assert (found[0] == found[2]).all()
    assert embed_classes(mini, [], CLIP_7).shape == (0, 384)


def test_names_are_embedded_in_blocks(mini: OnnxEncoder) -> None:
    done: list[int] = []
    embed_classes(mini, ["cat", "dog", "cat", "owl"], CLIP_7, on_embedded=done.append)
    assert sum(done) == 3
    names = [f"thing number {number}" for number in range(300)]
    together = embed_classes(mini, names, CLIP_7, on_embedded=done.append)
    assert done[1:] == [146, 146, 8]
    assert together[[0, 299]] == pytest.approx(
        embed_classes(mini, [names[0], names[299]], CLIP_7), abs=1e-5
    )


def test_the_task_decides_the_prefix(tiny_pair: Path) -> None:
    encoder = open_encoder(model_in_folder(tiny_pair))
    [as_query] = embed_classes(encoder, ["cat"], SINGLE_TEMPLATE)
    [as_class] = embed_classes(encoder, ["cat"], SINGLE_TEMPLATE, Task.CLASSIFICATION)
    prompts = ["search_query: a photo of a cat.", "classification: a photo of a cat."]
    assert np.stack([as_query, as_class]) == pytest.approx(encoder.embed_prompts(prompts), abs=1e-5)
    assert abs(as_query - as_class).max() > 1e-3


def test_a_template_needs_a_place_for_the_name(mini: OnnxEncoder) -> None:
    with pytest.raises(UsageError, match="for the name of the class"):
        embed_classes(mini, ["cat"], ["a photo of a {}.", "a photo"])
    with pytest.raises(UsageError, match="There is no template"):
        embed_classes(mini, ["cat"], [])


# The command


def test_each_image_has_the_class_whose_vector_is_nearest(
    here: Nmm, folder: Path, mini: OnnxEncoder
) -> None:
    answer = said(here("eval", "zero-shot", folder, "--model", "mini", "--json"))
    classes = sorted(CLASSES)
    vectors = embed_classes(mini, [name.replace("_", " ") for name in classes], CLIP_7)
    right, five = [], []
    confusion: dict[tuple[str, str], int] = {}
    for name, photos in CLASSES.items():
        for photo in photos:
            [vector], _ = vectors_of_images(mini, [PHOTOS / photo])
            order = [classes[place] for place in np.argsort(-(vectors @ vector))]
            right.append(order[0] == name)
            five.append(name in order[:5])
            confusion[name, order[0]] = confusion.get((name, order[0]), 0) + 1
    [result] = answer["results"]
    assert result["metrics"]["top1"]["value"] == pytest.approx(np.mean(right))
    assert result["metrics"]["top5"]["value"] == pytest.approx(np.mean(five))
    # mini's answers are known, so that the models can be distinguished from chance.
    assert sum(right) == 5
    told = {(one["class"], one["predicted"]): one["images"] for one in result["confusion"]}
    assert told == confusion
    by_class = {one["class"]: one for one in result["classes"]}
    assert by_class["wall_clock"]["called"] == "wall clock"
    assert [by_class["cat"][name] for name in ("images", "top1")] == [2, 0.5]
    assert answer["templates"] == list(CLIP_7)
    assert answer["images"] == 7
    rows = list(
        csv.DictReader(
            here("eval", "zero-shot", folder, "--model", "mini", "--csv").stdout.splitlines()
        )
    )
    assert {(row["class"], row["predicted"]): int(row["images"]) for row in rows} == confusion
    assert {row["name"] for row in rows} == {"mini"}


def test_the_table_shows_the_worst_classes_and_what_is_confused(here: Nmm, folder: Path) -> None:
    done = here("eval", "zero-shot", folder, "--model", "mini", "--template", "a photo of a {}.")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "7 images of 6 classes, 1 template"
    assert lines[2].split() == ["top-1", "top-5"]
    assert lines[3].split()[:2] == ["mini", "0.714"]
    at = lines.index("  top-1  images  class")
    assert lines[at + 1 : at + 3] == ["  0.000       1  brick wall", "  0.500       2  cat"]
    assert "  1.000       1  wall clock (wall_clock)" in lines
    assert any(line.startswith("              1  cat: ") for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_bad_images_are_named_and_counted(here: Nmm, folder: Path) -> None:
    (folder / "cat" / "cut.jpg").write_bytes((PHOTOS / "chelsea.jpg").read_bytes()[:200])
    (folder / "cat" / "words.png").write_text("no picture", "utf-8")
    (folder / "cat" / "readme.txt").write_text("nor this", "utf-8")
    (folder / "horse" / "\x1b[2J\n.jpg").write_bytes(b"")
    shutil.copy(PHOTOS / "lawn.jpg", folder / "lawn.jpg")
    (folder / "empty").mkdir()
    done = here("eval", "zero-shot", folder, "--model", "mini")
    assert done.returncode == 3
    assert "3 of 10 images skipped." in done.stderr
    assert "1 images are in no class" in done.stderr
    assert f"skipped {folder / 'cat' / 'words.png'}: " in done.stderr
    assert "\\x1b[2J\\n.jpg" in done.stderr
    assert "readme" not in done.stderr
    assert done.stdout.startswith("7 images of 6 classes")
    answer = said(here("eval", "zero-shot", folder, "--model", "mini", "--json", "-q"), 3)
    assert {Path(one["path"]).name for one in answer["skipped"]} == {
        "cut.jpg",
        "words.png",
        "\x1b[2J\n.jpg",
    }
    assert all(one["reason"] for one in answer["skipped"])


def test_no_image_at_all_is_an_error(here: Nmm, tmp_path: Path, mini: OnnxEncoder) -> None:
    for name in ("a", "b"):
        (tmp_path / "bad" / name).mkdir(parents=True)
        (tmp_path / "bad" / name / "x.jpg").write_bytes(b"")
    done = here("eval", "zero-shot", tmp_path / "bad", "--model", "mini")
    assert done.returncode == 2
    assert "None of the 2 images" in done.stderr


def test_classes_of_imagenets_ids_are_called_by_its_names(
    here: Nmm, tmp_path: Path, mini: OnnxEncoder
) -> None:
    """Its ids, its names and CLIP's 80 templates, without an option."""
    for name, photo in {
        "n02123045": "chelsea.jpg",
        "n07920052": "espresso.jpg",
        "n04548280": "wall_clock.jpg",
    }.items():
        (tmp_path / "imagenet" / name / "deeper").mkdir(parents=True)
        shutil.copy(PHOTOS / photo, tmp_path / "imagenet" / name / "deeper")
    answer = said(here("eval", "zero-shot", tmp_path / "imagenet", "--model", "mini", "--json"))
    [result] = answer["results"]
    assert [one["called"] for one in result["classes"]] == ["tabby cat", "wall clock", "espresso"]
    assert result["metrics"]["top1"]["value"] == 1
    assert answer["imagenet"]
    assert set(answer["templates"]) == set(CLIP_80)
    plain = here(
        "eval", "zero-shot", tmp_path / "imagenet", "--model", "mini", "--json", "--templates", "1"
    )
    assert said(plain)["templates"] == ["a photo of a {}."]


def test_imagenet_has_a_thousand_names() -> None:
    names = imagenet_names()
    assert len(names) == 1000
    # As in CLIP's list.
    assert names["n01440764"] == "tench"
    assert names["n03126707"] == "construction crane"
    assert names["n15075141"] == "toilet paper"


def test_validation_images_in_one_folder_are_told_by_their_names(tmp_path: Path) -> None:
    """In the layout of ImageNet's archive."""
    for number in (1, 2, 3):
        shutil.copy(PHOTOS / "lawn.jpg", tmp_path / f"ILSVRC2012_val_{number:08}.JPEG")
    shutil.copy(PHOTOS / "lawn.jpg", tmp_path)
    found = find_labelled_images(tmp_path)
    # From the ground truth of the challenge.
    told = {Path(path).name[-6]: found.names[place] for path, place in found.images}
    assert told == {"1": "sea snake", "2": "mountain", "3": "Shetland Sheepdog"}
    assert found.is_imagenet
    assert found.unlabelled == 1


def test_classes_of_one_name_are_told_apart_by_chance(
    here: Nmm, folder: Path, tmp_path: Path
) -> None:
    names = tmp_path / "names.tsv"
    names.write_text("rocket\tespresso\ncat\ta small cat\n", "utf-8")
    command = ("eval", "zero-shot", folder, "--model", "mini", "--json", "--names", names)
    [result] = said(here(*command))["results"]
    by_class = {one["class"]: one for one in result["classes"]}
    assert by_class["cat"]["called"] == "a small cat"
    assert by_class["rocket"]["called"] == by_class["espresso"]["called"] == "espresso"
    # The image shows an espresso, and two classes have that name.
    assert by_class["espresso"]["top1"] == 0.5
    assert by_class["espresso"]["top5"] == 1
    assert {"class": "espresso", "predicted": "espresso", "images": 1} in result["confusion"]
    # With all six classes, one in six is right, whatever the image shows.
    names.write_text("".join(f"{name}\tthing\n" for name in CLASSES), "utf-8")
    [result] = said(here(*command))["results"]
    assert result["metrics"]["top1"]["value"] == pytest.approx(1 / 6)
    assert result["metrics"]["top5"]["value"] == pytest.approx(5 / 6)
    names.write_text("dog\ta dog\n", "utf-8")
    unknown = here(*command)
    assert unknown.returncode == 2
    assert "There is no class 'dog'" in unknown.stderr


def test_models_are_compared_on_the_images_that_all_can_read(
    here: Nmm, folder: Path, tiny_pair: Path
) -> None:
    pair = tiny_pair
    (folder / "cat" / "cut.jpg").write_bytes(b"")
    command = ("eval", "zero-shot", folder, "--model", "mini", "--model", pair)
    done = here(*command, "--json")
    answer = said(done, 3)
    assert done.stderr.count("cut.jpg") == 1
    mine, other = (one["metrics"]["top1"]["value"] for one in answer["results"])
    [difference] = answer["differences"]
    assert difference["metrics"]["top1"]["value"] == pytest.approx(other - mine)
    assert "pair minus mini\n" in here(*command).stdout
    gate = here(*command, "--json", "-q", "--fail-under", "top-1=0.5")
    assert [one["name"] for one in said(gate, 1)["below"]] == [str(pair)]


def test_hostile_names_of_classes_and_images(here: Nmm, tmp_path: Path, mini: OnnxEncoder) -> None:
    for name in NAMES:
        (tmp_path / "hostile" / name).mkdir(parents=True)
        shutil.copy(PHOTOS / "chelsea.jpg", tmp_path / "hostile" / name / name)
    done = here("eval", "zero-shot", tmp_path / "hostile", "--model", "mini", "--templates", "1")
    assert done.returncode == 0, done.stderr
    assert all(line.isprintable() for line in done.stdout.splitlines())
    answer = said(
        here(
            "eval",
            "zero-shot",
            tmp_path / "hostile",
            "--model",
            "mini",
            "--templates",
            "1",
            "--json",
        )
    )
    folders = {one["class"] for one in answer["results"][0]["classes"]}
    assert folders == set(NAMES)


def test_errors_say_what_to_do(here: Nmm, folder: Path, tmp_path: Path) -> None:
    for arguments, what in (
        ([tmp_path / "none"], "is not a folder"),
        ([PHOTOS / "chelsea.jpg"], "is not a folder"),
        ([PHOTOS], "holds fewer than two classes"),
        ([folder, "--template", "photo"], "has no {} for the name of the class"),
        ([folder, "--template", "a {}", "--templates", "7"], "exclude each other"),
        ([folder, "--fail-under", "top2=1"], "The figures are: top1, top5."),
    ):
        done = here("eval", "zero-shot", *arguments, "--model", "mini")
        assert done.returncode == 2
        assert what in done.stderr
    done = here("eval", "zero-shot", folder, "--model", "nonesuch")
    assert done.returncode == 4
