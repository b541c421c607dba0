"""The format of an archive: a zip of a catalog and a manifest that describes it.

The catalog has no derived data. An archive holds no images, only their vectors and names. It comes
from outside and is not trusted, see :mod:`nmm.index.store.recovery.untrusted`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import BinaryIO

from nmm.index.common.atomic_files import translate_write_errors
from nmm.index.errors import OutputError
from nmm.index.store.recovery.untrusted import damaged, newer, not_ours

FORMAT = 1
MANIFEST = "manifest.json"
CATALOG = "catalog.db"
# A manifest has a few hundred bytes.
MAX_MANIFEST_BYTES = 1 << 16
BLOCK_SIZE = 1 << 20
# The bits of a zip member's flags that mean some kind of encryption.
ENCRYPTED = 0x1 | 0x40 | 0x2000


@dataclass(frozen=True)
class Manifest:
    """The description of an archive, stored as JSON in the member `manifest.json`.

    Attributes:
        format: Version of the archive format, :data:`FORMAT`.
        nmm: The version of nmm that made it.
        schema: Version of the catalog's schema.
        model, dimension, weights: See :class:`nmm.index.store.catalog.types.Settings`.
        files, images, texts, vectors: Number of each that a search can find.
        bytes, sha256: Of the member `catalog.db`, uncompressed.
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


@contextmanager
def open_archive(stream: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose members are valid.

    Raises:
        ArchiveError: The file is damaged, or not an archive of nmm; also from reading inside.
    """
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
    """Return the manifest in some JSON."""
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
    """Refuse an archive with other members than a manifest and a catalog."""
    members = archive.infolist()
    # The name as stored: zipfile cuts `filename` off at a NUL and changes its separators.
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


def unpack(archive: zipfile.ZipFile, target: Path) -> Manifest:
    """Write the catalog to a file, and not a byte more than the manifest says.

    Returns:
        The manifest.

    Raises:
        ArchiveError: The archive is damaged, or not one of nmm, or of a newer nmm.
        OutputError: The catalog cannot be written.
    """
    with archive.open(MANIFEST) as stream:
        data = stream.read(MAX_MANIFEST_BYTES + 1)
    if len(data) > MAX_MANIFEST_BYTES:
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
    # Whatever the member holds, zipfile returns no more bytes than the size compared above.
    with archive.open(CATALOG) as packed:
        with translate_write_errors(target):
            stream = target.open("xb")
        with stream:
            while block := packed.read(BLOCK_SIZE):
                digest.update(block)
                with translate_write_errors(target):
                    stream.write(block)
                    stream.flush()
    if digest.hexdigest() != manifest.sha256:
        raise damaged("Its catalog is not the one that its manifest names.")
    return manifest
