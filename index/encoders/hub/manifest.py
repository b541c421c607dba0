"""The folder of a downloaded model: its manifest, whether it is complete, and its lock."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nmm.index.common.atomic_files import fsync_path
from nmm.index.errors import ModelError, StoppedError

MANIFEST = "manifest.json"
POLL_INTERVAL = 0.2  # seconds


def partial_folder(folder: Path) -> Path:
    """Return the folder of a download that is not complete yet."""
    return folder.with_name(f"{folder.name}.part")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Read the manifest of a folder: `model`, `sources` and `files`; None if there is none.

    `sources` is a list of `repository`, `revision` (requested) and `commit` (found). `files`
    maps a path in the folder to its `size`, the hub's `etag` and, once downloaded, `sha256`.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and "files" in manifest else None


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Replace the manifest of a folder atomically."""
    new = folder / f"{MANIFEST}.new"
    new.write_text(json.dumps(manifest, indent=1), "utf-8")
    fsync_path(new)
    new.replace(folder / MANIFEST)


def is_complete(folder: Path) -> bool:
    """Return whether every file of the manifest is there with its full size."""
    manifest = read_manifest(folder)
    return manifest is not None and all(
        size_of(folder / name) == file["size"] for name, file in manifest["files"].items()
    )


def size_of(file: Path) -> int | None:
    """Return the size of a file in bytes; None if there is none."""
    try:
        return file.stat().st_size
    except OSError:
        return None


@contextmanager
def lock_folder(folder: Path, stop: threading.Event | None) -> Iterator[None]:
    """Hold the lock of a model's folder, so that no other process changes it.

    Args:
        folder: The model's folder.
        stop: Wait for another process until this is set; None not to wait.

    Raises:
        StoppedError: `stop` was set while waiting.
        ModelError: Another process holds the lock, and `stop` is None.
        OSError: The lock cannot be created.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    while True:
        with suppress(Timeout):
            lock.acquire(timeout=POLL_INTERVAL)
            break
        if stop is None:
            raise ModelError(
                f"Another process is downloading the model {folder.name}.",
                code="model-locked",
                hint="Wait for the other process, or stop it.",
                model=folder.name,
            )
        if stop.is_set():
            raise StoppedError(
                "Stopped while another process downloads the model.",
                code="stopped-waiting-for-download",
            )
    try:
        yield
    finally:
        lock.release()
