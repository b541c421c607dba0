"""Exports the vectors of an index, with their files, to formats that other tools read.

They are written block by block, so memory holds only a few thousand at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmm.index.common.atomic_files import replace_atomically
from nmm.index.errors import UsageError
from nmm.index.store.catalog.backup import settings_of
from nmm.index.store.catalog.export_rows import VectorRow, count_rows, vector_rows
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.layout import refuse_index_file

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.layout import IndexFolder

    Add: TypeAlias = Callable[[list[VectorRow], NDArray[np.float16]], None]


class Table(str, Enum):
    """A file format for vectors."""

    JSONL = "jsonl"
    NPY = "npy"
    PARQUET = "parquet"


class Dtype(str, Enum):
    """The type of the numbers: float16 as in the catalog, or float32."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"


def export_table(folder: IndexFolder, file: Path, form: Table, dtype: Dtype = Dtype.FLOAT16) -> int:
    """Write a snapshot of all vectors that a search can find.

    jsonl: one object per line, with the fields of :class:`.export_rows.VectorRow` and `vector`,
    whose numbers are the shortest decimals that float32 reads as the same. npy: a matrix of shape
    (vectors, dimension), and one line per row in a file beside it, with `.jsonl` appended to its
    name. parquet: a column for each field, and `vector`, a list of fixed size.

    Args:
        folder: The index.
        file: Appears, or is replaced, when it is complete.
        form: The format.
        dtype: Of the numbers in npy and parquet.

    Returns:
        The number of vectors.

    Raises:
        NoIndexError: There is no index, or nothing was indexed yet.
        UsageError: `file` is part of the index, or exists and is not a file; or pyarrow, which
            writes parquet, is not installed.
        OutputError: The file cannot be written.
        CatalogError: The catalog cannot be read.
    """
    refuse_index_file(folder, file)
    with Catalog.open(folder.existing().catalog) as catalog, catalog.snapshot():
        count = count_rows(catalog)
        shape = (count, settings_of(catalog).dimension)
        writers: dict[Table, AbstractContextManager[Add]] = {
            Table.JSONL: _json_lines(file),
            Table.NPY: _npy(file, shape, dtype),
            Table.PARQUET: _parquet(file, shape, dtype),
        }
        with writers[form] as add:
            for rows, vectors in vector_rows(catalog):
                add(rows, vectors)
    return count


@contextmanager
def _json_lines(file: Path) -> Iterator[Add]:
    """Open a file of JSON lines."""
    import numpy as np

    # The decimals of all 65,536 values of float16.
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    decimals = np.array(list(map(str, halves)), object)
    with replace_atomically(file) as part, part.open("xb") as stream:

        def add(rows: list[VectorRow], vectors: NDArray[np.float16]) -> None:
            for row, vector in zip(rows, decimals[vectors.view(np.uint16)], strict=True):
                about = _line(row).decode()[:-2]
                stream.write(f'{about}, "vector": [{", ".join(vector)}]}}\n'.encode())

        yield add


def _line(row: VectorRow) -> bytes:
    return (json.dumps(asdict(row), ensure_ascii=False) + "\n").encode()


@contextmanager
def _npy(file: Path, shape: tuple[int, int], dtype: Dtype) -> Iterator[Add]:
    """Open a file of NumPy's format 1.0, and a file of JSON lines beside it."""
    import numpy as np
    from numpy.lib import format as npy

    number = np.dtype(dtype.value).newbyteorder("<")
    lines = file.with_name(f"{file.name}.jsonl")
    with (
        replace_atomically(lines) as lines_part,
        replace_atomically(file) as part,
        lines_part.open("xb") as lines_stream,
        part.open("xb") as stream,
    ):
        about = {"descr": number.str, "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(stream, about)

        def add(rows: list[VectorRow], vectors: NDArray[np.float16]) -> None:
            lines_stream.writelines(map(_line, rows))
            stream.write(vectors.astype(number).tobytes())

        yield add


@contextmanager
def _parquet(file: Path, shape: tuple[int, int], dtype: Dtype) -> Iterator[Add]:
    """Open a Parquet file with a row group for each block."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            "Writing Parquet needs pyarrow, which is not installed.",
            code="pyarrow-missing",
        ) from error
    numbers: Any = pa.float16() if dtype is Dtype.FLOAT16 else pa.float32()
    schema = _schema(pa.list_(numbers, shape[1]))
    with (
        replace_atomically(file) as part,
        parquet.ParquetWriter(part, schema, compression="zstd") as writer,
    ):

        def add(rows: list[VectorRow], vectors: NDArray[np.float16]) -> None:
            flat = pa.array(vectors.astype(dtype.value).ravel())
            columns = [[getattr(row, name) for row in rows] for name in schema.names[:-1]]
            arrays = [
                *map(pa.array, columns, schema.types[:-1]),
                pa.FixedSizeListArray.from_arrays(flat, shape[1]),
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

        yield add


def _schema(vector: Any) -> Any:
    import pyarrow as pa

    return pa.schema(
        {
            "path": pa.string(),
            "copies": pa.list_(pa.string()),
            "type": pa.string(),
            "width": pa.int64(),
            "height": pa.int64(),
            "taken_at": pa.string(),
            "latitude": pa.float64(),
            "longitude": pa.float64(),
            "camera": pa.string(),
            "caption": pa.string(),
            "line_start": pa.int64(),
            "line_end": pa.int64(),
            "text": pa.string(),
            "vector": vector,
        }
    )
