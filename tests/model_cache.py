"""Print the folder that keeps the models compiled by tests from one run to the next.

Its name is a hash of what decides a compiled model: the code that exports it, the weights of the
built-in model, and the versions of the packages that do the work.
"""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path

from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.registry import MINI

MONTH = 30 * 24 * 3600  # seconds
ROOT = Path(__file__).parent.parent
SOURCES = ("index/encoders/export", "index/encoders/families", "tests/pairs.py")
PACKAGES = ("onnx", "onnxruntime", "onnxscript", "tokenizers", "torch")


def code_of(file: Path) -> str:
    """Return the code of a module without its comments and docstrings."""
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [statement for statement in body if not _is_text(statement)]
    return ast.dump(tree)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def key() -> str:
    """Return the hash of what decides a compiled model."""
    digest = hashlib.sha256(repr((MINI.recipe, MINI.image, MINI.text)).encode())
    for source in SOURCES:
        path = ROOT / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(ROOT)} {code_of(file)}".encode())
    for name in PACKAGES:
        digest.update(f"{name} {version(name)}".encode())
    for file in weight_files(MINI):
        digest.update(file.read_bytes())
    digest.update(platform.machine().encode())
    return digest.hexdigest()[:16]


def delete_unused(folders: Path, used: Path) -> None:
    """Delete the folders of other keys that no run has used for a month."""
    for folder in folders.iterdir():
        if folder != used and time.time() - folder.stat().st_mtime > MONTH:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    cache = ROOT / ".cache" / "models" / key()
    cache.mkdir(parents=True, exist_ok=True)
    os.utime(cache)
    delete_unused(cache.parent, cache)
    print(cache)
