"""Models as a user meets them: downloaded from a real server, used, verified, deleted.

The download is a small pair with random weights that nomic-v1.5's row describes. Its search results
are meaningless, but it is downloaded, verified, compiled and run like the real one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_server import HubServer
from pairs import write_thin_pair
from support import SAMPLE_DATA, Nmm

from nmm.index.events import FileProcessed
from nmm.index.indexing.indexer import build
from nmm.index.indexing.options import IndexOptions
from nmm.index.store.layout import IndexFolder

VISION, TEXT = "nomic-ai/nomic-embed-vision-v1.5", "nomic-ai/nomic-embed-text-v1.5"
PHOTO = SAMPLE_DATA / "photos" / "chelsea.jpg"
NOTE = SAMPLE_DATA / "notes" / "chelsea.md"
TEXT_WEIGHTS = Path("weights", "nomic-v1.5", "text", "model.safetensors")


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """The pair, as on the hub."""
    pair = write_thin_pair(tmp_path_factory.mktemp("hub") / "pair")
    return {
        repository: {file.name: file for file in (pair / tower).iterdir()}
        for repository, tower in ((VISION, "vision"), (TEXT, "text"))
    }


@pytest.fixture
def hub(repositories: dict[str, dict[str, Path]]) -> Iterator[HubServer]:
    """A hub that has the pair."""
    with HubServer({name: dict(files) for name, files in repositories.items()}) as hub:
        yield hub


@pytest.fixture(scope="module")
def pulled(
    repositories: dict[str, dict[str, Path]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A cache into which nomic-v1.5 was pulled. Tests must not change it."""
    cache = tmp_path_factory.mktemp("pulled")
    with HubServer({name: dict(files) for name, files in repositories.items()}) as hub:
        done = subprocess.run(
            [Path(sys.executable).with_name("nmm"), "models", "pull", "nomic-v1.5"],
            env={**hub.environ, "NMM_CACHE": str(cache)},
            check=False,
            capture_output=True,
            text=True,
        )
    assert (done.returncode, done.stdout) == (0, "The model nomic-v1.5 is ready.\n"), done.stderr
    return cache


@pytest.fixture
def cache(pulled: Path, tmp_path: Path) -> Path:
    """A cache with the model. Its files can be deleted and replaced, but not written to."""
    return Path(shutil.copytree(pulled, tmp_path / "cache", copy_function=os.link))


def row(nmm: Nmm, **environ: str) -> dict[str, object]:
    """Return the listed row of the default model."""
    rows = json.loads(nmm("models", "list", "--json", **environ).stdout)
    (found,) = (row for row in rows if row["name"] == "nomic-v1.5")
    return dict(found)


def has_no_model(nmm: Nmm) -> bool:
    """Return whether there is no index, or an empty one."""
    status = nmm("status", "--json")
    return status.returncode == 4 or json.loads(status.stdout)["model"] is None


def test_models_are_listed_with_their_properties(nmm: Nmm) -> None:
    rows = json.loads(nmm("models", "--json").stdout)
    names = ["nomic-v1.5", "nomic-v1", "clip-vit-b-16", "jina-clip-v1", "mini"]
    assert [row["name"] for row in rows] == names
    assert rows[0]["dimensions"] == [768, 512, 256, 128, 64]
    assert rows[0]["repositories"] == [VISION, TEXT]
    assert rows[0]["published"]["imagenet"] == 71.0
    assert (rows[4]["on_this_machine"], rows[4]["published"]) == (True, None)
    text = nmm("models").stdout
    assert text == nmm("models", "list").stdout
    assert text.startswith("nomic-v1.5 (the default): ")
    assert text.splitlines()[2] == "    published: ImageNet 71.0, Datacomp 56.8, MTEB 62.28"
    assert text.count("published") == 4  # this says nothing of the built-in model


def test_a_pulled_model_is_complete(pulled: Path, nmm: Nmm) -> None:
    here = {"NMM_CACHE": str(pulled)}
    found = row(nmm, **here)
    assert (found["on_this_machine"], found["prepared"]) == (True, True)
    folder = nmm("models", "path", "nomic-v1.5", **here).stdout.strip()
    assert sorted(p.name for p in Path(folder).iterdir()) == ["manifest.json", "text", "vision"]
    verified = nmm("models", "verify", "nomic-v1.5", **here)
    assert (verified.returncode, verified.stdout) == (0, "The model nomic-v1.5 is whole.\n")


