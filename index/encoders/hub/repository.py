"""Download a model's weights from a model hub, complete and verified, or not at all.

A download goes to `NAME.part` beside the model's folder, and is renamed once it is complete. An
interrupted download leaves `NAME.part`, from which the next one resumes. Only safetensors, ONNX
and JSON files are downloaded: none of them runs code when it is read.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from nmm.index.common.atomic_files import fsync_path
from nmm.index.encoders.base import Model, Source
from nmm.index.encoders.hub.cache_dirs import all_compiled_folders, weights_folder
from nmm.index.encoders.hub.client import endpoint, list_repository, run_with_timeout
from nmm.index.encoders.hub.download import RemoteFile, fetch_file, verify_file
from nmm.index.encoders.hub.manifest import (
    MANIFEST,
    is_complete,
    lock_folder,
    partial_folder,
    read_manifest,
    size_of,
    write_manifest,
)
from nmm.index.errors import HubError, UnreachableError, UsageError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

SUFFIXES = frozenset({".safetensors", ".onnx", ".json"})


@dataclass(frozen=True)
class DownloadPlan:
    """The files of a model at the hub.

    Attributes:
        model: The row.
        files: Its files, in the order of its sources.
        revisions: The commit of each repository.
    """

    model: Model
    files: tuple[RemoteFile, ...]
    revisions: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Return the folder of the complete download."""
        return weights_folder(self.model)

    @property
    def size(self) -> int:
        """Return the size of all files in bytes, downloaded ones included."""
        return sum(file.size for file in self.files)

    def is_here(self) -> bool:
        """Return whether exactly these files are in the model's folder."""
        wanted = {file.local: file.etag for file in self.files}
        return is_complete(self.folder) and _etags(self.folder) == wanted

    def missing(self) -> int:
        """Return the number of bytes still to download, after what an earlier attempt left."""
        if self.is_here():
            return 0
        part = partial_folder(self.folder)
        kept = (min(size_of(part / f.local) or 0, f.size) for f in self.continued())
        return self.size - sum(kept)

    def continued(self) -> list[RemoteFile]:
        """Return the files that an earlier attempt began and that are unchanged at the hub."""
        begun = _etags(partial_folder(self.folder))
        return [file for file in self.files if begun.get(file.local) == file.etag]


def query_hub(model: Model, *, patience: float = 5.0) -> DownloadPlan:
    """Ask the hub for the files of a model.

    Args:
        model: A row with sources.
        patience: Seconds within which the hub must answer.

    Raises:
        UnreachableError: The hub cannot be reached, or not in time.
        HubError: It refuses access to a repository, or a repository lacks a file.
        UsageError: The model has no sources.
    """
    if not model.sources:
        raise UsageError(
            f"The model {model.name} does not come from a hub.",
            code="model-not-on-hub",
            model=model.name,
        )
    for source in model.sources:
        for file in source.local_files:
            _refuse_unsafe(source, file)
    listings = run_with_timeout(
        patience,
        lambda: [list_repository(s.repository, s.revision, patience) for s in model.sources],
    )
    pairs = list(zip(model.sources, listings, strict=True))
    return DownloadPlan(
        model,
        files=tuple(file for source, listing in pairs for file in _files(source, listing)),
        revisions={source.repository: str(listing.sha) for source, listing in pairs},
    )


def download_model(
    found: DownloadPlan,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Path:
    """Return the folder of a model's weights, downloaded first if needed.

    If two processes download at once, the second waits and finds the work done.

    Args:
        found: The files at the hub, see :func:`query_hub`.
        on_progress: Called with the number of bytes that are here, of `found.size`.
        stop: Set it to end the download. Downloaded bytes stay. It is checked when bytes
            arrive, and when the client times out (ten seconds).

    Raises:
        StoppedError: `stop` was set before the download was complete.
        HubError: A file cannot be downloaded, arrives damaged, or cannot be stored.
    """
    stop = stop or threading.Event()
    folder = found.folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder, stop):
            if not found.is_here():
                _check_space(found)
                _download(found, on_progress, stop)
    except OSError as error:
        raise HubError(
            f"The model {found.model.name} cannot be stored in {folder.parent}.",
            code="download-not-storable",
            why=str(error),
            hint="The downloaded files are kept. Free some space, or set the environment variable "
            "NMM_CACHE to another folder.",
            model=found.model.name,
            path=folder.parent,
        ) from error
    return folder


