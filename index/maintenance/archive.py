"""An index as one file, to keep or to take to another machine: `nmm export`, `nmm import`.

An archive is a zip of two members: the catalog, without what is derived from it, and a
manifest that says what the catalog is. Of the images there is nothing in it but their vectors
and names. Whoever imports one need not trust it: see :mod:`nmm.index.store.recovery.untrusted`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from nmm.index.common.atomic_files import fsync_path, replace_atomically, translate_write_errors
from nmm.index.common.hashing import stream_sha256
from nmm.index.errors import CatalogError, IndexLockedError, OutputError, UsageError
from nmm.index.indexing.scopes import is_there
from nmm.index.store.catalog.backup import settings_of, write_snapshot
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import Settings
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.layout import IndexFolder, not_within
from nmm.index.store.recovery.untrusted import check_made, check_rows, damaged, newer, not_ours
from nmm.index.store.vectors.factory import open_vector_index

FORMAT = 1
MANIFEST = "manifest.json"
CATALOG = "catalog.db"
# Of the manifest, which has some hundred bytes.
MANIFEST_LIMIT = 1 << 16
BLOCK = 1 << 20
ENCRYPTED = 0x1 | 0x40 | 0x2000


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself; as JSON, it is the member `manifest.json`.

    Attributes:
        format: Number of the form of the archive, :data:`FORMAT`.
        nmm: The version that made it.
        schema: Number of the catalog's schema.
        model, dimension, weights: See :class:`.catalog.Settings`.
        files, images, texts, vectors: How many can be found.
        bytes, sha256: Of the member `catalog.db`, not packed.
    """

    format: int
    nmm: str
    schema: int
    model: str
    dimension: int
    weights: str
    files: int
    images: int
    texts: int
    vectors: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Imported:
    """What was imported.

    Attributes:
        index: The folder of the new index.
        manifest: What the archive said of itself, which is so.
        roots: The folders and files that were indexed, where they were.
        away: Those that are not there on this machine.
    """

    index: str
    manifest: Manifest
    roots: list[str]
    away: list[str]


def export_archive(folder: IndexFolder, file: Path) -> Manifest:
    """Write an index to an archive, as it is at this moment, whoever writes to it meanwhile.

    Raises:
        NoIndexError: There is no index, or nothing was indexed yet.
        UsageError: `file` is a part of the index, or there is something else than a file.
        OutputError: It cannot be written.
        CatalogError: The catalog cannot be read.
    """
    not_within(folder, file)
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
            # Stored, for vectors hardly become smaller: at 35 MB/s by 7 in 100.
            with zipfile.ZipFile(part, "x", zipfile.ZIP_STORED) as archive:
                archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")
                archive.write(copy, CATALOG)
        finally:
            for name in (copy, copy.with_name(f"{copy.name}-journal")):
                name.unlink(missing_ok=True)
    return manifest


def _manifest(copy: Path, schema: int, settings: Settings) -> Manifest:
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
    counts = catalog.file_counts()
    return {
        "files": counts.get("indexed", 0),
        "images": counts.get("image", 0),
        "texts": counts.get("text", 0),
        "vectors": catalog.vector_count(),
    }


def import_archive(file: Path, folder: IndexFolder) -> Imported:
    """Make an index of an archive. Where there is an index, nothing is changed.

    The archive is refused, and nothing of it left, if it is anything else than what
    :func:`export_archive` writes.

    Raises:
        UsageError: The file cannot be read, or there is an index in the folder.
        ArchiveError: The archive is damaged, is not one of nmm, or is one of a newer nmm.
        OutputError: The index cannot be written.
    """
    _refuse_existing(folder)
    with _readable(file) as stream, translate_write_errors(folder.path), _staged(folder) as staged:
        with _opened(stream) as archive:
            manifest = _unpack(archive, staged.catalog)
        _check(staged, manifest)
        _put_in_place(staged, folder)
    with Catalog.open(folder.catalog) as catalog:
        roots = [str(root.path) for root in catalog.roots()]
    # What is derived can be written later, by the next run; the index is there without it.
    with suppress(CatalogError, IndexLockedError), open_for_writing(folder) as writer:
        open_vector_index(folder, writer).sync(writer)
    away = [root for root in roots if not is_there(Path(root))]
    return Imported(str(folder.path), manifest, roots, away)