def test_a_downloaded_model_is_not_requested_again(hub: HubServer, pulled: Path, nmm: Nmm) -> None:
    environ = {"NMM_CACHE": str(pulled), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    assert nmm("models", "pull", TEXT, **environ).returncode == 0
    assert nmm("index", NOTE, **environ).returncode == 0
    assert hub.requests == []


def test_the_first_index_announces_the_size_and_downloads_the_default_model(
    hub: HubServer, tmp_path: Path, nmm: Nmm
) -> None:
    environ = {"NMM_CACHE": str(tmp_path / "c"), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    done = nmm("index", PHOTO, NOTE, **environ)
    assert done.returncode == 0, done.stderr
    size = sum(f.stat().st_size for files in hub.repositories.values() for f in files.values())
    assert done.stderr.splitlines() == [
        f"Downloading the model nomic-v1.5, once: {size / 1e6:.0f} MB.",
        "Creating an index with the model nomic-v1.5: images and long texts in one latent space.",
        "Preparing the model nomic-v1.5 for this machine, once.",
    ]
    status = json.loads(nmm("status", "--json", **environ).stdout)
    assert (status["model"], status["dimension"], status["files"]) == ("nomic-v1.5", 768, 2)
    # A search needs no hub.
    found = json.loads(nmm("search", "a cat", "--json", NMM_CACHE=environ["NMM_CACHE"]).stdout)
    assert (found["model"], len(found["results"])) == ("nomic-v1.5", 2)


def test_without_a_hub_a_new_index_falls_back_and_says_how_to_change_it(
    tmp_path: Path, nmm: Nmm
) -> None:
    # Nothing listens on the address in conftest.py.
    environ = {"HF_HUB_OFFLINE": "0"}
    done = nmm("index", NOTE, **environ)
    assert done.returncode == 0
    said = " ".join(done.stderr.split())
    assert said.startswith("The model nomic-v1.5 is not on this machine and cannot be downloaded")
    assert "The model hub at http://127.0.0.1:9 cannot be reached." in said
    assert "refused. This index uses mini, which is built in" in said
    assert "  nmm index --model nomic-v1.5 --rebuild\n" in done.stderr
    assert json.loads(nmm("status", "--json").stdout)["model"] == "mini"
    # The index has a model now: no hub is contacted, and nothing is printed.
    again = nmm("index", NOTE, **environ)
    assert (again.returncode, again.stderr) == (0, "")


def test_a_fallback_note_names_an_index_given_by_option(tmp_path: Path, nmm: Nmm) -> None:
    mine = str(tmp_path / "my index")
    done = nmm("index", NOTE, "--index", mine, "--offline")
    assert done.returncode == 0
    assert f"  nmm index --model nomic-v1.5 --index '{mine}' --rebuild\n" in done.stderr
    assert "Network access is switched off. This index" in " ".join(done.stderr.split())


def test_a_hub_that_does_not_answer_is_given_a_few_seconds(
    hub: HubServer, tmp_path: Path, nmm: Nmm
) -> None:
    hub.fail(f"{VISION}/revision/main", silent=True)
    environ = {"NMM_CACHE": str(tmp_path / "c"), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    program = (
        "import time; from nmm.index.encoders import provision; t = time.monotonic(); "
        "print(provision.ensure_default_downloaded().name, time.monotonic() - t)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    name, seconds = done.stdout.split()
    assert name == "mini"
    assert float(seconds) < 20  # five, on an idle machine


@pytest.mark.parametrize("offline", [True, False])
def test_an_explicit_model_never_falls_back(tmp_path: Path, nmm: Nmm, offline: bool) -> None:
    flag = ["--offline"] if offline else []
    done = nmm("index", NOTE, "--model", "nomic-v1", *flag, HF_HUB_OFFLINE="0")
    assert (done.returncode, done.stdout) == (4, "")
    if offline:
        assert "nmm models pull nomic-v1\n" in done.stderr
    assert has_no_model(nmm)


@pytest.mark.parametrize("command", [("index", str(NOTE)), ("embed", "text", "a cat")])
def test_an_empty_name_is_not_the_default(nmm: Nmm, command: tuple[str, ...]) -> None:
    """An empty name can come from an unset variable. It was meant as a model, so it is an error."""
    done = nmm(*command, "--model", "")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("nmm: There is no model named ''")


def test_an_explicit_dimension_never_falls_back(nmm: Nmm) -> None:
    done = nmm("index", NOTE, "--dim", "256")
    assert (done.returncode, has_no_model(nmm)) == (4, True)
    assert "HF_HUB_OFFLINE is set" in done.stderr


def test_an_index_that_has_a_model_never_falls_back(cache: Path, nmm: Nmm) -> None:
    environ = {"NMM_CACHE": str(cache), "HF_HUB_OFFLINE": "0"}
    assert nmm("index", NOTE, **environ).returncode == 0
    shutil.rmtree(cache)
    indexing = nmm("index", NOTE, PHOTO, **environ)
    assert (indexing.returncode, indexing.stdout) == (4, "")
    assert "cannot be reached" in indexing.stderr
    searching = nmm("search", "a cat", **environ)
    assert searching.returncode == 4
    assert "Download it with: nmm models pull nomic-v1.5" in searching.stderr


def test_an_index_of_the_fallback_is_upgraded(cache: Path, nmm: Nmm) -> None:
    assert nmm("index", NOTE, PHOTO).returncode == 0
    refused = nmm("index", "--model", "nomic-v1.5", NMM_CACHE=str(cache))
    assert refused.returncode == 2
    assert "1 images and 1 texts" in refused.stderr
    done = nmm("index", "--model", "nomic-v1.5", "--rebuild", NMM_CACHE=str(cache))
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        "Rebuilding the index with the model nomic-v1.5. Until that is done, searches use mini.\n"
    )
    answer = json.loads(nmm("search", "a cat", "--json", NMM_CACHE=str(cache)).stdout)
    assert (answer["model"], len(answer["results"])) == ("nomic-v1.5", 2)


def test_an_interrupted_rebuild_is_resumed_by_the_suggested_command(
    pulled: Path, tmp_path: Path, nmm: Nmm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMM_CACHE", str(pulled))
    assert nmm("index", PHOTO, NOTE, "--model", "nomic-v1.5").returncode == 0
    stop = threading.Event()
    stopped = build(
        [],
        IndexFolder(tmp_path / "index"),
        dimension=64,
        rebuild=True,
        options=IndexOptions(batch_size=1),
        on_event=lambda event: stop.set() if isinstance(event, FileProcessed) else None,
        stop=stop,
    )
    assert stopped.interrupted
    command = "nmm index --model nomic-v1.5 --dim 64 --rebuild"
    said = nmm("index").stderr
    assert said == (
        f"A rebuild with the model nomic-v1.5 is not finished. Resume it with: {command}\n"
    )
    done = json.loads(nmm(*command.split()[1:], "--json").stdout)
    # Embedded items are not embedded again; the note, in several batches, may not have been
    # finished.
    assert (done["added"], done["unchanged"]) == (2 - stopped.added, stopped.added)


def test_shorter_vectors_are_the_first_components_and_unit_length(
    pulled: Path, tmp_path: Path, nmm: Nmm
) -> None:
    here = {"NMM_CACHE": str(pulled)}
    lines = {}
    for dimension in (768, 64):
        embedded = nmm("embed", "text", "a cat", "--dim", str(dimension), **here)
        assert embedded.returncode == 0, embedded.stderr
        lines[dimension] = np.array(json.loads(embedded.stdout)["embedding"])
    cut = lines[768][:64]
    np.testing.assert_allclose(lines[64], cut / np.linalg.norm(cut), atol=1e-6)

    done = nmm("index", PHOTO, NOTE, "--dim", "64", **here)
    assert done.returncode == 0, done.stderr
    assert json.loads(nmm("status", "--json", **here).stdout)["dimension"] == 64
    found = json.loads(nmm("search", "a cat", "--json", **here).stdout)
    assert {result["type"] for result in found["results"]} == {"image", "text"}
    # The index keeps its dimension, and accepts no other.
    assert nmm("index", PHOTO, NOTE, **here).returncode == 0
    other = nmm("index", PHOTO, NOTE, "--dim", "128", **here)
    assert other.returncode == 2
    assert "nmm index --model nomic-v1.5 --dim 128 --rebuild" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "nomic-v1.5", "--dim", "100"], "It was trained for 768, 512, 256, 128, 64."),
        (["--dim", "100"], "It was trained for 768, 512, 256, 128, 64."),
        (["--model", "nomic-v1", "--dim", "256"], "the model was not trained for shorter vectors"),
        (["--model", "mini", "--dim", "64"], "They have 384; the model was not trained"),
    ],
)
def test_a_dimension_that_a_model_does_not_have_is_wrong_usage(
    arguments: list[str], said: str, nmm: Nmm
) -> None:
    done = nmm("index", NOTE, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert has_no_model(nmm)


def test_an_interrupted_download_is_reported_and_resumed(
    hub: HubServer, pulled: Path, tmp_path: Path, nmm: Nmm
) -> None:
    environ = {"NMM_CACHE": str(tmp_path / "c"), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    hub.fail("text-v1.5/resolve/" + hub.commit(TEXT) + "/model.safetensors", status=503)
    broken = nmm("models", "pull", "nomic-v1.5", **environ)
    assert (broken.returncode, broken.stdout) == (4, "")
    assert row(nmm, **environ)["on_this_machine"] is False
    # A new index does not fall back either: the incomplete download is resumed.
    assert nmm("index", NOTE, **environ).returncode == 4
    # The download is tested here: the same weights have been compiled already.
    shutil.copytree(pulled / "models", tmp_path / "c" / "models", dirs_exist_ok=True)
    hub.faults.clear()
    before = len(hub.requests)
    done = nmm("models", "pull", "nomic-v1.5", **environ)
    assert done.returncode == 0, done.stderr
    assert "of it here already" in done.stderr
    fetched = [r.path for r in hub.requests[before:] if r.method == "GET" and r.sent]
    assert not any(VISION in path and "resolve" in path for path in fetched)


def test_ctrl_c_ends_a_download_and_keeps_the_partial_file(
    hub: HubServer, tmp_path: Path, nmm: Nmm
) -> None:
    hub.fail("model.safetensors", pace=0.001, times=1)
    environ = {**hub.environ, "NMM_CACHE": str(tmp_path / "c")}
    command = [Path(sys.executable).with_name("nmm"), "models", "pull", "nomic-v1.5"]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until = time.monotonic() + 60
        while sum(request.sent for request in hub.requests) < 1e6 and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert "Traceback" not in stderr
    part = tmp_path / "c" / "weights" / "nomic-v1.5.part"
    assert sum(f.stat().st_size for f in part.rglob("*.safetensors")) > 500_000
    assert not part.with_name("nomic-v1.5").exists()


def test_a_changed_file_is_detected(cache: Path, nmm: Nmm) -> None:
    file = cache / TEXT_WEIGHTS
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()
    file.write_bytes(content)
    done = nmm("models", "verify", "nomic-v1.5", NMM_CACHE=str(cache))
    assert done.returncode == 4
    assert "text/model.safetensors" in done.stdout
    again = "Download it again with: nmm models remove nomic-v1.5; nmm models pull nomic-v1.5"
    assert done.stdout.splitlines()[-1] == again
    as_json = nmm("models", "verify", "nomic-v1.5", "--json", NMM_CACHE=str(cache))
    assert len(json.loads(as_json.stdout)["problems"]) == 1


def test_removing_a_model_also_removes_its_compiled_form(cache: Path, nmm: Nmm) -> None:
    here = {"NMM_CACHE": str(cache)}
    done = nmm("models", "remove", "nomic-v1.5", "--json", **here)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bytes"] > 40_000_000
    assert not [p for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert (row(nmm, **here)["on_this_machine"], row(nmm, **here)["prepared"]) == (False, False)
    for command in ("path", "verify"):
        refused = nmm("models", command, "nomic-v1.5", **here)
        assert refused.returncode == 4
        assert "nmm models pull nomic-v1.5" in refused.stderr
    again = nmm("models", "remove", "nomic-v1.5", **here)
    assert again.stdout == "Nothing of the model nomic-v1.5 is on this machine.\n"


def test_weights_that_do_not_fit_the_definition_are_refused(
    hub: HubServer, tmp_path: Path, nmm: Nmm
) -> None:
    """A hub may serve anything: weights that do not fit the definition are not run."""
    config = json.loads(Path(str(hub.repositories[TEXT]["config.json"])).read_text("utf-8"))
    hub.repositories[TEXT]["config.json"] = json.dumps({**config, "n_layer": 2}).encode()
    environ = {"NMM_CACHE": str(tmp_path / "c"), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    done = nmm("models", "pull", "nomic-v1.5", **environ)
    assert done.returncode == 4
    assert "encoder.layers.1.attn.Wqkv.weight is missing" in done.stderr


@pytest.mark.parametrize("command", [("index", str(NOTE)), ("embed", "text", "a cat")])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--device", "mps"), "PyTorch finds no mps device on this machine."),
        (
            ("--model", "jina-clip-v1", "--precision", "int8"),
            "The model jina-clip-v1 runs in fp32 only.",
        ),
        (
            ("--model", "jina-clip-v1", "--device", "cuda"),
            "The model jina-clip-v1 runs on the CPU only.",
        ),
    ],
)
@pytest.mark.skipif(sys.platform == "darwin", reason="there may be an MPS device")
def test_an_unsupported_device_is_reported_before_a_download(
    hub: HubServer,
    tmp_path: Path,
    nmm: Nmm,
    command: tuple[str, ...],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    environ = {"NMM_CACHE": str(tmp_path / "c"), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    done = nmm(*command, *arguments, **environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == f"nmm: {said}"
    assert hub.requests == []
