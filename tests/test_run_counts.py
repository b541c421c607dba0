"""The work of an indexing run, in counts: files opened, bytes read, statements, models opened.

Times depend on the machine; counts do not. A change that makes one of them grow with the collection
makes runs slower everywhere.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nmm.index.calibration import neutral_vectors
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.indexing.indexer import LoadedModels, build
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.layout import IndexFolder

# Per file with one image or passage: whether its content is known, alone and with the files read at
# the same time; the rows of content, chunk, vector and file; and that it was seen.
STATEMENTS_PER_FILE = 7
# Begin and end, the generation, and the locations of the vectors in FAISS files.
STATEMENTS_PER_BATCH = 10
# The schema, the roots and mounts, leftovers of a killed run, and the calibration of both kinds.
STATEMENTS_PER_RUN = 100


def noise(path: Path, width: int, height: int, seed: int) -> None:
    """Write a PNG whose file has about three bytes per pixel."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def fill(root: Path, images: range, texts: range) -> None:
    root.mkdir(exist_ok=True)
    for n in images:
        noise(root / f"{n:04}.png", 30, 20, n)
    for n in texts:
        (root / f"{n:04}.txt").write_text(f"A note about tea with the number {n}.")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path.resolve() / "root"


# Runs the command, and prints for each file below a folder how often it was opened.
OPENED = """
import json, sys
from collections import Counter
root, opened = sys.argv.pop(1), Counter()
def count(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(root):
        opened[arguments[0][len(root) + 1:]] += 1
sys.addaudithook(count)
from nmm.cli import main
try:
    main()
except SystemExit as ended:
    print(json.dumps([ended.code, opened]), file=sys.stderr)
"""


def opened(root: Path, folder: IndexFolder) -> Counter[str]:
    """Return how often `nmm index` opens each file of a folder."""
    command = ["index", root, "--index", folder.path, "--model", "mini", "-q"]
    done = subprocess.run(
        [sys.executable, "-c", OPENED, root, *command], check=True, text=True, capture_output=True
    )
    status, files = json.loads(done.stderr.splitlines()[-1])
    assert status == 0
    return Counter(files)


def test_each_file_is_opened_once_and_then_only_if_it_changed(
    root: Path, folder: IndexFolder
) -> None:
    fill(root, range(5), range(5))
    names = sorted(path.name for path in root.iterdir())
    assert opened(root, folder) == Counter(names)
    assert opened(root, folder) == Counter()
    (root / "0001.txt").write_text("It says something else now.")
    assert opened(root, folder) == Counter(["0001.txt"])


def bytes_read() -> int:
    """Return the number of bytes that this process has read so far."""
    found = re.search(r"^rchar: (\d+)$", Path("/proc/self/io").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs Linux's count of bytes read")
def test_each_byte_of_an_image_is_read_once(
    root: Path, folder: IndexFolder, mini: OnnxEncoder
) -> None:
    fill(root, range(1), range(1))
    models = LoadedModels(mini)
    build([root], folder, model="mini", models=models)
    noise(root / "large.png", 1500, 1000, 7)
    size = (root / "large.png").stat().st_size
    before = bytes_read()
    assert build([root], folder, models=models).added == 1
    # In addition to some pages of the catalog and the vectors for the calibration.
    assert size <= bytes_read() - before < 1.5 * size


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the SQL statements that are executed, without those of triggers."""
    seen: list[str] = []
    real = sqlite3.connect

    def connect(*arguments: Any, **more: Any) -> sqlite3.Connection:
        connection = real(*arguments, **more)

        def trace(statement: str) -> None:
            # A statement is traced again for each trigger that it fires.
            again = statement.startswith("INSERT") and statement in seen[-20:]
            if not (statement.startswith("--") or again):
                seen.append(statement)

        connection.set_trace_callback(trace)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    return seen


def test_the_statements_of_a_run_are_few_and_grow_with_what_is_new_only(
    root: Path, folder: IndexFolder, mini: OnnxEncoder, statements: list[str]
) -> None:
    models = LoadedModels(mini)

    def run(images: range, texts: range) -> int:
        fill(root, images, texts)
        statements.clear()
        summary = build([root], folder, model="mini", models=models)
        assert summary.added == len(images) + len(texts)
        return len(statements)

    first = run(range(100), range(100))
    nothing = run(range(0), range(0))
    few = run(range(100, 110), range(100, 110))
    many = run(range(110, 210), range(110, 210))
    # Each existing file is seen; the rest is opening the catalog and comparing.
    assert 200 <= nothing <= 200 + STATEMENTS_PER_RUN
    # One run has 180 files more than the other; 20 existed already.
    batches = -(-180 // mini.batch_size)
    assert many - few <= 180 * STATEMENTS_PER_FILE + 20 + batches * STATEMENTS_PER_BATCH
    assert many - few >= 180 * 5, "or they were not counted"
    # An index that was empty costs as much as another.
    assert first <= many + STATEMENTS_PER_RUN


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the graphs that are opened."""
    seen: list[str] = []
    real = OnnxEncoder._open

    def open_graph(self: OnnxEncoder, file: Path, *provider: str) -> object:
        seen.append(file.name)
        return real(self, file, *provider)

    monkeypatch.setattr(OnnxEncoder, "_open", open_graph)
    return seen


def test_each_tower_is_opened_once_in_a_process_and_only_if_it_is_needed(
    root: Path, folder: IndexFolder, model_cache: Path, sessions: list[str]
) -> None:
    models = LoadedModels()
    fill(root, range(40), range(40))
    build([root], folder, model="mini", models=models)
    assert sorted(sessions) == ["text.onnx", "vision.onnx"]
    fill(root, range(40, 80), range(40, 80))
    assert build([root], folder, models=models).added == 80
    assert len(sessions) == 2
    sessions.clear()
    assert build([root], folder).unchanged == 160
    assert sessions == []


def test_neutral_queries_are_embedded_once_for_a_model(
    root: Path, tmp_path: Path, own_cache: Path, sessions: list[str]
) -> None:
    """After the first run, a run over images alone does not open the text encoder."""
    fill(root, range(3), range(0))
    scales = []
    for name, opened in (("first", ["text.onnx", "vision.onnx"]), ("second", ["vision.onnx"])):
        folder = IndexFolder(tmp_path / name)
        build([root], folder, model="mini")
        assert sorted(sessions) == opened
        sessions.clear()
        with Catalog.open(folder.catalog) as catalog:
            scales.append(catalog.calibration("image"))
    assert scales[0] == scales[1]
    assert scales[0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:1000]),
        lambda file: file.write_bytes(b""),
        lambda file: np.save(file, np.zeros((3, 384), np.float32)),
        lambda file: np.save(file, np.zeros(np.load(file).shape, np.float32)),
        lambda file: np.save(file, np.array([{"not": "numbers"}], dtype=object)),
    ],
    ids=["cut off", "empty", "of another shape", "not of unit length", "a pickle"],
)
def test_neutral_vectors_that_are_damaged_are_made_again(
    mini: OnnxEncoder, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    # Tests with other weights may have left some there.
    left_out = shutil.ignore_patterns("neutral-*")
    shutil.copytree(mini.folder, tmp_path / "model", ignore=left_out)
    encoder = OnnxEncoder(mini.model, tmp_path / "model")
    expected = neutral_vectors(encoder)
    (file,) = encoder.folder.glob("neutral-*.npy")
    damage(file)
    assert np.array_equal(neutral_vectors(encoder), expected)
    assert np.array_equal(np.load(file), expected)
