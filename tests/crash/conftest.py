"""What the crash tests share: the process that runs are forks of, and the model for checking."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.runner import Runner, running

from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.search import engine as search_module


@pytest.fixture(scope="session")
def runner(mini: OnnxEncoder) -> Iterator[Runner]:
    """Runs to be killed. The model is compiled before."""
    with running() as started:
        yield started


@pytest.fixture(scope="session")
def faulty(mini: OnnxEncoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Runs whose writes can fail or be traced."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not sys.platform.startswith("linux") or not compiler:
        pytest.skip("needs Linux and a C compiler, for faults.c")
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    options = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", library]
    subprocess.run([compiler, *options, source, "-ldl", "-lpthread"], check=True)
    with running(library) as started:
        yield started


@pytest.fixture(autouse=True)
def loaded(mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches that check an index have the model open already."""
    monkeypatch.setattr(search_module, "load_encoder", lambda *_, **__: mini)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where copies of an index are checked."""
    path = tmp_path / "scratch"
    path.mkdir()
    return path
