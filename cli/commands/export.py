"""`nmm export`: write an index to one file, for backup, another machine or other tools."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from nmm.cli.console.signals import interrupt_on_sigterm
from nmm.cli.console.stdout import emit
from nmm.cli.console.text import printable
from nmm.cli.options.common import IndexOption, JsonOption

EXAMPLES = """\b
Examples:
  nmm export photos.nmm
  nmm export vectors.parquet
  nmm export vectors.npy --dtype float32
  nmm export --format jsonl everything.txt
"""


class Format(str, Enum):
    """The format of the file."""

    ARCHIVE = "archive"
    PARQUET = "parquet"
    NPY = "npy"
    JSONL = "jsonl"


class Dtype(str, Enum):
    """The type of the numbers."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"


def export(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The file to write. An existing file is replaced once the export is complete.",
        ),
    ],
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="archive: the whole index, for nmm import. parquet, npy, jsonl: the vectors with "
            "their files and passages, for other tools; npy writes those to a second file, "
            "FILE.jsonl. Default: by the suffix of FILE, else archive.",
        ),
    ] = None,
    dtype: Annotated[
        Dtype,
        typer.Option(
            "--dtype",
            help="Number type in parquet and npy: float16, as in the index, or float32, which "
            "more tools can read.",
        ),
    ] = Dtype.FLOAT16,
    index_path: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the index to a file: an archive, or a table of its vectors.

    An archive contains the whole index, including names and passages of the files, but not
    the files themselves. Another process may write to the index in the meantime.
    """
    from nmm.index.maintenance.archive import export_archive
    from nmm.index.maintenance.export_vectors import Dtype as TableDtype
    from nmm.index.maintenance.export_vectors import Table, export_table
    from nmm.index.store.layout import index_folder

    interrupt_on_sigterm()
    folder = index_folder(index_path)
    chosen = form or _by_suffix(file)
    counts: dict[str, int]
    if chosen is Format.ARCHIVE:
        manifest = export_archive(folder, file)
        counts = {name: getattr(manifest, name) for name in ("files", "images", "texts", "vectors")}
        said = (
            f"{manifest.files} files ({manifest.images} images, {manifest.texts} texts) "
            f"and {manifest.vectors} vectors"
        )
    else:
        count = export_table(folder, file, Table(chosen.value), TableDtype(dtype.value))
        counts = {"vectors": count}
        said = f"{count} vectors"
    size = file.expanduser().stat().st_size
    if as_json:
        row = {"file": str(file), "format": chosen.value, **counts, "bytes": size}
        emit(json.dumps(row, ensure_ascii=False) + "\n")
    else:
        emit(f"Exported {said} to {printable(str(file))}, {size / 1e6:.1f} MB.\n")


def _by_suffix(file: Path) -> Format:
    """Return the format for a file's suffix."""
    suffixes = {f".{form.value}": form for form in Format if form is not Format.ARCHIVE}
    return suffixes.get(file.suffix.lower(), Format.ARCHIVE)
