"""Parameters that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmm.cli.framework.completion import models
from nmm.index.encoders.backend import Device, Precision

IndexOption = Annotated[
    Path | None,
    typer.Option(
        "--index",
        metavar="DIR",
        help="Folder of the index; else the environment variable NMM_INDEX, else the "
        "user's data directory.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|DIR",
        help="A model that nmm models lists, by its name or that on the hub, or a folder with "
        "a pair of towers in hub layout (DIR/vision, DIR/text).",
        autocompletion=models,
    ),
]
DimensionOption = Annotated[
    int | None,
    typer.Option(
        "--dim",
        min=1,
        metavar="N",
        help="Length of the vectors, for a model that was trained to be cut: 512, 256, 128 or 64 "
        "of nomic-v1.5.",
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option("--device", help="What computes; auto is a GPU if PyTorch finds one."),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, metavar="N", help="Threads on the CPU; as many as cores if not given."
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        help="What the CPU computes with; auto is int8 if it has instructions for that.",
    ),
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
WaitOption = Annotated[
    bool,
    typer.Option("--wait", help="Wait while another process writes to the index."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PathsOption = Annotated[bool, typer.Option("--paths", help="Print absolute paths, one a line.")]
NulOption = Annotated[bool, typer.Option("-0", help="Print absolute paths, each ended by NUL.")]
MaxPixelsOption = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        min=1,
        metavar="N",
        help="Skip images with more pixels; 89 million if not given.",
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but results and errors.")
]
