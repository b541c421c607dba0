"""Opening files: documents are opened, files that could be run are not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nmm.cli.render import viewer

pytestmark = pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="opens windows where there are some"
)


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which a fake xdg-open records what it is asked to open."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/xdg-open"
    program.write_text(f'#!/bin/sh\nprintf "%s\\0" "$@" > "{tmp_path / "seen"}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "seen"


@pytest.mark.parametrize(
    "name", ["-a.jpg", "http:x.html", "a b#c%20.txt", "a;b&c|d$(e).md", "a\nb"]
)
def test_a_file_is_opened_by_its_whole_path(name: str, seen: Path, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    assert viewer.view(tmp_path / name) is None
    assert seen.read_bytes() == os.fsencode(tmp_path / name) + b"\0"


def test_files_that_could_start_a_program_are_not_opened(seen: Path, tmp_path: Path) -> None:
    (tmp_path / "a.DESKTOP").touch()
    assert viewer.view(tmp_path / "a.DESKTOP") == "it may start a program"
    assert not seen.exists()


def test_a_file_that_is_gone_is_not_opened(seen: Path, tmp_path: Path) -> None:
    assert viewer.view(tmp_path / "gone.jpg") == "it is not there any more"
    assert not seen.exists()


def test_a_viewer_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert viewer.view(tmp_path / "a.jpg") == "xdg-open is not installed"


def test_a_viewer_that_stays_open_is_not_waited_for(
    seen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer, "START_SECONDS", 0.01)
    (tmp_path / "a.jpg").touch()
    os.mkfifo(tmp_path / "closed")
    program = tmp_path / "bin/xdg-open"
    program.write_text(f'#!/bin/sh\nread -r _ < "{tmp_path / "closed"}"\n')
    assert viewer.view(tmp_path / "a.jpg") is None
    (tmp_path / "closed").write_text("\n")
    (left,) = viewer._left_open
    assert left.wait(60) == 0
