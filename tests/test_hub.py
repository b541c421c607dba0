"""Downloads from a hub, with the real client and over real HTTP."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer
from tiny_hub import TEXT, TINY, point_client_at, tiny_repositories

from nmm.cli.console.hints import lines_of
from nmm.index.encoders.base import Source
from nmm.index.encoders.hub import download as download_module
from nmm.index.encoders.hub.cache_dirs import weights_folder
from nmm.index.encoders.hub.client import run_with_timeout
from nmm.index.encoders.hub.manifest import partial_folder
from nmm.index.encoders.hub.repository import DownloadPlan, download_model, query_hub
from nmm.index.encoders.hub.weights import is_on_this_machine, manifest_of
from nmm.index.encoders.registry import MINI
from nmm.index.errors import HubError, StoppedError, UnreachableError, UsageError

CLIENT = [sys.executable, str(Path(__file__).with_name("tiny_hub.py"))]
SIZE = 300_031
LOGIN_PAGE = "What answers there is not a model hub: the network's login page, perhaps."
EXPECTED = {
    f"{name.partition('/')[2]}/{file}": content
    for name, files in tiny_repositories().items()
    for file, content in files.items()
    if file != "README.md"
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with the tiny model, which this process's client uses; and an empty cache."""
    monkeypatch.setenv("NMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download_module, "RETRY_DELAY", 0.01)
    with HubServer(dict(tiny_repositories())) as server:
        point_client_at(server.url, monkeypatch)
        yield server


def pull(hub: HubServer, command: Sequence[str] = CLIENT, **environ: str) -> subprocess.Popen[str]:
    """Download the tiny model in another process, which prints its folder or its error."""
    return subprocess.Popen(
        command,
        env={**hub.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen[str]) -> Any:
    """Return the stdout of a process, and check that its stderr is empty."""
    said, complaint = process.communicate(timeout=60)
    assert complaint == ""
    return json.loads(said)


def content(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder except the manifest, by relative path."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "manifest.json"
    }


def vision_weights(hub: HubServer) -> str:
    """Return the end of the path of the first file downloaded."""
    return f"/vision/resolve/{hub.commit('tiny/vision')}/model.safetensors"


def test_the_files_to_download(hub: HubServer) -> None:
    found = query_hub(TINY)
    assert [(f.repository, f.path, f.local, f.size, len(f.etag)) for f in found.files] == [
        ("tiny/vision", "model.safetensors", "vision/model.safetensors", 200_000, 64),
        ("tiny/vision", "config.json", "vision/config.json", 13, 40),
        ("tiny/text", "model.safetensors", "text/model.safetensors", 100_000, 64),
        ("tiny/text", "tokenizer.json", "text/tokenizer.json", 18, 40),
    ]
    assert found.revisions == {name: hub.commit(name) for name in ("tiny/vision", "tiny/text")}
    assert (found.size, found.missing()) == (SIZE, SIZE)


def test_a_download_is_complete_and_has_a_manifest(
    hub: HubServer, capfd: pytest.CaptureFixture[str]
) -> None:
    progress: list[int] = []
    found = query_hub(TINY)
    folder = download_model(found, on_progress=progress.append)
    assert folder == weights_folder(TINY)
    assert content(folder) == EXPECTED
    assert manifest_of(TINY) == {
        "model": "tiny-1.5",
        "sources": [
            {"repository": name, "revision": "main", "commit": hub.commit(name)}
            for name in ("tiny/vision", "tiny/text")
        ],
        "files": {
            file.local: {
                "size": file.size,
                "etag": file.etag,
                "sha256": hashlib.sha256(EXPECTED[file.local]).hexdigest(),
            }
            for file in found.files
        },
    }
    assert (progress[0], progress[-1], sorted(progress)) == (0, SIZE, progress)
    assert (found.missing(), is_on_this_machine(TINY)) == (0, True)
    assert not partial_folder(folder).exists()
    assert capfd.readouterr() == ("", "")


def test_only_needed_files_are_requested(hub: HubServer) -> None:
    download_model(query_hub(TINY))
    vision, text = hub.commit("tiny/vision"), hub.commit("tiny/text")
    assert {request.path for request in hub.requests} == {
        "/api/models/tiny/vision/revision/main",
        "/api/models/tiny/text/revision/main",
        f"/tiny/vision/resolve/{vision}/model.safetensors",
        f"/tiny/vision/resolve/{vision}/config.json",
        f"/tiny/text/resolve/{text}/model.safetensors",
        f"/tiny/text/resolve/{text}/tokenizer.json",
    }
    assert not any("torch" in request.headers["User-Agent"] for request in hub.requests)


def test_complete_files_are_not_downloaded_again(hub: HubServer) -> None:
    download_model(query_hub(TINY))
    hub.requests.clear()
    progress: list[int] = []
    download_model(query_hub(TINY), on_progress=progress.append)
    assert [request.path.split("/")[1] for request in hub.requests] == ["api", "api"]
    assert progress == []


def test_new_weights_replace_the_old_ones(hub: HubServer) -> None:
    download_model(query_hub(TINY))
    hub.repositories["tiny/text"] = {**hub.repositories["tiny/text"], "tokenizer.json": b"[]"}
    folder = download_model(query_hub(TINY))
    assert content(folder) == {**EXPECTED, "text/tokenizer.json": b"[]"}


def test_a_download_resumes_after_a_lost_connection(hub: HubServer) -> None:
    hub.fail("model.safetensors", cut=60_000, times=2)
    assert content(download_model(query_hub(TINY))) == EXPECTED
    assert [(r.range, r.sent) for r in hub.asked(vision_weights(hub))] == [
        (None, 60_000),
        ("bytes=60000-", 60_000),
        ("bytes=120000-", 80_000),
    ]


def break_off(hub: HubServer, found: DownloadPlan) -> HubError:
    """Download 60,000 bytes of the first file, then break off."""
    hub.fail("model.safetensors", cut=60_000, times=1)
    hub.fail("model.safetensors", status=503)
    with pytest.raises(HubError) as raised:
        download_model(found)
    hub.faults.clear()
    hub.requests.clear()
    return raised.value


def test_an_interrupted_download_is_an_error_with_its_progress(hub: HubServer) -> None:
    found = query_hub(TINY)
    error = break_off(hub, found)
    assert (type(error), str(error).splitlines()) == (
        HubError,
        [
            "The download of the model tiny-1.5 was interrupted: 0.1 MB of 0.3 MB have arrived.",
            f"The model hub at {hub.url} cannot be reached. It answered: 503 Service Unavailable.",
            "Another attempt resumes it.",
        ],
    )
    assert (found.missing(), is_on_this_machine(TINY)) == (SIZE - 60_000, False)
    assert not weights_folder(TINY).exists()


def test_an_interrupted_download_is_resumed(hub: HubServer) -> None:
    break_off(hub, query_hub(TINY))
    progress: list[int] = []
    assert content(download_model(query_hub(TINY), on_progress=progress.append)) == EXPECTED
    (request,) = hub.asked(vision_weights(hub))
    assert (request.range, request.sent) == ("bytes=60000-", 140_000)
    assert (progress[0], progress[-1]) == (60_000, SIZE)


def test_a_server_without_ranges_sends_all_again(hub: HubServer) -> None:
    break_off(hub, query_hub(TINY))
    hub.ranges = False
    assert content(download_model(query_hub(TINY))) == EXPECTED
    (request,) = hub.asked(vision_weights(hub))
    assert (request.range, request.sent) == ("bytes=60000-", 200_000)


def test_a_new_commit_resumes_an_unchanged_file(hub: HubServer) -> None:
    break_off(hub, query_hub(TINY))
    hub.repositories["tiny/vision"] = {**hub.repositories["tiny/vision"], "config.json": b"{}"}
    assert content(download_model(query_hub(TINY))) == {**EXPECTED, "vision/config.json": b"{}"}
    (request,) = hub.asked(vision_weights(hub))
    assert (request.range, request.sent) == ("bytes=60000-", 140_000)


def test_a_new_commit_restarts_a_changed_file(hub: HubServer) -> None:
    break_off(hub, query_hub(TINY))
    new = {**hub.repositories["tiny/vision"], "model.safetensors": bytes(200_000)}
    hub.repositories["tiny/vision"] = new
    found = query_hub(TINY)
    assert found.missing() == SIZE
    expected = {**EXPECTED, "vision/model.safetensors": bytes(200_000)}
    assert content(download_model(found)) == expected
    (request,) = hub.asked(vision_weights(hub))
    assert (request.range, request.sent) == (None, 200_000)


def test_a_killed_download_is_resumed(hub: HubServer) -> None:
    hub.fail("model.safetensors", pace=0.01)
    process = pull(hub)
    target = partial_folder(weights_folder(TINY)) / "vision" / "model.safetensors"
    while not (target.exists() and target.stat().st_size > 20_000):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    here = target.stat().st_size
    hub.faults.clear()
    hub.requests.clear()
    found = query_hub(TINY)
    assert (20_000 < here < 200_000, found.missing()) == (True, SIZE - here)
    assert content(download_model(found)) == EXPECTED
    (request,) = hub.asked(vision_weights(hub))
    assert (request.range, request.sent) == (f"bytes={here}-", 200_000 - here)


def test_a_damaged_file_is_deleted_and_the_others_are_kept(hub: HubServer) -> None:
    right, wrong = EXPECTED["text/model.safetensors"], b"?" * 100_000
    hub.fail(f"/text/resolve/{hub.commit('tiny/text')}/model.safetensors", content=wrong)
    with pytest.raises(HubError) as raised:
        download_model(query_hub(TINY))
    expected, found = (hashlib.sha256(content).hexdigest() for content in (right, wrong))
    assert lines_of(raised.value) == [
        "model.safetensors of tiny/text arrived damaged, and was deleted.",
        f"Its hash should be {expected}, and is {found}.",
        "Another attempt downloads this file again, and keeps the others.",
    ]
    assert not weights_folder(TINY).exists()
    hub.faults.clear()
    hub.requests.clear()
    assert content(download_model(query_hub(TINY))) == EXPECTED
    assert [request.path.rpartition("/")[2] for request in hub.requests if request.sent] == [
        "main",
        "main",
        "model.safetensors",
        "tokenizer.json",
    ]


@pytest.mark.parametrize("wrong", [b'{"n_embd": 9}', b'{"n_embd": 10000}'], ids=["same", "longer"])
def test_a_damaged_small_file_is_found_by_its_git_hash(hub: HubServer, wrong: bytes) -> None:
    hub.fail("/config.json", content=wrong)
    with pytest.raises(HubError, match=r"^config\.json of tiny/vision arrived damaged"):
        download_model(query_hub(TINY))
    assert "config.json" not in str(list(partial_folder(weights_folder(TINY)).rglob("*")))


def test_an_endless_file_is_not_read_completely(hub: HubServer) -> None:
    hub.fail("/config.json", content=bytes(1_000_000), pace=0.001)
    with pytest.raises(HubError, match=r"^config\.json of tiny/vision arrived damaged"):
        download_model(query_hub(TINY))
    (request,) = hub.asked("/config.json")
    assert request.sent < 500_000


def test_a_configuration_that_is_no_json_is_an_error(hub: HubServer) -> None:
    hub.repositories["tiny/vision"] = {**hub.repositories["tiny/vision"], "config.json": b"no"}
    with pytest.raises(HubError, match=r"^config\.json of tiny/vision is not JSON"):
        download_model(query_hub(TINY))
    assert not weights_folder(TINY).exists()


def test_a_login_page_in_the_middle_spoils_nothing(hub: HubServer) -> None:
    found = query_hub(TINY)
    hub.fail("model.safetensors", cut=60_000, times=1)
    hub.fail("model.safetensors", html=True)
    with pytest.raises(HubError, match=r"was interrupted.*\n.*login page"):
        download_model(found)
    assert found.missing() == SIZE - 60_000


def test_no_repository(hub: HubServer) -> None:
    del hub.repositories["tiny/text"]
    with pytest.raises(HubError) as raised:
        query_hub(TINY)
    assert lines_of(raised.value) == [
        f"There is no repository {hub.url}/tiny/text.",
        "Check HF_ENDPOINT, or choose another model. See all models with: nmm models",
    ]
    assert type(raised.value) is HubError


def test_no_revision(hub: HubServer) -> None:
    with pytest.raises(HubError) as raised:
        query_hub(replace(TINY, sources=(replace(TEXT, revision="v9"),)))
    assert lines_of(raised.value) == [
        f"The repository {hub.url}/tiny/text has no revision 'v9'.",
        "Choose another model. See all models with: nmm models",
    ]


def test_no_file(hub: HubServer) -> None:
    del hub.repositories["tiny/text"]["tokenizer.json"]
    with pytest.raises(HubError) as raised:
        query_hub(TINY)
    assert lines_of(raised.value) == [
        f"tokenizer.json is missing from {hub.url}/tiny/text.",
        f"The revision main is the commit {hub.commit('tiny/text')} now.",
        "Choose another model. See all models with: nmm models",
    ]


def test_a_file_deleted_since_it_was_listed(hub: HubServer) -> None:
    found = query_hub(TINY)
    del hub.repositories["tiny/text"]["tokenizer.json"]
    with pytest.raises(HubError, match=r"/tiny/text is no longer there") as raised:
        download_model(found)
    assert type(raised.value) is HubError


def test_a_repository_that_asks_for_a_token(hub: HubServer) -> None:
    hub.token = "hf_right"
    with pytest.raises(HubError) as raised:
        query_hub(TINY)
    assert lines_of(raised.value) == [
        f"The hub refuses access to {hub.url}/tiny/vision.",
        "It answered: 401 Unauthorized. The repository does not exist, or is not open to everyone.",
        "Accept its licence on that page, and set HF_TOKEN to a token of your account.",
    ]
    assert type(raised.value) is HubError


def test_an_invalid_token(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = "hf_right"
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError) as raised:
        query_hub(TINY)
    assert lines_of(raised.value) == [
        f"The hub refuses access to {hub.url}/tiny/vision.",
        "It answered: 401 Unauthorized. It may have rejected the token.",
        "Set HF_TOKEN to a valid token, or unset it. To delete a stored token: hf auth logout",
    ]
    assert type(raised.value) is HubError


def test_a_token_is_sent_to_the_hub_only(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = "hf_right"
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert content(download_model(query_hub(TINY))) == EXPECTED
    seen = {(request.host, request.token) for request in hub.requests}
    assert seen == {(hub.url, "Bearer hf_right"), (hub.storage, None)}


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"status": 500}, "It answered: 500 Internal Server Error."),
        ({"status": 429}, "It answered: 429 Too Many Requests."),
        ({"html": True}, LOGIN_PAGE),
        ({"silent": True}, "It did not answer within 0.5 seconds."),
        ({"pace": 0.6}, "It did not answer within 0.5 seconds."),
        ({"cut": 10}, None),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_hub_that_is_out_of_reach(hub: HubServer, fault: dict[str, Any], why: str | None) -> None:
    hub.fail("/main", **fault)
    began = time.monotonic()
    with pytest.raises(UnreachableError) as raised:
        query_hub(TINY, patience=0.5)
    assert time.monotonic() - began < 1.5
    assert raised.value.what == f"The model hub at {hub.url} cannot be reached."
    assert why in {raised.value.why, None}


def test_no_server_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HubServer({}) as gone:
        pass
    monkeypatch.setenv("NMM_CACHE", str(tmp_path))
    point_client_at(gone.url, monkeypatch)
    with pytest.raises(UnreachableError, match="Connection refused"):
        query_hub(TINY)
    assert list(tmp_path.iterdir()) == []


def test_a_slow_hub_times_out() -> None:
    never = threading.Event()
    began = time.monotonic()
    with pytest.raises(UnreachableError, match=r"did not answer within 0\.1 seconds"):
        run_with_timeout(0.1, never.wait)
    assert time.monotonic() - began < 1
    never.set()


def test_offline_sends_no_request(hub: HubServer) -> None:
    said = result(pull(hub, HF_HUB_OFFLINE="1"))
    assert said.splitlines() == [
        f"UnreachableError: The model hub at {hub.url} cannot be reached.",
        "HF_HUB_OFFLINE is set.",
        "Unset it, and try again.",
    ]
    assert hub.requests == []


def test_a_proxy_is_used(hub: HubServer) -> None:
    folder = result(pull(hub, HF_ENDPOINT="http://hub.invalid", HTTP_PROXY=hub.url))
    assert content(Path(folder)) == EXPECTED
    assert {request.host for request in hub.requests} == {"http://hub.invalid", hub.storage}


def test_the_environment_of_a_process_is_honoured(hub: HubServer) -> None:
    hub.token = "hf_right"
    assert content(Path(result(pull(hub, HF_TOKEN="hf_right")))) == EXPECTED


def test_a_stopped_download_is_resumed(hub: HubServer) -> None:
    stop = threading.Event()
    hub.fail("model.safetensors", pace=0.005)
    with pytest.raises(StoppedError):
        download_model(
            query_hub(TINY), on_progress=lambda here: here > 5_000 and stop.set(), stop=stop
        )
    hub.faults.clear()
    hub.requests.clear()
    here = SIZE - query_hub(TINY).missing()
    assert (5_000 < here < 20_000, weights_folder(TINY).exists()) == (True, False)
    assert content(download_model(query_hub(TINY))) == EXPECTED
    (request,) = hub.asked(vision_weights(hub))
    assert (request.range, request.sent) == (f"bytes={here}-", 200_000 - here)


def test_concurrent_downloads_happen_once(hub: HubServer) -> None:
    hub.fail("model.safetensors", pace=0.005)
    both = [pull(hub), pull(hub)]
    assert [result(process) for process in both] == [str(weights_folder(TINY))] * 2
    assert content(weights_folder(TINY)) == EXPECTED
    assert [len(hub.asked(path)) for path in ("model.safetensors", "tokenizer.json")] == [2, 1]


def test_waiting_for_another_download_can_be_stopped(hub: HubServer) -> None:
    hub.fail("model.safetensors", silent=True)
    process = pull(hub)
    while not hub.asked("/text/revision/main"):
        time.sleep(0.01)
    while not partial_folder(weights_folder(TINY)).exists():
        time.sleep(0.01)
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(StoppedError, match="another process"):
        download_model(query_hub(TINY), stop=stop)
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("../config.json", "../config.json of tiny/x would be outside the model's folder."),
        (
            "a\\..\\..\\b.json",
            "a\\..\\..\\b.json of tiny/x would be outside the model's folder.",
        ),
        ("/etc/x.json", "/etc/x.json of tiny/x would be outside the model's folder."),
        ("C:x.json", "C:x.json of tiny/x would be outside the model's folder."),
        ("pytorch_model.bin", "pytorch_model.bin of tiny/x is not downloaded."),
        ("model.pt", "model.pt of tiny/x is not downloaded."),
        ("code.py", "code.py of tiny/x is not downloaded."),
    ],
)
def test_dangerous_files_are_refused_before_any_request(
    hub: HubServer, file: str, said: str
) -> None:
    with pytest.raises(HubError) as raised:
        query_hub(replace(TINY, sources=(Source("tiny/x", (file,)),)))
    assert raised.value.what == said
    assert hub.requests == []


