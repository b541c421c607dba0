"""Download one file of a hub's repository, resume it after an interruption, and verify it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from nmm.index.common.hashing import file_sha256
from nmm.index.encoders.hub.client import read_file
from nmm.index.errors import HubError, StoppedError, UnreachableError

MAX_RETRIES = 4  # in a row, without a byte between them
RETRY_DELAY = 1.0  # seconds before a retry


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repository, and its place in the model's folder.

    Attributes:
        repository: Owner and name.
        commit: The commit of the repository.
        path: The path in the repository.
        local: The path in the model's folder.
        size: In bytes.
        etag: The hash at the hub: the SHA-256 of a file in Git LFS (64 hexadecimal digits), else
            the SHA-1 of the Git blob (40).
    """

    repository: str
    commit: str
    path: str
    local: str
    size: int
    etag: str


def fetch_file(
    file: RemoteFile, target: Path, on_bytes: Callable[[int], None], stop: threading.Event
) -> None:
    """Append the missing bytes of a file to `target`, in as many requests as needed.

    Raises:
        StoppedError: `stop` was set.
        HubError: The hub refuses the request.
        UnreachableError: The connection failed, and failed again at every retry.
        OSError: `target` cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch()
    failures = 0
    while (here := target.stat().st_size) < file.size:
        _check_stop(stop)
        try:
            _append(file, target, on_bytes, stop)
        except UnreachableError:
            failures = 0 if target.stat().st_size > here else failures + 1
            if failures > MAX_RETRIES:
                raise
            stop.wait(RETRY_DELAY)


def _append(
    file: RemoteFile, target: Path, on_bytes: Callable[[int], None], stop: threading.Event
) -> None:
    here = target.stat().st_size
    blocks = read_file(file.repository, file.path, file.commit, here)
    with target.open("ab") as opened, closing(blocks):
        for block in blocks:
            _check_stop(stop)
            opened.write(block)
            here += len(block)
            on_bytes(len(block))
            if here > file.size:
                return  # it is another file, and may be endless
    if here < file.size:
        raise UnreachableError("The hub stopped sending.", code="hub-stalled")


def _check_stop(stop: threading.Event) -> None:
    if stop.is_set():
        raise StoppedError("Stopped before the model was downloaded.", code="stopped-downloading")


def verify_file(file: RemoteFile, target: Path) -> str:
    """Return the SHA-256 of a downloaded file. A file with a wrong hash is deleted.

    Raises:
        HubError: Its hash is not the hub's, or its name ends in .json and it is not JSON.
        OSError: It cannot be read.
    """
    sha256 = file_sha256(target)
    etag = sha256 if len(file.etag) == len(sha256) else _git_hash(target)
    if etag != file.etag:
        target.unlink()
        raise HubError(
            f"{file.path} of {file.repository} arrived damaged, and was deleted.",
            code="download-damaged",
            why=f"Its hash should be {file.etag}, and is {etag}.",
            hint="Another attempt downloads this file again, and keeps the others.",
            path=file.path,
            repository=file.repository,
        )
    if target.suffix == ".json":
        try:
            json.loads(target.read_bytes())
        except ValueError as error:
            target.unlink()
            raise HubError(
                f"{file.path} of {file.repository} is not JSON.",
                code="download-not-json",
                why=str(error),
                path=file.path,
                repository=file.repository,
            ) from error
    return sha256


def _git_hash(file: Path) -> str:
    """Return the hash of a file's Git blob (Pro Git, 10.2, "Git Objects")."""
    content = file.read_bytes()
    blob = b"blob %d\0%b" % (len(content), content)
    return hashlib.sha1(blob, usedforsecurity=False).hexdigest()