def _refuse_existing(folder: IndexFolder) -> None:
    # A log of a catalog that is gone would be taken for one of the new catalog.
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
    """A place in the folder to make the index in; in the end, it and what was made for it go."""
    made = []
    path = folder.path
    while not path.exists():
        made.append(path)
        path = path.parent
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".import-", dir=folder.path) as staging:
            yield IndexFolder(Path(staging))
    finally:
        with suppress(OSError):  # the index is in it
            for path in made:
                path.rmdir()


@contextmanager
def _readable(file: Path) -> Iterator[BinaryIO]:
    try:
        # Looked at before it is opened: opening a pipe would wait for a writer.
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


@contextmanager
def _opened(stream: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """An archive of which the members are looked at; what zipfile says is a refusal."""
    try:
        with zipfile.ZipFile(stream) as archive:
            _check_members(archive)
            yield archive
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        OSError,
        struct.error,
    ) as error:
        raise damaged(f"As a zip it is not right: {error}") from error
    except (NotImplementedError, RuntimeError) as error:
        raise not_ours(str(error)) from error


def _parse(data: bytes) -> Manifest:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise not_ours("Its manifest is not JSON.") from error
    if not isinstance(found, dict) or type(found.get("format")) is not int:
        raise not_ours("Its manifest does not say which form it has.")
    if found["format"] > FORMAT:
        raise newer(f"Its form is number {found['format']}; this nmm knows up to {FORMAT}.")
    types = {field.name: {"int": int, "str": str}[str(field.type)] for field in fields(Manifest)}
    if {name: type(value) for name, value in found.items()} != types:
        raise not_ours("Its manifest says other things than one of nmm does.")
    return Manifest(**found)


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    # Before zipfile cut it off at a NUL, or made separators the same.
    names = [member.orig_filename for member in members]
    if sorted(names) != sorted([MANIFEST, CATALOG]):
        shown = ", ".join(names[:5]) + (", and more" if len(names) > 5 else "")
        raise not_ours(f"What is in it is not {MANIFEST} and {CATALOG}, but: {shown or 'nothing'}.")
    for member in members:
        mode = stat.S_IFMT(member.external_attr >> 16)
        if mode not in {0, stat.S_IFREG}:
            raise not_ours(f"Its {member.filename} is not a file, but a link or the like.")
        if member.flag_bits & ENCRYPTED:
            raise not_ours(f"Its {member.filename} is encrypted.")
        if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise not_ours(f"Its {member.filename} is packed in a way that nmm does not use.")


def _unpack(archive: zipfile.ZipFile, target: Path) -> Manifest:
    """Write the catalog, and no byte more than the manifest says; the manifest."""
    with archive.open(MANIFEST) as stream:
        data = stream.read(MANIFEST_LIMIT + 1)
    if len(data) > MANIFEST_LIMIT:
        raise not_ours("Its manifest is far too long.")
    manifest = _parse(data)
    if archive.getinfo(CATALOG).file_size != manifest.bytes:
        raise not_ours("Its catalog is not as long as its manifest says.")
    if shutil.disk_usage(target.parent).free < manifest.bytes:
        raise OutputError(
            "There is not enough space on the disk for the index.",
            code="import-disk-full",
            why=f"It takes {manifest.bytes / 1e6:.0f} MB.",
            bytes=manifest.bytes,
        )
    digest = hashlib.sha256()
    # Of this, zipfile gives no more than the size that was compared, whatever is packed in it.
    with archive.open(CATALOG) as packed:
        with translate_write_errors(target):
            stream = target.open("xb")
        with stream:
            while block := packed.read(BLOCK):
                digest.update(block)
                with translate_write_errors(target):
                    stream.write(block)
                    stream.flush()
    if digest.hexdigest() != manifest.sha256:
        raise damaged("Its catalog is not the one that its manifest names.")
    return manifest


def _check(staged: IndexFolder, manifest: Manifest) -> None:
    """Refuse a catalog that is not right, and bring one of an older schema up to date."""
    schema = check_made(staged.catalog)
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
        # Not renamed, which would replace an index that has come to be there just now.
        os.link(staged.catalog, folder.catalog)
    except FileExistsError as error:
        raise _existing(folder) from error
    except OSError:  # a disk without links
        staged.catalog.rename(folder.catalog)
    fsync_path(folder.path)
