"""What tests share: the model, prepared once, and a way to run the real command."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from chromium import Browser, browser
from commands import CommandServer, Start, command_in, start
from filelock import FileLock
from pairs import write_tiny_pair
from support import SAMPLE_DATA, Configured, Nmm, Once

from nmm.cli import main
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors import segments

PLAIN_USER = 65534  # nobody


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the tests marked nightly too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the nightly tests out, unless they are asked for."""
    if config.getoption("--nightly"):
        return
    left_out = [item for item in items if item.get_closest_marker("nightly")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this run that its processes share."""
    path = tmp_path_factory.getbasetemp()
    return path.parent if "PYTEST_XDIST_WORKER" in os.environ else path


@pytest.fixture(scope="session", autouse=True)
def model_cache(shared: Path) -> Iterator[Path]:
    """A cache of compiled models, shared by the processes of this run.

    NMM_TEST_CACHE names one that outlives the run; scripts/test does so.
    """
    with pytest.MonkeyPatch.context() as patch:
        cache = Path(os.environ.get("NMM_TEST_CACHE", shared / "nmm-cache")).absolute()
        # Nothing that whoever runs the tests has set reaches them.
        for name in [name for name in os.environ if name.startswith("NMM_")]:
            patch.delenv(name)
        patch.setenv("NMM_CACHE", str(cache))
        patch.setenv("NMM_CONFIG", os.devnull)
        patch.setenv("XDG_STATE_HOME", str(shared / "state"))
        # No test reaches a hub but those that bring their own.
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        patch.delenv("HF_TOKEN", raising=False)
        yield cache


@pytest.fixture(scope="session")
def once(shared: Path) -> Once:
    """Make a folder in the first process that asks for it; it must not be changed afterwards."""

    def make_once(name: str, make: Callable[[Path], None], below: Path = shared) -> Path:
        folder, made = below / name, below / f"{name}.made"
        below.mkdir(parents=True, exist_ok=True)
        with FileLock(below / f"{name}.lock"):
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                made.touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def mini(model_cache: Path) -> OnnxEncoder:
    """The built-in model, at work."""
    return load_encoder(MINI)


@pytest.fixture(scope="session")
def tiny_pair(once: Once, model_cache: Path) -> Path:
    """A pair with random weights, in a folder: a model with prefixes that is prepared quickly."""

    def make(folder: Path) -> None:
        write_tiny_pair(folder / "pair")

    # Beside the compiled models, whose names are made of its path.
    return once("tiny", make, below=model_cache / "pairs") / "pair"


@pytest.fixture
def own_cache(mini: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with the built-in model as it was compiled, and nothing else that is kept of it."""
    folder = tmp_path / "cache" / "models" / mini.folder.name
    left_out = shutil.ignore_patterns("neutral-*")
    shutil.copytree(mini.folder, folder, ignore=left_out)
    monkeypatch.setenv("NMM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def short_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors come into FAISS files from the first on; a few thousand would stay without."""
    monkeypatch.setattr(segments, "MIN_SEGMENT_SIZE", 1)


@pytest.fixture
def folder(tmp_path: Path) -> IndexFolder:
    """Where a test's index will be."""
    return IndexFolder(tmp_path / "index")


@pytest.fixture
def sample_data(tmp_path: Path) -> Path:
    """A copy of the sample data, to be changed at will."""
    return Path(shutil.copytree(SAMPLE_DATA, tmp_path / "sample_data"))


@pytest.fixture(scope="session")
def start_command() -> Iterator[Start]:
    """Starts the command in a process of its own; on Linux without the time that imports take."""
    if not sys.platform.startswith("linux"):
        yield start
        return
    server = CommandServer()
    yield server.start
    server.close()


@pytest.fixture
def nmm(tmp_path: Path, start_command: Start) -> Nmm:
    """Run the command in a process, on an index of the test's own."""
    return command_in(tmp_path, start_command)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Nmm:
    """Run the command in this process, which takes a tenth of the time: for many cases."""

    def run(
        *arguments: str | Path, stdin: str | None = None, cwd: Path = tmp_path, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "home").mkdir(exist_ok=True)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((stdin or "").encode())))
            patch.chdir(cwd)
            own = {"NMM_CONFIG": str(tmp_path / "home" / ".config" / "nmm" / "config.toml")}
            for name, value in {**own, "NMM_INDEX": str(tmp_path / "index"), **environ}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["nmm", *map(str, arguments)])
            with pytest.raises(SystemExit) as ended:
                main()
        said = capfd.readouterr()
        status = ended.value.code
        assert isinstance(status, int)
        return subprocess.CompletedProcess(arguments, status, said.out, said.err)

    return run


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    """Write the configuration file of the user whose command `nmm` is."""

    def write(text: str) -> Path:
        file = tmp_path / "home" / ".config" / "nmm" / "config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        return file

    return write


@pytest.fixture(scope="session")
def sample_home(tmp_path_factory: pytest.TempPathFactory, start_command: Start) -> Path:
    """A folder with a copy of the sample data and an index of it: only to be read."""
    home = tmp_path_factory.mktemp("indexed")
    samples = shutil.copytree(SAMPLE_DATA, home / "sample_data")
    done = command_in(home, start_command)("index", samples)
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture
def indexed(sample_home: Path, start_command: Start) -> tuple[Nmm, Path]:
    """The command, and a copy of the sample data that it has indexed: only to be read."""
    return command_in(sample_home, start_command), sample_home / "sample_data"


@pytest.fixture(scope="session")
def opened_chromium() -> Iterator[Browser]:
    """A browser, started once in each process."""
    with browser() as opened:
        yield opened


@pytest.fixture
def chromium(opened_chromium: Browser) -> Browser:
    """A browser with a page that has said nothing yet, of 1200 pixels in light colours."""
    opened_chromium.open("about:blank")
    opened_chromium.size(1200)
    opened_chromium.said.clear()
    opened_chromium.asked.clear()
    return opened_chromium


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A folder that any user can reach; `tmp_path` is below one that only its owner can."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        yield Path(path).resolve()


@pytest.fixture
def as_plain_user() -> Callable[[], AbstractContextManager[None]]:
    """What runs in it is bound by the modes of files, even if root runs the tests."""

    @contextmanager
    def plain() -> Iterator[None]:
        user = os.geteuid()
        if user == 0:
            os.seteuid(PLAIN_USER)
        try:
            yield
        finally:
            os.seteuid(user)

    return plain
