"""Fixtures of the crash tests: the process that forks the runs, and the encoder for checks."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from crash.runner import HASH, Runner, running
from fakes import HashEncoder

from nmm.index.encoders.base import Encoder
from nmm.index.search import engine as search_module


@pytest.fixture(scope="session")
def nightly(pytestconfig: pytest.Config) -> bool:
    """Whether all instants of a series are tried, or some of them."""
    return bool(pytestconfig.getoption("--nightly"))


@pytest.fixture
def encoder_name() -> str:
    """Name the encoder of a test's runs; tests that need the real one parametrize this."""
    return HASH


@pytest.fixture(scope="session")
def runners(
    model_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Runner]]:
    """Return a function that starts the runner of an encoder; each process is started once."""
    with ExitStack() as stack:

        @functools.cache
        def start(encoder: str) -> Runner:
            return stack.enter_context(running(encoder, tmp_path_factory.mktemp("encoder")))

        yield start


@pytest.fixture
def runner(runners: Callable[[str], Runner], encoder_name: str, loaded: Encoder) -> Runner:
    """A runner of jobs that can be killed. A model is compiled beforehand."""
    return runners(encoder_name)


@pytest.fixture(scope="session")
def faulty(model_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """A runner of jobs whose writes can fail or be traced."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not sys.platform.startswith("linux") or not compiler:
        pytest.skip("needs Linux and a C compiler, for faults.c")
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    options = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", library]
    subprocess.run([compiler, *options, source, "-ldl", "-lpthread"], check=True)
    with running(HASH, library.parent, library) as started:
        yield started


@pytest.fixture(autouse=True)
def loaded(
    encoder_name: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Encoder:
    """The encoder, already open, for searches that check an index."""
    encoder: Encoder
    if encoder_name == HASH:
        encoder = HashEncoder(tmp_path_factory.mktemp("hash"))
    else:
        encoder = request.getfixturevalue("mini")
    monkeypatch.setattr(search_module, "load_encoder", lambda *_, **__: encoder)
    return encoder


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A folder for the copies of an index that are checked."""
    path = tmp_path / "scratch"
    path.mkdir()
    return path
