"""What tests share: the model, prepared once, and a way to run the real command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime import OnnxEncoder, load_encoder
from nmm.index.store.location import IndexFolder

SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"

Nmm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session", autouse=True)
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of compiled models of this test run, shared by its processes.

    NMM_TEST_CACHE names one that outlives the run, for whoever runs tests all day.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with pytest.MonkeyPatch.context() as patch:
        cache = Path(os.environ.get("NMM_TEST_CACHE", shared / "nmm-cache"))
        patch.setenv("NMM_CACHE", str(cache))
        patch.delenv("NMM_INDEX", raising=False)
        yield cache


@pytest.fixture(scope="session")
def mini(model_cache: Path) -> OnnxEncoder:
    """The built-in model, at work."""
    return load_encoder(MINI)


@pytest.fixture
def folder(tmp_path: Path) -> IndexFolder:
    """Where a test's index will be."""
    return IndexFolder(tmp_path / "index")


@pytest.fixture
def sample_data(tmp_path: Path) -> Path:
    """A copy of the sample data, to be changed at will."""
    return Path(shutil.copytree(SAMPLE_DATA, tmp_path / "sample_data"))


@pytest.fixture
def nmm(tmp_path: Path) -> Nmm:
    """Run the installed command; its index is in the test's folder, its HOME is empty."""
    home = tmp_path / "home"
    home.mkdir()
    command = Path(sys.executable).with_name("nmm")

    def run(
        *arguments: str | Path, stdin: str | None = None, cwd: Path = tmp_path, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, *arguments],
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            cwd=cwd,
            env={**os.environ, "HOME": str(home), "NMM_INDEX": str(tmp_path / "index"), **environ},
            timeout=300,
        )

    return run
