"""Exports an index to one file, an archive, and imports it on this or another machine."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from nmm.index.common.atomic_files import fsync_path, replace_atomically, translate_write_errors
from nmm.index.common.hashing import stream_sha256
from nmm.index.errors import CatalogError, IndexLockedError, OutputError, UsageError
from nmm.index.indexing.scopes import is_there
from nmm.index.maintenance.archive_format import (
    CATALOG,
    FORMAT,
    MANIFEST,
    Manifest,
    open_archive,
    unpack,
)
from nmm.index.store.catalog.backup import settings_of, write_snapshot
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import Settings
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.layout import IndexFolder, refuse_index_file
from nmm.index.store.recovery.untrusted import check_rows, check_schema, damaged, not_ours
from nmm.index.store.vectors.factory import open_vector_index


@dataclass(frozen=True)
class ImportResult:
    """An index that was imported.

    Attributes:
        index: The folder of the new index.
        manifest: The archive's manifest, which was verified.
        roots: The folders and files that were indexed, by their paths on the other machine.
        away: Those that do not exist on this machine.
    """

    index: str
    manifest: Manifest
    roots: list[str]
    away: list[str]


def export_archive(folder: IndexFolder, file: Path) -> Manifest:
    """Write a snapshot of an index to an archive; other processes may write to the index meanwhile.

    Raises:
        NoIndexError: There is no index, or nothing was indexed yet.
        UsageError: `file` is part of the index, or exists and is not a file.
        OutputError: The archive cannot be written.
        CatalogError: The catalog cannot be read.
    """
    refuse_index_file(folder, file)
    with (
        Catalog.open(folder.existing().catalog) as catalog,
        replace_atomically(file) as part,
    ):
        settings = settings_of(catalog)
        copy = part.with_name(f"{part.name}-{CATALOG}")
        try:
            copy.touch(exist_ok=False)
            schema = write_snapshot(catalog, copy)
            manifest = _manifest(copy, schema, settings)
            # Not compressed: vectors would shrink by only 7%, at 35 MB/s.
            with zipfile.ZipFile(part, "x", zipfile.ZIP_STORED) as archive:
                archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")
                archive.write(copy, CATALOG)
        finally:
            for name in (copy, copy.with_name(f"{copy.name}-journal")):
                name.unlink(missing_ok=True)
    return manifest


def _manifest(copy: Path, schema: int, settings: Settings) -> Manifest:
    """Return the manifest of a copied catalog."""
    with Catalog.open(copy) as catalog:
        counts = _counts(catalog)
    with copy.open("rb") as stream:
        digest = stream_sha256(stream)
    return Manifest(
        FORMAT,
        version("nmm"),
        schema,
        settings.model,
        settings.dimension,
        settings.weights,
        **counts,
        bytes=copy.stat().st_size,
        sha256=digest.hex(),
    )


def _counts(catalog: Catalog) -> dict[str, int]:
    """Return the counts that a manifest holds."""
    counts = catalog.file_counts()
    return {
        "files": counts.get("indexed", 0),
        "images": counts.get("image", 0),
        "texts": counts.get("text", 0),
        "vectors": catalog.vector_count(),
    }


def import_archive(file: Path, folder: IndexFolder) -> ImportResult:
    """Make an index from an archive. An existing index is never changed.

    An archive that is not exactly what :func:`export_archive` writes is refused, and nothing of
    it is left.

    Raises:
        UsageError: The file cannot be read, or the folder already holds an index.
        ArchiveError: The archive is damaged, or not one of nmm, or of a newer nmm.
        OutputError: The index cannot be written.
    """
    _refuse_existing(folder)
    with _readable(file) as stream, translate_write_errors(folder.path), _staged(folder) as staged:
        with open_archive(stream) as archive:
            manifest = unpack(archive, staged.catalog)
        _check(staged, manifest)
        _put_in_place(staged, folder)
    with Catalog.open(folder.catalog) as catalog:
        roots = [str(root.path) for root in catalog.roots()]
    # The next run can write the derived data: the index is complete without it.
    with suppress(CatalogError, IndexLockedError), open_for_writing(folder) as writer:
        open_vector_index(folder, writer).sync(writer)
    away = [root for root in roots if not is_there(Path(root))]
    return ImportResult(str(folder.path), manifest, roots, away)


def _refuse_existing(folder: IndexFolder) -> None:
    # SQLite would apply the log of a deleted catalog to the new one.
    if any(folder.path.glob(f"{CATALOG}*")):
        raise _existing(folder)


def _existing(folder: IndexFolder) -> UsageError:
    return UsageError(
        f"{folder.path} already holds an index, and an import replaces none.",
        code="import-over-index",
        path=folder.path,
    )


@contextmanager
def _staged(folder: IndexFolder) -> Iterator[IndexFolder]:
    """Yield a temporary folder inside the index's folder; then delete it and empty folders."""
    created = []
    path = folder.path
    while not path.exists():
        created.append(path)
        path = path.parent
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".import-", dir=folder.path) as staging:
            yield IndexFolder(Path(staging))
    finally:
        with suppress(OSError):  # it holds the index
            for path in created:
                path.rmdir()


@contextmanager
def _readable(file: Path) -> Iterator[BinaryIO]:
    """Open a file that a user named.

    Raises:
        UsageError: It cannot be read, or is not a file.
    """
    try:
        # Checked before it is opened: opening a pipe would wait for a writer.
        found = file.expanduser().stat()
        stream = file.expanduser().open("rb") if stat.S_ISREG(found.st_mode) else None
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read.",
            code="archive-unreadable",
            why=error.strerror or str(error),
            hint="Check its spelling.",
            path=file,
        ) from error
    if stream is None:
        raise UsageError(f"{file} is not a file.", code="archive-not-a-file", path=file)
    with stream:
        yield stream


def _check(staged: IndexFolder, manifest: Manifest) -> None:
    """Refuse an invalid catalog, and migrate one of an older schema."""
    schema = check_schema(staged.catalog)
    try:
        with open_for_writing(staged) as writer:
            settings = check_rows(writer)
            counts = _counts(writer)
    except CatalogError as error:
        raise damaged(error.why) from error
    if (schema, settings, counts) != (
        manifest.schema,
        (manifest.model, manifest.dimension, manifest.weights),
        {name: getattr(manifest, name) for name in counts},
    ):
        raise not_ours("Its manifest says other things than its catalog.")


def _put_in_place(staged: IndexFolder, folder: IndexFolder) -> None:
    """Move a checked catalog to its final name, without replacing an existing index."""
    if staged.catalog.with_name(f"{CATALOG}-wal").exists():
        raise OutputError(
            f"The index in {folder.path} cannot be written.",
            code="import-not-writable",
            why="SQLite could not merge its write-ahead log into the catalog.",
            hint="Check that the disk has space.",
            path=folder.path,
        )
    fsync_path(staged.catalog)
    _refuse_existing(folder)
    sys.audit("nmm.archive", "catalog to be put in place")
    try:
        # A rename would replace an index that another process has just made there.
        os.link(staged.catalog, folder.catalog)
    except FileExistsError as error:
        raise _existing(folder) from error
    except OSError:  # a file system without hard links
        staged.catalog.rename(folder.catalog)
    fsync_path(folder.path)
