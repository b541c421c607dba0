"""Bad files of every kind are reported, and the good ones beside them are found."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image
from support import SAMPLE_DATA, Nmm

CAT = (SAMPLE_DATA / "photos/chelsea.jpg").read_bytes()


@pytest.fixture
def bad(tmp_path: Path) -> Iterator[Path]:
    """A folder of good files among bad files of all kinds."""
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes(CAT)
    (folder / "really a jpeg.png").write_bytes((SAMPLE_DATA / "photos/espresso.jpg").read_bytes())
    (folder / "note.txt").write_text("Buy strawberries and cream.\n")
    (folder / "truncated.jpg").write_bytes(CAT[: len(CAT) // 2])
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("This is no picture.\n")
    (folder / "noise.webp").write_bytes(bytes(range(256)) * 8)
    Image.new("L", (4000, 4000)).save(folder / "large.png")
    (folder / "program.bin").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(4096))
    (folder / "line\nbreak \x1b[31m.jpg").write_bytes(b"")
    os.mkfifo(folder / "fifo.jpg")
    (folder / "loop").symlink_to(folder)
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("not UTF-8 by name")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(folder)  # the path of a socket has about a hundred bytes at most
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        yield folder


def test_bad_files_are_reported_and_the_others_found(nmm: Nmm, bad: Path) -> None:
    done = nmm("index", bad, "--max-pixels", "10000000", "--json")
    assert done.returncode == 3
    summary = json.loads(done.stdout)
    assert summary["added"] == 3
    reasons = {Path(s["path"]).name: s["reason"] for s in summary["skipped"]}
    expected = {
        "truncated.jpg": "truncated",
        "empty.png": "empty file",
        "text.jpg": "not an image",
        "noise.webp": "not an image",
        "large.png": "--max-pixels",
        "line\nbreak \x1b[31m.jpg": "empty file",
        "fifo.jpg": "a FIFO",
        "socket": "a socket",
        "caf\\xe9.txt": "not valid UTF-8",
    }
    assert set(reasons) == set(expected)
    for name, part in expected.items():
        assert part in reasons[name]
        assert name.encode("unicode_escape").decode().replace("\\\\", "\\") in done.stderr
    assert "\x1b" not in done.stderr
    found = nmm("search", "a cat", "-k1", "--paths").stdout
    assert found == f"{bad / 'cat.jpg'}\n"
    assert nmm("search", "strawberries", "-k1", "--paths").stdout == f"{bad / 'note.txt'}\n"
    assert nmm("search", "coffee", "-k1", "--paths").stdout == f"{bad / 'really a jpeg.png'}\n"


def test_skipped_files_stay_listed_and_are_tried_again(nmm: Nmm, bad: Path) -> None:
    nmm("index", bad)
    listed = nmm("status", "--errors").stdout.splitlines()
    assert len(listed) == json.loads(nmm("status", "--json").stdout)["skipped"] == 8
    assert any("truncated.jpg: truncated" in line for line in listed)
    (bad / "truncated.jpg").write_bytes(CAT)
    summary = json.loads(nmm("index", "--json").stdout)
    assert (summary["added"], summary["unchanged"], len(summary["skipped"])) == (1, 4, 7)


def test_a_name_with_a_line_break_is_whole_in_machine_output(nmm: Nmm, tmp_path: Path) -> None:
    odd = tmp_path / "odd" / "a\nb\x1b[2J.jpg"
    odd.parent.mkdir()
    odd.write_bytes(CAT)
    nmm("index", odd.parent)
    assert nmm("search", "cat", "-0").stdout == f"{odd}\0"
    assert json.loads(nmm("search", "cat", "--json").stdout)["results"][0]["path"] == str(odd)
    table = nmm("search", "cat").stdout
    assert "a\\nb\\x1b[2J.jpg" in table
    assert "\x1b" not in table


def test_a_second_writer_is_refused(nmm: Nmm, tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    with FileLock(tmp_path / "index" / "write.lock"):
        done = nmm("index", SAMPLE_DATA)
    assert done.returncode == 5
    assert "Another process is writing to the index" in done.stderr


def test_an_unreadable_file_is_skipped(nmm: Nmm, tmp_path: Path) -> None:
    """Runs without privileges, because root can read every file."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "secret.txt").write_text("my secret")
    (folder / "secret.txt").chmod(0)
    (folder / "open.txt").write_text("open to all")
    if os.geteuid() == 0:
        pytest.skip("root can read every file; test_walk.py tries it as another user")
    done = nmm("index", folder, "--json")
    (skipped,) = json.loads(done.stdout)["skipped"]
    assert skipped["reason"] == "not readable: Permission denied"
    assert done.returncode == 3


def test_ctrl_c_keeps_what_was_committed(tmp_path: Path, sample_data: Path) -> None:
    """SIGINT during a run: status 130, and the next run resumes there."""
    for number in range(300):
        (sample_data / f"note {number}.txt").write_text(f"Note {number} about the weather.\n" * 6)
    environ = {**os.environ, "NMM_INDEX": str(tmp_path / "index")}
    command = [Path(sys.executable).with_name("nmm"), "index", sample_data, "--json"]
    with subprocess.Popen(
        # Small batches, so that several are committed before the end.
        [*command, "--batch-size", "1"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        catalog = tmp_path / "index" / "catalog.db-wal"
        deadline = time.monotonic() + 120
        # After the schema and the first batches.
        while not catalog.exists() or catalog.stat().st_size < 300_000:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(2)
        out, err = process.communicate(timeout=60)
    first = json.loads(out)
    assert process.returncode == 130
    assert b"Stopping" in err
    assert 0 < first["added"] < 331
    done = subprocess.run(command, env=environ, capture_output=True, check=True)
    second = json.loads(done.stdout)
    assert second["unchanged"] >= first["added"]
    assert second["added"] + second["unchanged"] == 331
