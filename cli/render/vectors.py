"""Write vectors as JSON lines, CSV or NPY, to stdout or to a file that appears when complete."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.stdout import discard
from nmm.cli.console.text import printable
from nmm.index.errors import UsageError

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Write: TypeAlias = Callable[[bytes], None]
    # Takes inputs, their vectors, and the rows without a vector.
    AddRows: TypeAlias = Callable[[Sequence[str], NDArray[np.float32], Container[int]], None]
    FormatWriter: TypeAlias = Callable[[Write, int], AbstractContextManager[AddRows]]

BLOCK = 1 << 16


class Format(str, Enum):
    """The format of written vectors."""

    JSONL = "jsonl"
    NPY = "npy"
    CSV = "csv"


FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="jsonl: one object with input and embedding per line. csv: a header, then the input "
        "and one column per dimension. npy: a float32 matrix for numpy.load, with one row per "
        "input. Default: the suffix of the file after -o, else jsonl.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to this file, which is created or replaced once it is complete.",
    ),
]


def choose_format(requested: Format | None, output: Path | None) -> FormatWriter:
    """Return the writer of the requested format, else of the file's suffix.

    Raises:
        UsageError: The format is binary, and would go to a terminal.
    """
    suffixes = {f".{form.value}": form for form in Format}
    chosen = requested or suffixes.get(output.suffix.lower() if output else "", Format.JSONL)
    if chosen is Format.NPY and _is_stdout(output) and sys.stdout.isatty():
        raise UsageError(
            "npy is binary and cannot be printed to a terminal.", hint="Write it to a file with -o."
        )
    return {Format.JSONL: _json_lines, Format.CSV: _csv, Format.NPY: _npy}[chosen]


@contextmanager
def _json_lines(write: Write, dimension: int) -> Iterator[AddRows]:
    del dimension

    def add(inputs: Sequence[str], vectors: NDArray[np.float32], bad: Container[int]) -> None:
        for name, numbers in _rows(inputs, vectors, bad):
            shown = json.dumps(name, ensure_ascii=False)
            write(_encoded(f'{{"input": {shown}, "embedding": [{", ".join(numbers)}]}}\n'))

    yield add


@contextmanager
def _csv(write: Write, dimension: int) -> Iterator[AddRows]:
    r"""CSV as in RFC 4180, but lines end in \n, as in all other output."""
    lines = io.StringIO()
    rows = csv.writer(lines, lineterminator="\n")

    def flush() -> None:
        write(_encoded(lines.getvalue()))
        lines.seek(0)
        lines.truncate()

    def add(inputs: Sequence[str], vectors: NDArray[np.float32], bad: Container[int]) -> None:
        rows.writerows([name, *numbers] for name, numbers in _rows(inputs, vectors, bad))
        flush()

    rows.writerow(["input", *range(dimension)])
    flush()
    yield add


@contextmanager
def _npy(write: Write, dimension: int) -> Iterator[AddRows]:
    """NumPy's format 1.0. The number of rows comes first but is known last, so rows are spooled."""
    from numpy.lib import format as npy

    count = 0
    spooled = f"A temporary file in {tempfile.gettempdir()}"
    with tempfile.TemporaryFile() as spool:

        def add(inputs: Sequence[str], vectors: NDArray[np.float32], bad: Container[int]) -> None:
            nonlocal count
            del bad
            _write(spool, spooled, vectors.astype("<f4").tobytes())
            count += len(inputs)

        yield add
        header = io.BytesIO()
        about = {"descr": "<f4", "fortran_order": False, "shape": (count, dimension)}
        npy.write_array_header_1_0(header, about)
        write(header.getvalue())
        spool.seek(0)
        while block := spool.read(BLOCK):
            write(block)


def _rows(
    inputs: Sequence[str], vectors: NDArray[np.float32], bad: Container[int]
) -> Iterator[tuple[str, list[str]]]:
    """Yield inputs and the shortest decimals that float32 reads as the same numbers."""
    for row, (name, vector) in enumerate(zip(inputs, vectors, strict=True)):
        if row not in bad:
            yield name, list(map(str, vector))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _is_stdout(file: Path | None) -> bool:
    return file is None or str(file) == "-"


@contextmanager
def open_output(file: Path | None) -> Iterator[Write]:
    """Yield a function that writes bytes. A file is replaced once everything is written."""
    if file is None or _is_stdout(file):
        yield partial(_write, sys.stdout.buffer, "The output")
        return
    name, target = str(file), file.resolve()
    # A device or a pipe must not be replaced.
    replaces = not file.exists() or file.is_file()
    part = target.with_name(f".{target.name}.{os.getpid()}.part") if replaces else file
    # SIGTERM cleans up like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _exit_on_write_error(name):
        opened = part.open("xb" if replaces else "wb")
    try:
        yield partial(_write, opened, name)
        with _exit_on_write_error(name):
            opened.close()
            if replaces:
                part.replace(target)
    finally:
        with suppress(OSError):  # reported already
            opened.close()
        if replaces:
            part.unlink(missing_ok=True)


def _write(file: BinaryIO, name: str, data: bytes) -> None:
    with _exit_on_write_error(name):
        file.write(data)
        file.flush()


@contextmanager
def _exit_on_write_error(name: str) -> Iterator[None]:
    """End the process with a message if writing fails, as every command does."""
    try:
        yield
    except BrokenPipeError:
        discard()
        sys.exit(Exit.PIPE_CLOSED)
    except OSError as error:
        discard()
        message = f"nmm: {printable(name)} cannot be written: {error.strerror}"
        print(message, file=sys.stderr)  # noqa: T201
        sys.exit(Exit.CANNOT_WRITE)
