"""`nmm embed`: vectors of texts and of images, for other programs."""

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
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from nmm.cli.exit import Exit
from nmm.cli.output import discard
from nmm.cli.parameters import (
    DeviceOption,
    DimensionOption,
    ModelOption,
    OfflineOption,
    PrecisionOption,
    QuietOption,
    ThreadsOption,
)
from nmm.cli.text import printable, valid
from nmm.index.encoders.backend import Backend, Device, Precision
from nmm.index.encoders.registry import DEFAULT, FALLBACK, Task, find_model
from nmm.index.errors import HubError, UsageError

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from nmm.cli.progress import Progress
    from nmm.index.encoders.batched import BatchedEncoder

    Write: TypeAlias = Callable[[bytes], None]
    # Takes inputs, their vectors, and the rows of those that have none.
    Add: TypeAlias = Callable[[Sequence[str], NDArray[np.float32], Container[int]], None]
    Form: TypeAlias = Callable[[Write, int], AbstractContextManager[Add]]

EXAMPLES = """\b
Examples:
  nmm embed text 'a cat on a piano' --task search_query
  nmm embed text - --model mini -o lines.npy < lines.txt
  find photos -name '*.jpg' -print0 | nmm embed image -0 - --format csv
"""

# Inputs embedded and written together, if so many are there.
TEXTS, IMAGES = 128, 32
BLOCK = 1 << 16

app = typer.Typer(
    help="Print the vectors of texts or images, for other programs.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
)


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


@app.command()
def text(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT",
            help="A text; - reads texts in UTF-8 from stdin, one a line, blank ones too.",
        ),
    ],
    model: ModelOption = None,
    task: Annotated[
        Task,
        typer.Option("--task", help="What for, which decides the prefix, if the model has any."),
    ] = Task.DOCUMENT,
    dimension: DimensionOption = None,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Leave a text as it is that begins with a prefix of the model already."
        ),
    ] = False,
    form: FormatOption = None,
    output: OutputOption = None,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = None,
    precision: PrecisionOption = Precision.FP32,
    offline: OfflineOption = False,
    quiet: QuietOption = False,
) -> None:
    """Embed texts. What is longer than the model's context is cut off.

    Vectors have unit length. Lines from stdin are answered as they come.
    """
    from nmm.cli.progress import Progress
    from nmm.index.embed import vectors_of_texts

    chosen = _form(form, output)
    backend = Backend(device, threads, precision)
    with Progress(quiet=quiet) as progress:
        encoder = _open_encoder(model, dimension, backend, offline, progress)
    with _output(output) as write, chosen(write, encoder.model.dimension) as add:
        for batch in _batches(inputs, TEXTS, b"\n", _as_line):
            texts = [valid(one) for one in batch]
            add(texts, vectors_of_texts(encoder, texts, task, raw=raw), ())


@app.command()
def image(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE",
            help="An image file, or its URL of the scheme file; - reads names from stdin, one a "
            "line.",
        ),
    ],
    model: ModelOption = None,
    dimension: DimensionOption = None,
    nul: Annotated[bool, typer.Option("-0", help="Names on stdin end in NUL.")] = False,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            "--max-pixels",
            min=1,
            metavar="N",
            help="Skip images with more pixels; 89 million if not given.",
        ),
    ] = None,
    form: FormatOption = None,
    output: OutputOption = None,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = None,
    precision: PrecisionOption = Precision.FP32,
    offline: OfflineOption = False,
    quiet: QuietOption = False,
) -> None:
    """Embed images. One that cannot be read is named and skipped; its row in npy is NaN.

    Vectors have unit length. Names from stdin are answered as they come.
    """
    from nmm.cli.progress import Progress
    from nmm.index.embed import vectors_of_images
    from nmm.index.events import Skipped
    from nmm.index.media.image import MAX_PIXELS

    chosen = _form(form, output)
    backend = Backend(device, threads, precision)
    with Progress(quiet=quiet) as progress:
        encoder = _open_encoder(model, dimension, backend, offline, progress)
    end, decode = (b"\0", os.fsdecode) if nul else (b"\n", _as_name)
    count = skipped = 0
    with _output(output) as write, chosen(write, encoder.model.dimension) as add:
        for batch in _batches(inputs, IMAGES, end, decode):
            vectors, bad = vectors_of_images(encoder, batch, max_pixels=max_pixels or MAX_PIXELS)
            for row, error in bad.items():
                progress.on_event(Skipped(batch[row], error.what))
            add(batch, vectors, bad)
            count += len(batch)
            skipped += len(bad)
    if skipped:
        progress.note(f"{skipped} of {count} images skipped.")
        raise typer.Exit(Exit.SOME_SKIPPED)


def _open_encoder(
    name: str | None, dimension: int | None, backend: Backend, offline: bool, progress: Progress
) -> BatchedEncoder:
    from nmm.index.embed import open_encoder

    model = (find_model(name) if name else DEFAULT).with_dimension(dimension)
    try:
        return open_encoder(model, backend, offline=offline, on_event=progress.on_event)
    except HubError as error:
        if name:
            raise
        hint = f"{error.hint.rstrip('.')}; or add --model {FALLBACK.name}, which is built in."
        raise HubError(error.what, why=error.why, hint=hint) from error


def _batches(
    inputs: Sequence[str], size: int, end: bytes, decode: Callable[[bytes], str]
) -> Iterator[list[str]]:
    """The inputs, at most `size` at a time; of - what stdin has just then, waiting for one."""
    for is_stdin, group in groupby(inputs, lambda one: one == "-"):
        there = _from_stdin(end, decode) if is_stdin else [list(group)]
        for some in there:
            for start in range(0, len(some), size):
                yield some[start : start + size]


def _from_stdin(end: bytes, decode: Callable[[bytes], str]) -> Iterator[list[str]]:
    """What one read of stdin brings: a pipe gives what is in it, and waits only if it is empty."""
    rest = bytearray()
    while block := os.read(sys.stdin.fileno(), BLOCK):
        rest += block
        if end in block:
            *whole, rest = rest.split(end)
            yield [decode(bytes(one)) for one in whole]
    if rest:
        yield [decode(bytes(rest))]


def _as_line(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "surrogateescape")


def _as_name(line: bytes) -> str:
    return os.fsdecode(line.removesuffix(b"\r"))


def _form(asked: Format | None, output: Path | None) -> Form:
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
def _output(file: Path | None) -> Iterator[Write]:
    """Where vectors go. A file takes the place of what was there when all of it is written."""
    if file is None or _is_stdout(file):
        yield partial(_write, sys.stdout.buffer, "The output")
        return
    name, target = str(file), file.resolve()
    # A device or a pipe must not be replaced.
    replaces = not target.exists() or target.is_file()
    part = target.with_name(f".{target.name}.{os.getpid()}.part") if replaces else target
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
