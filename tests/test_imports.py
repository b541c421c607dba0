"""What is imported when, and in which direction."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {
    "torch",
    "transformers",
    "faiss",
    "onnxruntime",
    "PIL",
    "numpy",
    "sqlite_utils",
    "watchfiles",
    "pyarrow",
    "tomlkit",
    "rapidocr",
    "cv2",
    "huggingface_hub",
    "onnx",
    "pillow_heif",
    "pydantic",
    "rich",
    "safetensors",
    "mteb",
    "scipy",
    "pacmap",
    "numba",
    "sklearn",
    "tokenizers",
}

# What each part of the engine may import of the others; a part not listed here is a room
# of its own that nothing below may import. What takes the time may stand anywhere.
ALLOWED = {
    "timing": set(),
    "blas": set(),
    "onnx": set(),
    "byte_product": {"onnx"},
    "unit": set(),
    "sample": set(),
    "errors": set(),
    "sync": set(),
    "digest": set(),
    "ignore": {"errors"},
    "walk": {"errors", "ignore"},
    "media": {"errors", "digest"},
    "encoders": {"byte_product", "errors", "sync", "digest", "onnx"},
    "store": {"byte_product", "errors", "sync", "digest", "unit"},
    "events": set(),
    "history": {"errors"},
    "scale": {"errors", "store"},
    "imagenet": {"errors"},
    "kept_vectors": {"errors", "replace"},
    "neutral": {"encoders", "kept_vectors", "scale"},
    "ready": {"errors", "encoders", "media"},
    "batch": {"store", "encoders", "media", "ready", "timing"},
    "details": {"errors", "events", "media", "store"},
    "roots": {"errors", "walk", "store"},
    "model": {"errors", "encoders", "store"},
    "obtain": {"errors", "encoders", "events"},
    "ocr": {"errors", "encoders", "media", "onnx", "store"},
    "ocr_pass": {"errors", "events", "media", "ocr", "roots", "run", "store"},
    "run": {
        "roots",
        "errors",
        "walk",
        "media",
        "encoders",
        "store",
        "batch",
        "events",
        "ready",
        "timing",
    },
    "changes": {"roots", "run", "store", "walk", "ignore"},
    "watch": {"build", "encoders", "errors", "events", "roots", "run", "store"},
    "derive": {"encoders", "neutral", "scale", "store"},
    "build": {
        "changes",
        "derive",
        "details",
        "roots",
        "errors",
        "encoders",
        "store",
        "events",
        "model",
        "obtain",
        "ocr",
        "ocr_pass",
        "run",
    },
    "projection": {"errors"},
    "neighbours": {"sample"},
    "map": {"errors", "gap", "cluster", "items", "projection", "store"},
    "query": {"errors", "media"},
    "filters": {"errors", "store"},
    "labels": {"errors"},
    "classify": {"encoders", "items", "labels", "scale", "store", "unit", "zero_shot"},
    "tags": {"errors", "store"},
    "sort_plan": {"collect", "errors"},
    "sort_files": {"collect", "errors", "sort_plan", "sync"},
    "query_vector": {"query", "errors", "digest", "encoders", "media", "store"},
    "words": set(),
    "found_words": {"words", "store"},
    "fusion": {"found_words", "store"},
    "relevance": {"scale", "store", "query", "unit"},
    "fold": {"media", "store"},
    "dupes": {"digest", "errors", "fold", "items", "media", "store"},
    "result": {"store"},
    "nearest_files": {"store"},
    "ahead": {"query"},
    "answer": {
        "fold",
        "found_words",
        "fusion",
        "nearest_files",
        "query",
        "relevance",
        "result",
        "store",
        "timing",
    },
    "search": {
        "ahead",
        "answer",
        "blas",
        "encoders",
        "errors",
        "filters",
        "model",
        "nearest_files",
        "neutral",
        "query",
        "query_vector",
        "relevance",
        "result",
        "scale",
        "store",
        "words",
    },
    "items": {"encoders", "errors", "filters", "model", "store", "timing"},
    "embed": {"errors", "encoders", "media", "events", "obtain"},
    "zero_shot": {"errors", "encoders", "unit"},
    "evaluation": {
        "build",
        "embed",
        "encoders",
        "errors",
        "events",
        "filters",
        "imagenet",
        "media",
        "query",
        "remove",
        "result",
        "search",
        "store",
        "walk",
        "zero_shot",
    },
    "mteb_wrapper": {"embed", "encoders", "errors", "unit"},
    "remove": {"errors", "store"},
    "repair": {"errors", "store"},
    "collect": {"errors"},
    "compact": {"errors", "store"},
    "doctor": {"errors", "store", "roots"},
    "root_list": {"errors", "remove", "roots", "store", "walk"},
    "status": {"errors", "store"},
    "replace": {"errors", "store", "sync"},
    "gap": {"store", "unit"},
    "spherical": {"sample", "unit"},
    "density": {"sample", "spherical"},
    "telling_words": set(),
    "vocabulary": {
        "encoders",
        "errors",
        "gap",
        "imagenet",
        "items",
        "kept_vectors",
        "store",
        "telling_words",
        "unit",
    },
    "cluster": {"density", "errors", "gap", "items", "spherical", "vocabulary"},
    "archive": {"errors", "sync", "digest", "store", "roots", "replace"},
    "tables": {"errors", "store", "replace"},
}


def imported(arguments: list[str], environ: dict[str, str] | None = None) -> set[str]:
    """Top-level modules that the command with these arguments imports."""
    code = (
        "import sys\n"
        f"sys.argv = ['nmm', *{arguments!r}]\n"
        "from nmm.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True
    )
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["index", "--help"], ["search", "--help"], ["config", "path"]],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert imported(arguments) & HEAVY == set()


def test_a_search_never_imports_torch(tmp_path: Path, model_cache: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("The cat sleeps on the piano.")
    import os

    environ = {**os.environ, "NMM_INDEX": str(tmp_path / "index")}
    indexing = imported(["index", str(note)], environ)
    searching = imported(["search", "cat", "--paths"], environ)
    never = {"torch", "transformers", "sentence_transformers", "tomlkit"}
    assert never & (indexing | searching) == set()
    assert "onnxruntime" in searching
    # Few vectors are compared in the catalog, which takes less time than importing FAISS.
    assert {"faiss", "sqlite_utils"} & searching == set()


def module_imports(file: Path) -> set[str]:
    """The nmm modules that a file imports, at its top or inside its functions."""
    tree = ast.parse(file.read_text("utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith("nmm.")}


@pytest.mark.parametrize(
    "file", sorted((ROOT / "index").rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT))
)
def test_the_engine_imports_in_one_direction(file: Path) -> None:
    part = file.relative_to(ROOT / "index").parts[0].removesuffix(".py")
    if part == "__init__":
        assert module_imports(file) == set()
        return
    for name in module_imports(file):
        assert not name.startswith("nmm.cli"), f"{file} imports {name}"
        other = [*name.split("."), ""][2]
        if other:
            assert other in ALLOWED[part] | {part, "timing"}, f"{file} imports {name}"


@pytest.mark.parametrize(
    "file", sorted((ROOT / "index").rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT))
)
def test_the_engine_never_prints_or_exits(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert called & {"print", "input", "exit", "quit", "sys.exit", "os._exit"} == set()
    assert called & {"sys.stdout.write", "sys.stderr.write"} == set()
