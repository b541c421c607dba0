"""`nmm embed`: vectors of texts and of images, for other programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.console.text import valid
from nmm.cli.framework.click_classes import Commands
from nmm.cli.options.common import (
    DeviceOption,
    DimensionOption,
    MaxPixelsOption,
    ModelOption,
    OfflineOption,
    PrecisionOption,
    QuietOption,
    ThreadsOption,
)
from nmm.cli.render.vectors import FormatOption, OutputOption, choose_form, open_output
from nmm.index.encoders.base import Task
from nmm.index.encoders.registry import DEFAULT, FALLBACK
from nmm.index.encoders.resolve import find_model
from nmm.index.encoders.runtime.backend import Backend, Device, Precision
from nmm.index.errors import HubError

if TYPE_CHECKING:
    from nmm.cli.render.progress import Progress
    from nmm.index.encoders.runtime.batching import BatchedEncoder

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
    cls=Commands,
)


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
    from nmm.cli.render.progress import Progress

    chosen = choose_form(form, output)
    backend = Backend(device, threads, precision)
    with Progress(quiet=quiet) as progress:
        encoder = opened(model, dimension, backend, offline, progress)
    with open_output(output) as write, chosen(write, encoder.model.dimension) as add:
        for batch in _batches(inputs, TEXTS, b"\n", _as_line):
            texts = [valid(one) for one in batch]
            add(texts, encoder.embed_texts(texts, task, raw=raw), ())


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
    max_pixels: MaxPixelsOption = None,
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
    from nmm.cli.render.progress import Progress
    from nmm.index.embed import vectors_of_images
    from nmm.index.events import FileSkipped
    from nmm.index.media.image.decode import MAX_PIXELS

    chosen = choose_form(form, output)
    backend = Backend(device, threads, precision)
    with Progress(quiet=quiet) as progress:
        encoder = opened(model, dimension, backend, offline, progress)
    end, decode = (b"\0", os.fsdecode) if nul else (b"\n", _as_name)
    count = skipped = 0
    with open_output(output) as write, chosen(write, encoder.model.dimension) as add:
        for batch in _batches(inputs, IMAGES, end, decode):
            vectors, bad = vectors_of_images(encoder, batch, max_pixels=max_pixels or MAX_PIXELS)
            for row, error in bad.items():
                progress.on_event(FileSkipped(batch[row], error.what))
            add(batch, vectors, bad)
            count += len(batch)
            skipped += len(bad)
    if skipped:
        progress.note(f"{skipped} of {count} images skipped.")
        raise typer.Exit(Exit.SOME_SKIPPED)


def opened(
    name: str | None, dimension: int | None, backend: Backend, offline: bool, progress: Progress
) -> BatchedEncoder:
    """A model, downloaded and prepared if it is not; without a name, the default one."""
    from nmm.index.embed import open_encoder

    model = (find_model(name) if name is not None else DEFAULT).with_dimension(dimension)
    try:
        return open_encoder(model, backend, offline=offline, on_event=progress.on_event)
    except HubError as error:
        if name is not None:
            raise
        from nmm.cli.console.hints import hint_of

        hint = f"{hint_of(error).rstrip('.')}; or add --model {FALLBACK.name}, which is built in."
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
