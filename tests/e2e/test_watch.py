"""`nmm watch` as a real process: files are added, changed, moved and deleted while it runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from support import Nmm

from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="uses POSIX signals")

# Seconds. Only a process that hangs takes this long; a busy machine may be slow.
DEADLINE = 300


def until(right: Callable[[], bool]) -> None:
    """Wait until a condition holds, and fail if that takes too long."""
    end = time.monotonic() + DEADLINE
    while not right():
        assert time.monotonic() < end, "it never came right"
        time.sleep(0.05)


class Watch:
    """A process that watches, and the lines that it has printed so far."""

    def __init__(self, home: Path, *arguments: str | Path) -> None:
        self.out, self.err = home / "watch.out", home / "watch.err"
        environ = {**os.environ, "HOME": str(home / "home"), "NMM_INDEX": str(home / "index")}
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("nmm"), "watch", *arguments],
                stdout=out,
                stderr=err,
                env=environ,
            )

    def lines(self) -> list[str]:
        """Return the complete lines printed so far."""
        return self.out.read_text("utf-8").rpartition("\n")[0].splitlines()

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)


@pytest.fixture
def started(tmp_path: Path, nmm: Nmm, mini: OnnxEncoder) -> Iterator[Callable[..., Watch]]:
    """A function that starts the command with a compiled model; it is killed at the end."""
    running: list[Watch] = []

    def start(*arguments: str | Path) -> Watch:
        running.append(Watch(tmp_path, *arguments))
        until(lambda: bool(running[-1].lines()) or running[-1].process.poll() is not None)
        return running[-1]

    yield start
    for watch in running:
        if watch.process.poll() is None:
            watch.process.kill()
            watch.process.wait()


def test_an_index_is_kept_current_until_the_command_is_stopped(
    tmp_path: Path, nmm: Nmm, started: Callable[..., Watch]
) -> None:
    from PIL import Image

    root = tmp_path.resolve() / "root"
    root.mkdir()
    (root / "a.txt").write_text("A cat sleeps on the piano.")
    watch = started(root, "--model", "mini", "--json")
    assert json.loads(watch.lines()[0])["added"] == 1

    def paths() -> list[str]:
        seen = len(watch.lines())
        if seen == looked_at[0]:  # no further run was needed: a search would only take time
            return []
        found = nmm("search", "anything", "--paths", "-k", "100").stdout.splitlines()
        looked_at[0] = seen
        return sorted(Path(path).relative_to(root).as_posix() for path in found)

    looked_at = [0]

    def status() -> dict[str, int]:
        return dict(json.loads(nmm("status", "--json").stdout))

    (root / "train.txt").write_text("The train to Vienna leaves at nine.")
    until(lambda: paths() == ["a.txt", "train.txt"])
    found = json.loads(nmm("search", "railway to Austria", "--json", "-k", "1").stdout)
    assert "train.txt" in json.dumps(found)

    whole = tmp_path / "whole.png"
    Image.effect_noise((300, 300), 80).convert("RGB").save(whole)
    data = whole.read_bytes()
    with (root / "noise.png").open("wb") as file:
        file.write(data[: len(data) // 2])
        file.flush()
        time.sleep(0.8)
        file.write(data[len(data) // 2 :])
    until(lambda: (status()["images"], status()["skipped"]) == (1, 0))

    (root / "train.txt").rename(root / "Train.txt")
    until(lambda: paths() == ["Train.txt", "a.txt", "noise.png"])
    (root / "a.txt").unlink()
    until(lambda: paths() == ["Train.txt", "noise.png"])
    assert (status()["files"], status()["vectors"]) == (2, 2)

    assert watch.end() == 0
    bursts = [json.loads(line) for line in watch.lines()]
    totals = {
        name: sum(burst[name] for burst in bursts)
        for name in ("added", "updated", "moved", "removed")
    }
    assert totals == {"added": 3, "updated": 0, "moved": 1, "removed": 1}
    assert "Traceback" not in watch.err.read_text()
    again = nmm("index")
    assert again.stdout.startswith("0 added, 0 updated, 2 unchanged, 0 moved, 0 removed, 0 skipped")


def test_a_burst_is_one_line_and_sigterm_ends_the_watch_cleanly(
    tmp_path: Path, started: Callable[..., Watch]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.txt").write_text("A cat sleeps on the piano.")
    watch = started(root, "--model", "mini")
    assert watch.lines()[0].startswith("1 added, 0 updated, ")
    (root / "b.txt").write_text("A dog barks.")
    until(lambda: len(watch.lines()) == 2)
    assert watch.lines()[1].partition(" ")[2] == "1 added"
    assert watch.end(signal.SIGTERM) == 0


def test_watching_without_an_index_is_an_error(started: Callable[..., Watch]) -> None:
    watch = started()
    assert watch.process.wait(DEADLINE) == 4
    assert watch.err.read_text().startswith("nmm: There is no index in ")


@pytest.mark.skipif(find_spec("rapidocr") is None, reason="the extra ocr is not installed")
def test_text_in_new_images_is_recognised_while_watching(
    tmp_path: Path, nmm: Nmm, started: Callable[..., Watch]
) -> None:
    from PIL import Image, ImageDraw, ImageFont

    root = tmp_path.resolve() / "root"
    root.mkdir()
    (root / "a.txt").write_text("A cat sleeps on the piano.")
    watch = started(root, "--model", "mini", "--ocr", "--json")
    receipt = Image.new("RGB", (420, 120), "white")
    font = ImageFont.load_default(40)
    ImageDraw.Draw(receipt).text((20, 30), "INVOICE 4711", "black", font)
    receipt.save(root / "receipt.png")

    # A search is a process too: polling with searches would take the time that reading needs.
    until(lambda: any(json.loads(line)["ocr"]["read"] for line in watch.lines()))
    found = nmm("search", "4711", "--mode", "keyword", "--paths").stdout.splitlines()
    assert found == [str(root / "receipt.png")]
    assert watch.end() == 0
    assert "Traceback" not in watch.err.read_text()
