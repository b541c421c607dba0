"""What the crash tests share: the process that runs are forks of, and the model for checking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.runner import Runner, running

from nmm.index import search as search_module
from nmm.index.encoders.runtime import OnnxEncoder


@pytest.fixture(scope="session")
def runner(mini: OnnxEncoder) -> Iterator[Runner]:
    """Runs to be killed. The model is compiled before."""
    with running() as started:
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