def _refuse_unsafe(source: Source, local: str) -> None:
    # A Windows path covers every way out of a folder: drives, both slashes, two dots.
    path = PureWindowsPath(local)
    if path.drive or path.root or ".." in path.parts:
        raise HubError(
            f"{local} of {source.repository} would be outside the model's folder.",
            code="hub-path-unsafe",
            path=local,
            repository=source.repository,
        )
    if path.suffix not in SUFFIXES:
        raise HubError(
            f"{local} of {source.repository} is not downloaded.",
            code="hub-format-unsafe",
            why=f"Only {', '.join(sorted(SUFFIXES))} are. Other formats can hold programs.",
            path=local,
            repository=source.repository,
        )


def _files(source: Source, listing: ModelInfo) -> list[RemoteFile]:
    siblings = {sibling.rfilename: sibling for sibling in listing.siblings or ()}
    page = f"{endpoint()}/{source.repository}"
    files = []
    for path, local in zip(source.files, source.local_files, strict=True):
        if not (sibling := siblings.get(path)):
            raise HubError(
                f"{path} is missing from {page}.",
                code="hub-file-missing",
                why=f"The revision {source.revision} is the commit {listing.sha} now.",
                hint="Choose another model.",
                path=path,
                url=page,
            )
        etag = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
        if not (listing.sha and etag and sibling.size is not None):
            raise HubError(
                f"{path} of {page} cannot be verified: the hub gives no hash.",
                code="hub-hash-missing",
                path=path,
                url=page,
            )
        files.append(RemoteFile(source.repository, listing.sha, path, local, sibling.size, etag))
    return files


def _etags(folder: Path) -> dict[str, str]:
    manifest = read_manifest(folder) or {"files": {}}
    return {name: file["etag"] for name, file in manifest["files"].items()}


def _check_space(found: DownloadPlan) -> None:
    folder = found.folder.parent
    missing, free = found.missing(), shutil.disk_usage(folder).free
    weights = [file.size for file in found.files if PurePath(file.path).suffix == ".safetensors"]
    compiled = sum(weights)  # ONNX graphs are not compiled
    if missing + compiled > free:
        raise HubError(
            f"There is not enough space for the model {found.model.name} in {folder}.",
            code="model-disk-full",
            why=f"The download takes {_megabytes(missing)}, the compiled model about "
            f"{_megabytes(compiled)}, and {_megabytes(free)} are free.",
            hint="Free some space, or set the environment variable NMM_CACHE to a folder on "
            "another disk.",
            model=found.model.name,
            path=folder,
            missing=missing,
            compiled=compiled,
            free=free,
        )


def _download(
    found: DownloadPlan, on_progress: Callable[[int], None], stop: threading.Event
) -> None:
    part = partial_folder(found.folder)
    _delete_stale_parts(found, part)
    manifest = _manifest(found)
    write_manifest(part, manifest)
    here = found.size - found.missing()
    on_progress(here)

    def count(arrived: int) -> None:
        nonlocal here
        here += arrived
        on_progress(here)

    for file in found.files:
        try:
            fetch_file(file, part / file.local, count, stop)
        except UnreachableError as error:
            raise HubError(
                f"The download of the model {found.model.name} was interrupted: "
                f"{_megabytes(here)} of {_megabytes(found.size)} have arrived.",
                code="download-interrupted",
                why=" ".join(filter(None, (error.what, error.why))),
                hint="Another attempt resumes it.",
                model=found.model.name,
                here=here,
                size=found.size,
            ) from error
        manifest["files"][file.local]["sha256"] = verify_file(file, part / file.local)
    write_manifest(part, manifest)
    for path in (*part.rglob("*"), part):
        fsync_path(path)
    # Models compiled from other weights are outdated.
    for outdated in (found.folder, *all_compiled_folders(found.model)):
        shutil.rmtree(outdated, ignore_errors=True)
    part.rename(found.folder)
    fsync_path(found.folder.parent)


def _delete_stale_parts(found: DownloadPlan, part: Path) -> None:
    """Delete the remains of an earlier attempt that this download cannot resume."""
    part.mkdir(exist_ok=True)
    kept = {part / file.local for file in found.continued()} | {part / MANIFEST}
    for path in list(part.rglob("*")):
        if path.is_file() and path not in kept:
            path.unlink()


def _manifest(found: DownloadPlan) -> dict[str, Any]:
    return {
        "model": found.model.name,
        "sources": [
            {
                "repository": source.repository,
                "revision": source.revision,
                "commit": found.revisions[source.repository],
            }
            for source in found.model.sources
        ],
        "files": {file.local: {"size": file.size, "etag": file.etag} for file in found.files},
    }


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
