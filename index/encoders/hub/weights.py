"""Find, verify and remove a model's weights on this machine.

Weights that come in packages are read as files. The packages are never imported: one of them
would import sentence_transformers.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmm.index.common.hashing import file_sha256
from nmm.index.encoders.hub.cache_dirs import all_compiled_folders, weights_folder
from nmm.index.encoders.hub.manifest import (
    is_complete,
    lock_folder,
    partial_folder,
    read_manifest,
)
from nmm.index.errors import ModelError, UsageError

if TYPE_CHECKING:
    from nmm.index.encoders.base import Model


def weight_files(model: Model) -> list[Path]:
    """Return the files that decide a model's vectors, in the order of its row.

    Raises:
        ModelError: One of them is missing.
    """
    return [_weight_file(model, name) for name in model.files]


def is_on_this_machine(model: Model) -> bool:
    """Return whether all weights are there, and downloaded ones have their full size."""
    if model.sources:
        return is_complete(weights_folder(model))
    try:
        return bool(weight_files(model))
    except ModelError:
        return False


def manifest_of(model: Model) -> dict[str, Any] | None:
    """Return the manifest of a download, see :func:`.manifest.read_manifest`; None if none."""
    return read_manifest(weights_folder(model)) if model.sources else None


def verify_weights(model: Model, on_progress: Callable[[int], None] = lambda _: None) -> list[str]:
    """Read every file of a model and compare it with its recorded hash.

    The hash is in the manifest of a download, or in the RECORD of a package. Files in a user's
    folder have none: it is only checked that they exist.

    Args:
        model: The row.
        on_progress: Called with the number of bytes read so far.

    Returns:
        The problems found, one sentence each.

    Raises:
        ModelError: The model was not downloaded.
    """
    if model.sources and not weights_folder(model).exists():
        weight_files(model)
    read = 0

    def count(size: int) -> None:
        nonlocal read
        read += size
        on_progress(read)

    problems = (_problem(model, name, count) for name in model.files)
    return [problem for problem in problems if problem]


def remove_model(model: Model) -> int:
    """Delete a model's download, complete or partial, and its compiled forms.

    Returns:
        The number of bytes freed.

    Raises:
        UsageError: It was not downloaded and has no compiled forms.
        ModelError: It is being downloaded now, or cannot be deleted.
    """
    folder = weights_folder(model)
    try:
        if not model.sources:
            if made := all_compiled_folders(model):
                return sum(map(_delete, made))
            raise UsageError(
                f"The model {model.name} has no files to delete.",
                code="model-not-removable",
                why="Its weights are in your own folder."
                if Path(model.name).is_absolute()
                else "Its weights come with nmm.",
                model=model.name,
            )
        if not folder.parent.exists():
            return sum(map(_delete, all_compiled_folders(model)))
        with lock_folder(folder, stop=None):
            left = [path for path in (folder, partial_folder(folder)) if path.exists()]
            return sum(map(_delete, [*left, *all_compiled_folders(model)]))
    except OSError as error:
        raise ModelError(
            f"The model {model.name} cannot be deleted.",
            code="model-not-deletable",
            why=str(error),
            model=model.name,
        ) from error


def _problem(model: Model, name: str, on_read: Callable[[int], None]) -> str | None:
    try:
        file = _weight_file(model, name)
        if Path(name).is_absolute():
            return None
        expected = _downloaded_hash(model, name) if model.sources else _package_hash(name)
        if expected is None:
            return f"{file} cannot be checked: it came without a hash."
        found = file_sha256(file, on_read)
    except ModelError as error:
        return error.why
    except OSError as error:
        return f"{name} cannot be read: {error}."
    return None if found == expected else f"{file} is damaged: its SHA-256 is not {expected}."


def _downloaded_hash(model: Model, name: str) -> str | None:
    manifest = manifest_of(model) or {"files": {}}
    sha256: str | None = manifest["files"].get(name, {}).get("sha256")
    return sha256


def _package_hash(name: str) -> str | None:
    """Return the SHA-256 of a package's file, in hexadecimal, from its RECORD (PEP 376, 427)."""
    import base64
    import importlib.metadata

    try:
        recorded = importlib.metadata.files(name.partition("/")[0])
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in recorded or ():
        if file.as_posix() == name and file.hash and file.hash.mode == "sha256":
            return base64.urlsafe_b64decode(file.hash.value + "=").hex()
    return None


def _delete(folder: Path) -> int:
    """Delete a folder, and return the number of bytes of its files."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    shutil.rmtree(folder)
    return size


def _weight_file(model: Model, name: str) -> Path:
    if model.sources:
        return _downloaded_file(model, name)
    return (
        _local_file(model, Path(name)) if Path(name).is_absolute() else _package_file(model, name)
    )


def _downloaded_file(model: Model, name: str) -> Path:
    file = weights_folder(model) / name
    if file.is_file():
        return file
    raise ModelError(
        f"The model {model.name} is not on this machine.",
        code="model-not-downloaded",
        why=f"{file} is missing.",
        model=model.name,
    )


def _local_file(model: Model, file: Path) -> Path:
    if file.is_file():
        return file
    raise ModelError(
        f"The model {model.name} is incomplete.",
        code="model-folder-file-missing",
        why=f"{file} is missing.",
        hint="Copy the missing file from where you got the others.",
        model=model.name,
        path=file,
    )


def _package_file(model: Model, name: str) -> Path:
    package, _, inside = name.partition("/")
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (file := Path(folder) / inside).is_file():
            return file
    raise ModelError(
        f"The weights of the model {model.name} are not on this machine.",
        code="model-package-missing",
        why=f"{inside} of the package {package} is missing.",
        model=model.name,
        package=package.replace("_", "-"),
    )