def test_a_model_without_sources_is_not_downloaded() -> None:
    with pytest.raises(UsageError, match="mini does not come from a hub"):
        query_hub(MINI)


def test_a_download_without_enough_disk_space_is_not_started(hub: HubServer) -> None:
    found = query_hub(TINY)
    huge = replace(found, files=(replace(found.files[0], size=10**18), *found.files[1:]))
    hub.requests.clear()
    with pytest.raises(HubError) as raised:
        download_model(huge)
    assert raised.value.what.startswith("There is not enough space for the model tiny-1.5 in ")
    assert raised.value.why.startswith(
        "The download takes 1,000,000,000,000.1 MB, the compiled model about "
        "1,000,000,000,000.1 MB, and "
    )
    assert "NMM_CACHE" in raised.value.hint
    assert hub.requests == []


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of 2 MB for the cache; only root can mount it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here; see the limit on a file's size")
    monkeypatch.setenv("NMM_CACHE", str(disk / "cache"))
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_keeps_the_partial_download(hub: HubServer, small_disk: Path) -> None:
    filler = small_disk / "filler"

    def fill(here: int) -> None:
        if here > 20_000 and not filler.exists():
            with suppress(OSError), filler.open("wb", buffering=0) as opened:
                while opened.write(bytes(4096)):
                    pass

    hub.fail("model.safetensors", pace=0.001)
    found = query_hub(TINY)
    with pytest.raises(HubError) as raised:
        download_model(found, on_progress=fill)
    assert lines_of(raised.value) == [
        f"The model tiny-1.5 cannot be stored in {small_disk}/cache/weights.",
        "[Errno 28] No space left on device",
        "The downloaded files are kept. Free some space, or set the environment variable "
        "NMM_CACHE to another folder.",
    ]
    filler.unlink()
    hub.requests.clear()
    here = SIZE - found.missing()
    assert 10_000 < here < 200_000
    assert content(download_model(found)) == EXPECTED
    assert [request.range for request in hub.asked(vision_weights(hub))] == [f"bytes={here}-"]


def test_a_failed_write_keeps_the_partial_download(hub: HubServer) -> None:
    """The effect of a full disk, for users who may not mount a small one."""
    limited = (
        "import resource, runpy\n"
        "most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, most))\n"
        f"runpy.run_path({CLIENT[1]!r}, run_name='__main__')\n"
    )
    process = pull(hub, [sys.executable, "-c", limited])
    assert result(process).splitlines()[:2] == [
        f"HubError: The model tiny-1.5 cannot be stored in {weights_folder(TINY).parent}.",
        "[Errno 27] File too large",
    ]
    hub.requests.clear()
    assert content(download_model(query_hub(TINY))) == EXPECTED
    (request,) = hub.asked(vision_weights(hub))
    assert (request.range, request.sent) == ("bytes=50000-", 150_000)


def test_a_cache_that_cannot_be_made(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    file = weights_folder(TINY).parent.parent.with_name("file")
    file.touch()
    monkeypatch.setenv("NMM_CACHE", str(file))
    with pytest.raises(HubError, match=r"cannot be stored in .*\n.*Not a directory") as raised:
        download_model(query_hub(TINY))
    assert "NMM_CACHE" in raised.value.hint
