"""The forms in which vectors are written, and where to: a stream, or a file that is whole."""

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
    # Takes inputs, their vectors, and the rows of those that have none.
    Add: TypeAlias = Callable[[Sequence[str], NDArray[np.float32], Container[int]], None]
    Form: TypeAlias = Callable[[Write, int], AbstractContextManager[Add]]

BLOCK = 1 << 16


class Format(str, Enum):
    """How vectors are written."""

    JSONL = "jsonl"
    NPY = "npy"
    CSV = "csv"


FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="jsonl: an object with input and embedding a line. csv: a header, the input and a "
        "column for each dimension. npy: a float32 matrix for numpy.load, row i of input i. "
        "If not given, what the name after -o ends in, else jsonl.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to this file, which appears, or is replaced, when all of it is there.",
    ),
]


def choose_form(asked: Format | None, output: Path | None) -> Form:
    """The form that was asked for, else that of the file's suffix.

    Raises:
        UsageError: It is binary, and would go to a terminal.
    """
    suffixes = {f".{form.value}": form for form in Format}
    chosen = asked or suffixes.get(output.suffix.lower() if output else "", Format.JSONL)
    if chosen is Format.NPY and _is_stdout(output) and sys.stdout.isatty():
        raise UsageError(
            "A matrix of NumPy is not for a terminal.", hint="Name a file for it with -o."
        )
    return {Format.JSONL: _json_lines, Format.CSV: _csv, Format.NPY: _npy}[chosen]


@contextmanager
def _json_lines(write: Write, dimension: int) -> Iterator[Add]:
    del dimension

    def add(inputs: Sequence[str], vectors: NDArray[np.float32], bad: Container[int]) -> None:
        for name, numbers in _rows(inputs, vectors, bad):
            shown = json.dumps(name, ensure_ascii=False)
            write(_encoded(f'{{"input": {shown}, "embedding": [{", ".join(numbers)}]}}\n'))

    yield add


@contextmanager
def _csv(write: Write, dimension: int) -> Iterator[Add]:
    """RFC 4180 but for the line ends, as of every other output here."""
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
def _npy(write: Write, dimension: int) -> Iterator[Add]:
    """NumPy's format 1.0. How many rows there are stands first, and is known last."""
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
    """Inputs and the shortest decimals that float32 reads as the same numbers."""
    for row, (name, vector) in enumerate(zip(inputs, vectors, strict=True)):
        if row not in bad:
            yield name, list(map(str, vector))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _is_stdout(file: Path | None) -> bool:
    return file is None or str(file) == "-"


@contextmanager
def open_output(file: Path | None) -> Iterator[Write]:
    """Where vectors go. A file takes the place of what was there when all of it is written."""
    if file is None or _is_stdout(file):
        yield partial(_write, sys.stdout.buffer, "The output")
        return
    name, target = str(file), file.resolve()
    # A device or a pipe must not be replaced; the latter has no name but that of a link to it.
    replaces = not file.exists() or file.is_file()
    part = target.with_name(f".{target.name}.{os.getpid()}.part") if replaces else file
    # Ended from outside, it is to clean up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _said(name):
        opened = part.open("xb" if replaces else "wb")
    try:
        yield partial(_write, opened, name)
        with _said(name):
            opened.close()
            if replaces:
                part.replace(target)
    finally:
        with suppress(OSError):  # said already
            opened.close()
        if replaces:
            part.unlink(missing_ok=True)


def _write(file: BinaryIO, name: str, data: bytes) -> None:
    with _said(name):
        file.write(data)
        file.flush()


@contextmanager
def _said(name: str) -> Iterator[None]:
    """End the process, as every command does, when what is written cannot be."""
    try:
        yield
    except BrokenPipeError:
        discard()
        sys.exit(Exit.PIPE_CLOSED)
    except OSError as error:
        discard()
        said = f"nmm: {printable(name)} cannot be written: {error.strerror}"
        print(said, file=sys.stderr)  # noqa: T201
        sys.exit(Exit.CANNOT_WRITE)
