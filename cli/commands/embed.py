"""`nmm embed`: print vectors of texts and images, for other programs."""

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
from nmm.cli.render.vectors import FormatOption, OutputOption, choose_format, open_output
from nmm.index.encoders.backend import Backend, Device, Precision
from nmm.index.encoders.base import Task
from nmm.index.encoders.registry import DEFAULT, FALLBACK
from nmm.index.encoders.resolve import find_model
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

# The most inputs that are embedded and written together.
TEXTS, IMAGES = 128, 32
BLOCK = 1 << 16

app = typer.Typer(
    help="Print embeddings of texts or images, for other programs.",
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
            help="A text. - reads texts from stdin in UTF-8, one per line, including blank lines.",
        ),
    ],
    model: ModelOption = None,
    task: Annotated[
        Task,
        typer.Option("--task", help="The purpose, which selects the model's prefix, if any."),
    ] = Task.DOCUMENT,
    dimension: DimensionOption = None,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Do not add a prefix if the text already starts with one of the model's."
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
    """Embed texts. Longer texts are truncated at the model's context.

    Vectors have unit length. Lines from stdin are embedded as they arrive.
    """
    from nmm.cli.render.progress import Progress

    chosen = choose_format(form, output)
    backend = Backend(device, threads, precision)
    with Progress(quiet=quiet) as progress:
        encoder = open_model(model, dimension, backend, offline, progress)
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
            help="An image file or its file URL. - reads names from stdin, one per line.",
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
    """Embed images. Unreadable images are reported and skipped; in npy, their rows are NaN.

    Vectors have unit length. Names from stdin are embedded as they arrive.
    """
    from nmm.cli.render.progress import Progress
    from nmm.index.embed import vectors_of_images
    from nmm.index.events import FileSkipped
    from nmm.index.media.image.decode import MAX_PIXELS

    chosen = choose_format(form, output)
    backend = Backend(device, threads, precision)
    with Progress(quiet=quiet) as progress:
        encoder = open_model(model, dimension, backend, offline, progress)
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


def open_model(
    name: str | None, dimension: int | None, backend: Backend, offline: bool, progress: Progress
) -> BatchedEncoder:
    """Return the encoder of a model, the default one if no name is given, ready to use."""
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
    """Yield the inputs in batches of at most `size`; for -, what stdin has at that moment."""
    for is_stdin, group in groupby(inputs, lambda one: one == "-"):
        there = _from_stdin(end, decode) if is_stdin else [list(group)]
        for some in there:
            for start in range(0, len(some), size):
                yield some[start : start + size]


def _from_stdin(end: bytes, decode: Callable[[bytes], str]) -> Iterator[list[str]]:
    """Yield the items of each read of stdin. Reading a pipe waits only while it is empty."""
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
